"""Siblings: several resources of a dialect that are one in canonical, and one that is several."""

from __future__ import annotations

import json
import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shipped_adapters import shipped_adapters
from typer.testing import CliRunner

from engine.cli import build
from engine.transform.adapter import Adapter
from engine.transform.cases import run_cases
from engine.transform.family import to_siblings, to_wholes
from engine.transform.load import load_folder
from engine.transform.sibling_ids import sibling_ids
from engine.transform.siblings import Whole
from engine.validate import validate

from makings import KIN, adapter, load, mapping  # isort: skip

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
Tree = dict[str, Any]


@pytest.fixture(scope="module")
def teams() -> Adapter:
    """Return the shipped adapter of an EHR that keeps one participant in each team."""
    return shipped_adapters().mapped["text-first", "CareTeam"]


def _team(id: str, who: str, **more: Any) -> Tree:
    head = {"resourceType": "CareTeam", "id": id, "status": "active"}
    who_it_is = [{"role": [{"text": f"Role of {who}"}], "member": {"display": who}}]
    return {**head, "subject": {"reference": "Patient/1"}, "participant": who_it_is, **more}


def _whole(teams: Adapter, siblings: list[Tree]) -> Tree:
    (family,) = to_wholes(teams, siblings)
    assert family.result.resource is not None, [d.text() for d in family.result.diagnostics]
    return family.result.resource


def _apart(teams: Adapter, whole: Tree) -> list[Tree]:
    results = to_siblings(teams, whole)
    assert all(result.ok for result in results)
    return [result.resource for result in results if result.resource is not None]


def _by_id(resources: list[Tree]) -> list[Tree]:
    return sorted(resources, key=lambda one: str(one["id"]))


# --- both laws ----------------------------------------------------------------------------------

PERIODS = st.fixed_dictionaries(
    {},
    optional={
        "start": st.sampled_from(["2024", "2024-02", "2025-08-15", "2025-08-15T10:00:00Z"]),
        "end": st.sampled_from(["2100-12-31", "2026-01-31", "2027"]),
    },
).filter(bool)
CONCEPTS = st.lists(
    st.sampled_from([{"text": "a"}, {"text": "b"}, {"coding": [{"code": "c", "system": "s"}]}]),
    min_size=1,
    max_size=2,
)
HEADERS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(
            ["active", "suspended", "inactive", "proposed", "entered-in-error"]
        )
    },
    optional={
        "name": st.sampled_from(["A", "B"]),
        "_name": st.just({"extension": [{"url": "http://a/b", "valueString": "x"}]}),
        "category": CONCEPTS,
        "period": PERIODS,
        "language": st.sampled_from(["en", "es"]),
        "reasonCode": CONCEPTS,
        "note": st.lists(st.sampled_from([{"text": "n"}, {"text": "m"}]), min_size=1, max_size=2),
        "identifier": st.lists(
            st.sampled_from([{"system": "s", "value": "1"}, {"system": "s", "value": "2"}]),
            min_size=1,
            max_size=2,
        ),
        "text": st.just({"status": "generated", "div": "<div>x</div>"}),
        "meta": st.sampled_from(
            [{"versionId": "1"}, {"security": [{"code": "R"}]}, {"tag": [{"code": "t"}]}]
        ),
        "contained": st.sampled_from(
            [
                [{"resourceType": "Practitioner", "id": "p", "gender": "male"}],
                [{"resourceType": "Practitioner", "id": "p", "gender": "female"}],
            ]
        ),
        "extension": st.just([{"url": "http://a/c", "valueBoolean": True}]),
    },
)
MEMBERS = st.sampled_from(
    [{"display": "x"}, {"reference": "#p"}, {"reference": "Practitioner/1"}, {"display": "y"}]
)
ITEMS = st.fixed_dictionaries(
    {"member": MEMBERS},
    optional={
        "role": st.sampled_from([[{"text": "Tutor"}], [{"text": "Nurse"}, {"text": "Tutor"}]]),
        "period": PERIODS,
        "extension": st.just([{"url": "http://a/d", "valueString": "e"}]),
    },
)


@st.composite
def _siblings(draw: st.DrawFn) -> list[Tree]:
    drawn = draw(st.lists(st.tuples(HEADERS, st.lists(ITEMS, max_size=2)), min_size=1, max_size=5))
    out = []
    for index, (header, items) in enumerate(drawn):
        one = {"resourceType": "CareTeam", "id": f"t_{index}", **header}
        one["subject"] = {"reference": "Patient/1"}
        out.append({**one, "participant": items} if items else one)
    return out


@settings(max_examples=60)
@given(_siblings())
def test_what_was_put_together_comes_apart_again(teams: Adapter, siblings: list[Tree]) -> None:
    """Siblings become one resource and come back each as it was, whatever they disagree on."""
    assert _by_id(_apart(teams, _whole(teams, siblings))) == siblings


@settings(max_examples=40)
@given(_siblings(), st.randoms(use_true_random=False))
def test_the_order_of_siblings_does_not_matter(
    teams: Adapter, siblings: list[Tree], chance: random.Random
) -> None:
    """The same siblings in another order, or some of them twice over, are the same whole."""
    shuffled = chance.sample(siblings, len(siblings))
    assert _whole(teams, shuffled) == _whole(teams, siblings)


@settings(max_examples=40)
@given(_siblings())
def test_a_whole_of_siblings_is_put_together_the_same_again(
    teams: Adapter, siblings: list[Tree]
) -> None:
    """Taking a whole apart and putting it together gives the same whole."""
    assert teams.seam is not None
    whole = _whole(teams, siblings)
    again = teams.seam.put_together(teams.seam.take_apart(whole), whole["id"])
    assert again.resource == whole


@settings(max_examples=40)
@given(HEADERS, st.lists(ITEMS, min_size=1, max_size=4))
def test_another_systems_team_comes_back_as_one(
    teams: Adapter, header: Tree, items: list[Tree]
) -> None:
    """A canonical team leaves as one resource for each participant and comes back equal."""
    team = {"resourceType": "CareTeam", "id": "w", **header}
    team |= {"subject": {"reference": "Patient/1"}, "participant": items}
    apart = _apart(teams, team)
    assert len(apart) == len(items)
    assert all(len(one["participant"]) == 1 for one in apart)
    assert len({one["id"] for one in apart}) == len(items)
    back = _whole(teams, apart)
    assert back == team


# --- what the whole says ------------------------------------------------------------------------


def test_a_whole_is_valid_and_says_what_its_siblings_say(teams: Adapter) -> None:
    """The widest period, the strongest status, every category once; a name only if all share it."""
    whole = _whole(
        teams,
        [
            _team("a", "A", name="One", period={"start": "2025-03"}, category=[{"text": "x"}]),
            _team("b", "B", name="Two", status="suspended", period={"start": "2025-02-03"},
                  category=[{"text": "y"}, {"text": "x"}]),
        ],
    )  # fmt: skip
    assert whole["status"] == "active"
    assert whole["period"] == {"start": "2025-02-03"}
    assert whole["category"] == [{"text": "x"}, {"text": "y"}]
    assert "name" not in whole
    assert [one["member"]["display"] for one in whole["participant"]] == ["A", "B"]
    assert not [problem for problem in validate(whole, "R4") if problem.severity.value == "error"]


def test_one_label_holds_for_all_that_stands_together(teams: Adapter) -> None:
    """A restricted sibling makes the whole restricted, so nothing slips past its label."""
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    kin = [_team("a", "A", meta={"versionId": "4", "security": [label]}), _team("b", "B")]
    assert _whole(teams, kin)["meta"] == {"security": [label]}


def test_what_an_item_refers_to_inside_its_resource_goes_with_it(teams: Adapter) -> None:
    """Siblings that contain different people under one id keep them apart, and get them back."""

    def kin(id: str, gender: str) -> Tree:
        inside = [{"resourceType": "Practitioner", "id": "p", "gender": gender}]
        return _team(id, id, contained=inside, participant=[{"member": {"reference": "#p"}}])

    siblings = [kin("a", "male"), kin("b", "female"), kin("c", "male")]
    whole = _whole(teams, siblings)
    assert len(whole["contained"]) == 2
    genders = {f"#{one['id']}": one["gender"] for one in whole["contained"]}
    named = [one["member"]["reference"] for one in whole["participant"]]
    assert [genders[name] for name in named] == ["male", "female", "male"]
    assert _by_id(_apart(teams, whole)) == siblings


def test_an_ended_sibling_leaves_its_end_and_a_mistaken_one_nothing(teams: Adapter) -> None:
    """Inactive with an end stays with that end; inactive without, proposed or mistaken do not."""
    whole = _whole(
        teams,
        [
            _team("a", "A"),
            _team("b", "B", status="inactive", period={"end": "2026-01-31"}),
            _team("c", "C", status="inactive"),
            _team("d", "D", status="entered-in-error", period={"end": "2026-01-31"}),
            _team("e", "E", status="proposed"),
        ],
    )
    shown = {one["member"]["display"]: one.get("period") for one in whole["participant"]}
    assert shown == {"A": None, "B": {"end": "2026-01-31"}}
    assert whole["status"] == "active"


def test_siblings_that_are_all_over_are_a_whole_that_is_over(teams: Adapter) -> None:
    """Where no sibling stands any more, the status says so and the participants are told."""
    kin = [_team("a", "A", status="inactive"), _team("b", "B", status="entered-in-error")]
    whole = _whole(teams, kin)
    assert whole["status"] == "inactive"
    assert [one["member"]["display"] for one in whole["participant"]] == ["A"]
    mistaken = _whole(teams, [kin[1]])
    assert mistaken["status"] == "entered-in-error"
    assert len(mistaken["participant"]) == 1


def test_what_another_system_changed_reaches_every_sibling_and_the_rest_stays_its_own(
    teams: Adapter,
) -> None:
    """A changed status goes to all; a name that nobody touched stays each sibling's own."""
    kin = [_team("a", "A", name="One"), _team("b", "B", name="Two")]
    whole = {**_whole(teams, kin), "status": "suspended"}
    apart = _by_id(_apart(teams, whole))
    assert [one["status"] for one in apart] == ["suspended", "suspended"]
    assert [one["name"] for one in apart] == ["One", "Two"]
    renamed = _by_id(_apart(teams, {**whole, "name": "Ours"}))
    assert [one["name"] for one in renamed] == ["Ours", "Ours"]


def test_a_participant_keeps_its_id_whatever_happens_around_it(teams: Adapter) -> None:
    """Ids depend on who it is: not on order, role or the others; two seats of one person differ."""
    seam = teams.seam
    assert seam is not None

    def ids(*items: Tree, known: tuple[str, ...] = ()) -> list[str]:
        team = {"resourceType": "CareTeam", "participant": list(items)}
        return sibling_ids(seam, seam.take_apart(team).parts, "e", "clinic", known)

    ann, bob = {"member": {"reference": "Practitioner/1"}}, {"member": {"display": "Bob"}}
    first, second = ids(ann, bob)
    assert ids(bob, ann) == [second, first]
    assert ids({**ann, "role": [{"text": "Lead"}]}) == [first]
    assert ids({"member": {"reference": "Practitioner/1", "display": "Ann"}}) == [first]
    lead = {**ann, "role": [{"text": "Lead"}]}
    both = ids(ann, lead)
    assert both[0] == first
    assert len(set(both)) == 2
    assert ids(lead, known=tuple(both)) == [both[1]]
    assert ids(lead, ann, known=tuple(both)) == [both[1], first]


def test_parts_keep_ids_by_system(teams: Adapter) -> None:
    """A sibling goes home under the id that it came with, and elsewhere under one that lasts."""
    seam = teams.seam
    assert seam is not None
    part = seam.part(_team("t_1", "A"), {"north": "t_1"})
    assert sibling_ids(seam, [part], "e", "north") == ["t_1"]
    (abroad,) = sibling_ids(seam, [part], "e", "south")
    corrected = seam.part(_team("t_1", "A. Corrected"), {"north": "t_1"})
    assert sibling_ids(seam, [corrected], "e", "south") == [abroad]
    again = seam.take_apart(seam.put_together(Whole((part,))).resource)
    assert again.parts == (part,)


# --- files --------------------------------------------------------------------------------------


def test_a_mapping_without_siblings_has_no_seam(tmp_path: Path) -> None:
    """Nothing is grouped where nothing is declared."""
    alone = adapter(tmp_path, mapping())
    assert alone.seam is None
    with pytest.raises(ValueError, match="declares no siblings"):
        to_wholes(alone, [])


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ("one: participant", "one: particpant", "M007"),
        ("by: [member, role]", "by: [memeber, role]", "M007"),
        ("same: subject", "same: sbuject", "M007"),
        ("status = 'entered-in-error'", "staus = 'entered-in-error'", "M007"),
        ("until: period.end", "until: period.ends", "M007"),
        ("closing: {status", "closing: {statsu", "M007"),
        ("closing: {status: inactive}", "closing: {status: inactiv}", "M038"),
        ("    language: common", "    langauge: common", "M007"),
        ("language: common", "language: comon", "M003"),
        ("text: own", "text: onw", "M003"),
        ("contained: collect", "contained: colect", "M003"),
        ("meta: labels", "meta: lables", "M003"),
        ("{first: [active", "{frist: [active", "M001"),
        ("{first: [active", "{first: [actve", "M038"),
        ("  left:", "  lefft:", "M001"),
        ("  ended:", "  endde:", "M001"),
        ("when:", "wehn:", "M001"),
        ("  others:", "  othres:", "M001"),
        ("siblings:", "sibilngs:", "M001"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_right_one(
    tmp_path: Path, right: str, wrong: str, code: str
) -> None:
    """Each name and word of a declaration is known: another is refused where it stands."""
    assert right in KIN
    text = mapping(tail=KIN.replace(right, wrong, 1))
    found = [p for p in load(tmp_path, text).problems if p.code == code]
    line = next(i for i, one in enumerate(text.splitlines(), 1) if wrong in one)
    here = [p for p in found if p.place is not None and p.place.line == line]
    assert here, [p.text() for p in load(tmp_path, text).problems]
    assert any("did you mean" in (p.remedy or "").lower() for p in here)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("one: participant", "one: name"),
        ("same: subject", "same: category"),
        ("same: subject", "same: []"),
        ("until: period.end", "until: member"),
        ("text: own", "text: union"),
        ("name: common", "name: widest"),
        ("language: common", "language: {first: [en]}"),
        ("contained: collect", "contained: union"),
        ("note: union", "note: union\n    subject: common"),
        (", proposed, entered-in-error]", ", proposed]"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(tmp_path: Path, right: str, wrong: str) -> None:
    """What could never work on the elements it names is refused before it runs."""
    problems = load(tmp_path, mapping(tail=KIN.replace(right, wrong, 1))).problems
    assert "M040" in {problem.code for problem in problems}


def test_a_mapping_that_extends_changes_single_words(tmp_path: Path) -> None:
    """`others:` is merged by element, so a dialect says only what it does otherwise."""
    child = "mapping: away/careteam\nversion: 1\nextends: home/careteam\n"
    child += "siblings: {others: {name: own}}\n"
    folder = load(tmp_path, mapping(tail=KIN), {"away/careteam.yaml": child})
    assert not folder.problems, [problem.text() for problem in folder.problems]
    plan = folder.mappings["away/careteam"].plan
    assert plan is not None
    assert plan.siblings is not None
    assert plan.siblings.others["name"].word == "own"
    assert plan.siblings.others["text"].word == "own"
    assert plan.siblings.one == "participant"


def test_a_case_about_siblings_needs_a_mapping_that_has_them(tmp_path: Path) -> None:
    """`inputs:` beside a mapping without siblings is refused, and a wrong result is shown."""
    two = ", ".join(f"{{resourceType: CareTeam, id: {id}}}" for id in "ab")
    case = f"cases:\n  - {{name: one, direction: to_canonical, inputs: [{two}]%s}}\n"
    plain = adapter(tmp_path / "a", mapping(), {"home/careteam.test.yaml": case % ""})
    results, _, problems = run_cases(plain, "mappings/home/careteam.yaml")
    assert "M029" in {problem.code for problem in (*problems, *results[0].problems)}
    kin = adapter(
        tmp_path / "b",
        mapping(tail=KIN),
        {"home/careteam.test.yaml": case % ", expect_each: [{id: a}]"},
    )
    results, _, problems = run_cases(kin, "mappings/home/careteam.yaml")
    assert not problems
    assert results[0].diff == ["- expect_each: 1 resources", "+ expect_each: 2 resources"]


def test_the_certificate_says_what_becomes_of_siblings() -> None:
    """The shipped certificate names what makes siblings, and every element's way into the whole."""
    loaded = load_folder(MAPPINGS).mappings["text-first/careteam"]
    text = (MAPPINGS / "text-first" / "careteam.certificate.yaml").read_text()
    assert loaded.plan is not None
    assert loaded.plan.siblings is not None
    for name in loaded.plan.siblings.others:
        assert f"    {name}: invertible" in text


def test_map_takes_a_bundle_of_siblings_there_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One entry stands for both, the plan names it; the way back gives both, and the plan both."""
    plan = {"resourceType": "CarePlan", "id": "p", "status": "active", "intent": "plan"}
    named = [{"reference": "CareTeam/t_a"}, {"reference": "http://a.example/fhir/CareTeam/t_b"}]
    plan |= {"subject": {"reference": "Patient/1"}, "careTeam": named}
    entries = [{"resource": one} for one in (_team("t_a", "A"), _team("t_b", "B"), plan)]
    entries[1]["fullUrl"] = "http://a.example/fhir/CareTeam/t_b"
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    monkeypatch.chdir(MAPPINGS.parent)
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps(bundle))
    there = _mapped("canonical", file)
    team, plan_there = (entry["resource"] for entry in there["entry"])
    assert len(team["participant"]) == 2
    assert plan_there["careTeam"] == [{"reference": f"CareTeam/{team['id']}"}]
    file.write_text(json.dumps(there))
    back = [entry["resource"] for entry in _mapped("dialect", file)["entry"]]
    assert back[:2] == [_team("t_a", "A"), _team("t_b", "B")]
    assert [one["reference"] for one in back[2]["careTeam"]] == ["CareTeam/t_a", "CareTeam/t_b"]
    file.write_text(json.dumps(team))
    alone = _mapped("dialect", file)
    assert [entry["resource"]["id"] for entry in alone["entry"]] == ["t_a", "t_b"]


def _mapped(to: str, file: Path) -> Tree:
    words = ["map", "--dialect", "text-first", "--to", to, str(file)]
    found = CliRunner().invoke(build("map"), words)
    assert found.exit_code == 0, found.output
    return dict(json.loads(found.stdout))


def test_any_order_of_three_makes_one_team(teams: Adapter) -> None:
    """All six orders of three siblings give the very same team."""
    kin = [_team(id, id.upper(), name=id) for id in ("a", "b", "c")]
    made = [_whole(teams, list(order)) for order in permutations(kin)]
    assert all(one == made[0] for one in made)
