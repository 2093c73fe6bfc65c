"""Every diagnostic of the mapping room, word for word, in one file for each code."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from engine.codes.mapping import CODES
from engine.diagnostics import Diagnostic, in_order
from engine.transform.carry import carried
from engine.transform.cases import _Forgetful, run_cases
from engine.transform.certify import stale
from engine.transform.family import to_siblings, to_wholes
from engine.transform.load import load_folder
from engine.transform.mapping import Direction

from makings import HEAD, KIN, STATUS, TABLE, adapter, load, mapping, under, write  # isort: skip

GOLDEN = Path(__file__).parent / "golden"
Make = Callable[[Path], list[Diagnostic]]


def _on_the_road(root: Path) -> list[Diagnostic]:
    strange = carried("other/careteam", "dialect", "note", [{"text": "x"}])
    team = {"resourceType": "CareTeam", "extension": [strange]}
    return list(adapter(root, mapping()).to_dialect(team, _Forgetful(frozenset())).diagnostics)


def _file(text: str, more: Mapping[str, str] | None = None) -> Make:
    return lambda root: load(root, text, more).problems


def _table(text: str, name: str = "tables/role.csv") -> Make:
    return _file(mapping(), {name: text})


def _cases(text: str | None) -> Make:
    def make(root: Path) -> list[Diagnostic]:
        more = {} if text is None else {"home/careteam.test.yaml": text}
        made = adapter(root, mapping(), more)
        results, coverage, problems = run_cases(made, "mappings/home/careteam.yaml")
        failed = [p for result in results for p in result.problems if p.code == "M034"]
        return [
            *problems,
            *failed,
            *(list(coverage.unused())[:2] if "M037" in (text or "") else []),
        ]

    return make


def _message(text: str, tree: dict[str, object], direction: Direction = "to_canonical") -> Make:
    def make(root: Path) -> list[Diagnostic]:
        made = adapter(root, text)
        way = made.to_canonical if direction == "to_canonical" else made.to_dialect
        return list(way({"resourceType": "CareTeam", **tree}).diagnostics)

    return make


def _profile(root: Path) -> list[Diagnostic]:
    head = HEAD.replace("resource: CareTeam}\nc", "resource: CareTeam, profile: http://x/y}\nc")
    folder = write(root, {"home/careteam.yaml": mapping(head=head)})
    return load_folder(folder, {}).problems


def _required(root: Path) -> list[Diagnostic]:
    names = "id meta implicitRules language text contained identifier subject created author"
    fields = "".join(f"  {name}: copy\n" for name in names.split())
    head = HEAD.replace("careteam", "basic").replace("CareTeam", "Basic")
    text = f"{head}fields:\n{fields}  code: carry\ncanonical_only: {{code: carry}}\n"
    return load_folder(write(root, {"home/basic.yaml": text})).problems


def _certificate(root: Path) -> list[Diagnostic]:
    folder = load(root, mapping())
    loaded = folder.mappings["home/careteam"]
    assert loaded.plan is not None
    return stale(loaded.plan, loaded.path, loaded.shown)


def _role(rule: str) -> dict[str, str | None]:
    fields = f"""
        fields:
          role: {rule}
          member: copy
          onBehalfOf: copy
          period: copy
    """
    return {"participant": None, "participant[]": under(fields)}


def _together(text: str, teams: list[dict[str, object]]) -> Make:
    def make(root: Path) -> list[Diagnostic]:
        given = [
            {"resourceType": "CareTeam", "status": "active", "subject": {"reference": "Patient/1"}}
            | team
            for team in teams
        ]
        found = to_wholes(adapter(root, text), given)
        return [problem for family in found for problem in family.result.diagnostics]

    return make


def _apart(root: Path) -> list[Diagnostic]:
    team = {"resourceType": "CareTeam", "id": "t", "text": {"status": "generated"}}
    results = to_siblings(adapter(root, SIBLINGS), team)
    return [problem for result in results for problem in result.diagnostics]


CODING = "{coding: role, on_miss: reject}"
CASE = "cases:\n  - name: one\n    direction: to_canonical\n    input: {resourceType: CareTeam}\n"
KEEP = "{coding: role, on_miss: keep-source}"
STRANGE = {"category": [{"coding": [{"system": "s", "code": "x"}]}]}
NOTED = "canonical_only: {note: carry}\n"
SIBLINGS = mapping(tail=KIN)
EXTENDED = [{"url": "http://x/y", "valueBoolean": True}]
MAKINGS: Mapping[str, Make] = {
    "M001": _file(mapping(head=HEAD + "descripton: typo\n")),
    "M002": _file(mapping(head=HEAD.replace("version: 1\n", ""))),
    "M003": _file(mapping({"name": "[copy]"})),
    "M004": _file(mapping(head=HEAD.replace("home/careteam", "home/careteem"))),
    "M005": _file(mapping(head=HEAD.replace("CareTeam}\nc", "CareTeem}\nc"))),
    "M006": _file(mapping({"participant": None, "particpant": "copy"})),
    "M007": _file(mapping({"category": "{to: categroy}"})),
    "M008": _file(mapping({"encounter": None, "telecom": None})),
    "M009": _file(mapping(head=HEAD.replace("extension: copy\n", "", 1))),
    "M010": _file(mapping({"name": None, "category": "{to: name}"})),
    "M011": _file(mapping({"period": "{to: name}", "name": "{to: period}"})),
    "M012": _file(mapping({"reasonCode": "{to: category}"})),
    "M013": _required,
    "M014": _file(mapping(_role("{coding: roles, on_miss: reject}"))),
    "M015": _file(mapping({"name": "coppy", "note": "{tabel: x}"})),
    "M016": _file(mapping({"participant": under("fields: {role: copy}"), "period[]": "copy",
                           "period": None})),
    "M017": _file(mapping({"note": "drop"})),
    "M018": _file(mapping(_role("{coding: role}"))),
    "M019": _file(mapping({"note": "{when: \"status = 'active'\"}"})),
    "M020": _file(mapping({"note": "{when: status.startsWith('a'), otherwise: carry}"})),
    "M021": _table("dialect,canonical\na,\n"),
    "M022": _table(TABLE.replace("to_dialect", "")),
    "M023": _table(TABLE + "http://d.example,=HYPERLINK(1),http://c.example,3,Three,,\n"),
    "M024": _table(TABLE + "http://d.example,a,http://c.example,1,One,,\n"),
    "M025": _file(HEAD + "extends: home/careteem\nfields: {}\n"),
    "M026": _file(mapping({"period": "{function: open-ends}"})),
    "M027": _file(mapping({"name": "{to_canonical: \"name.__class__\"}"})),
    "M028": _file(mapping(tail="defaults: {to_dialect: {category: [{codings: []}]}}\n")),
    "M029": _file(mapping(_role("{coding: role, ref: Patient, on_miss: reject}"))),
    "M030": _file(mapping({"subject": "{ref: Pateint}"})),
    "M031": _certificate,
    "M032": _cases(None),
    "M033": _cases(CASE + "    expect: {particpant: []}\n"),
    "M034": _cases(CASE + "    expect: {name: Team}\n"),
    "M035": _cases(CASE.replace("{resourceType: CareTeam}", "{file: samples/none.json}")),
    "M036": _profile,
    "M037": _cases(CASE + "    note: M037\n"),
    "M038": _file(mapping({"status": "{table: status, on_miss: reject}"}),
                  {"tables/status.yaml": STATUS.replace("canonical: active", "canonical: actve")}),
    "M039": _file(mapping(tail=KIN.replace("    period: widest\n    reasonCode: union\n", ""))),
    "M040": _file(mapping(tail=KIN.replace("period: widest", "period: union")
                          .replace("one: participant", "one: period")
                          .replace("active, suspended, ", "active, "))),
    "M041": _file(mapping(), {"home/carteam.test.yaml": CASE, "home/careplan.yml": ""}),
    "M042": _file(mapping(), {"home/team.yaml": mapping().replace("home/careteam", "home/team")}),
    "T001": _message(mapping(), {"nmae": "x"}),
    "T002": _message(mapping({"category": CODING}), STRANGE),
    "T003": _message(mapping({"category": "{coding: role, on_miss: keep-source}"}),
                     {"category": [{"coding": [{"system": "s", "code": "x"}]}]}),
    "T004": _message(mapping({"category": "{coding: role, on_miss: keep-source}"}),
                     {"category": [{"coding": [{"code": "a"}]}]}),
    "T005": _message(mapping({"category": CODING}),
                     {"category": [{"coding": [{"system": "http://d.example", "code": "b"}]}]}),
    "T006": _message(mapping(), {"status": "bogus"}),
    "T007": _message(mapping(), {"modifierExtension": EXTENDED}),
    "T008": _message(mapping(head=HEAD.replace("extension: copy", "extension: reject", 1)),
                     {"extension": EXTENDED}),
    "T009": _message(mapping(), {"_name": {"extension": EXTENDED}}),
    "T010": _message(mapping({"subject": "{ref: Patient}"}), {"subject": {"reference": "Group/1"}}),
    "T011": _message(mapping({"name": "carry"}, tail="constants: {to_canonical: {name: Team}}\n"),
                     {"name": "Other"}, "to_dialect"),
    "T012": _message(mapping({"name": "{to_canonical: \"category.text\", to_dialect: name}"}),
                     {"category": [{"text": "a"}, {"text": "b"}]}),
    "T013": _message(mapping(_role("copy")), {"participant": {"role": []}}),
    "T014": _message(mapping(), {"resourceType": "CarePlan"}),
    "T015": _message(mapping({"note": "carry"}, tail=NOTED),
                     {"note": [{"text": "x"}]}),
    "T016": _message(mapping({"note": "{drop: nobody reads it}"}, tail=NOTED),
                     {"note": [{"text": "x"}]}),
    "T017": _message(mapping(tail="defaults: {to_canonical: {name: Team}}\n"), {}),
    "T018": _message(mapping({"period": "{function: open-end}"}),
                     {"period": {"end": "2100-12-31"}}),
    "T019": _message(mapping({"note": "{when: \"status = 'active'\", otherwise: reject}"}),
                     {"note": [{"text": "x"}]}),
    "T020": _on_the_road,
    "T021": _together(SIBLINGS, [{"id": "a", "name": "A"}, {"id": "b", "name": "B"}]),
    "T022": _together(SIBLINGS, [{"id": "a"}, {"id": "b", "status": "entered-in-error",
                                              "participant": [{"role": [{"text": "x"}]}]}]),
    "T023": _together(SIBLINGS, [{"id": "a"}, {"id": "b", "implicitRules": "http://x/y"}]),
    "T024": _apart,
    "T025": _together(SIBLINGS, [{"id": "a", "participant": [{"role": [{"text": "x"}]},
                                                             {"role": [{"text": "y"}]}]}]),
}  # fmt: skip


@pytest.mark.parametrize("code", [code.code for code in CODES])
def test_each_diagnostic_reads_as_its_golden_file(code: str, tmp_path: Path) -> None:
    """A diagnostic says code, place, what was expected and what to do, word for word."""
    made = [d for d in in_order(MAKINGS[code](tmp_path)) if d.code == code]
    text = "\n".join(diagnostic.text() for diagnostic in made) + "\n"
    golden = GOLDEN / f"{code}.txt"
    if os.environ.get("CARELANE_GOLDEN") == "write" and made:
        golden.write_text(text, encoding="utf-8")
    assert made, f"{code} did not come"
    assert text == golden.read_text(encoding="utf-8")


def test_no_golden_file_is_left_over() -> None:
    """Each golden file belongs to a code that exists."""
    assert {file.stem for file in GOLDEN.glob("*.txt")} == {code.code for code in CODES}
