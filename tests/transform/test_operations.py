"""Each operation of the mapping language there and back, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.fhir.json import dumps, loads
from engine.transform.adapter import Adapter
from engine.transform.load import load_folder
from engine.transform.references import Crosswalk, Reference, Unresolved
from engine.transform.types import children

from makings import HEAD, adapter, mapping, under, write  # isort: skip

Tree = dict[str, Any]


def _coding(system: str, code: str, **more: Any) -> Tree:
    return {"system": f"http://{system}.example", "code": code, **more}


def _team(**elements: Any) -> Tree:
    return {"resourceType": "CareTeam", **elements}


def _there_and_back(made: Adapter, source: Tree) -> Tree:
    before = dumps(source)
    gone = made.to_canonical(source)
    assert gone.resource is not None, gone.diagnostics
    back = made.to_dialect(gone.resource)
    assert back.resource is not None, back.diagnostics
    assert loads(dumps(back.resource)) == loads(before)
    assert dumps(source) == before, "an adapter changed what it was given"
    return gone.resource


def _back_and_there(made: Adapter, canonical: Tree) -> Tree:
    gone = made.to_dialect(canonical)
    assert gone.resource is not None, gone.diagnostics
    back = made.to_canonical(gone.resource)
    assert back.resource == canonical
    return gone.resource


def test_a_renamed_element_takes_its_primitive_extension_along(tmp_path: Path) -> None:
    """`to:` moves the value and its `_name` sibling; two names may be exchanged."""
    names = children("R4", "CarePlan")
    fields = {**dict.fromkeys(names, "copy"), "title": "{to: description}"}
    fields["description"] = "{to: title}"
    head = HEAD.replace("careteam", "careplan").replace("CareTeam", "CarePlan")
    text = head + "fields:\n" + "".join(f"  {name}: {rule}\n" for name, rule in fields.items())
    folder = load_folder(write(tmp_path, {"home/careplan.yaml": text}))
    loaded = folder.mappings["home/careplan"]
    assert loaded.plan is not None, folder.problems
    beside = {"extension": [{"url": "http://a/b", "valueCode": "c"}]}
    source = {"resourceType": "CarePlan", "title": "x", "_title": beside, "description": "y"}
    gone = _there_and_back(Adapter(loaded, loaded.plan), source)
    assert gone["description"] == "x"
    assert gone["_description"] == beside
    assert gone["title"] == "y"


def test_what_is_carried_keeps_digits_and_order(tmp_path: Path) -> None:
    """A carried value comes back with every digit, and other extensions stay in their order."""
    tail = "canonical_only: {note: carry, telecom: carry}\n"
    made = adapter(tmp_path, mapping({"note": "carry", "telecom": "carry"}, tail=tail))
    source = loads(
        b'{"resourceType":"CareTeam","extension":[{"url":"http://a/1","valueDecimal":72.50}],'
        b'"note":[{"text":"a","extension":[{"url":"u","valueDecimal":1.0e2}]}],"telecom":[{"rank":1}]}'
    )
    gone = made.to_canonical(source)
    assert gone.resource is not None
    assert "note" not in gone.resource
    back = made.to_dialect(gone.resource)
    assert back.resource is not None
    assert b"1.0e2" in dumps(back.resource)
    assert b"72.50" in dumps(back.resource)
    assert back.resource == source


@pytest.mark.parametrize(
    "codings",
    [
        [_coding("d", "a")],
        [_coding("d", "a", display="mine", userSelected=True)],
        [_coding("d", "c")],
        [_coding("d", "a"), _coding("x", "9")],
        [_coding("d", "a"), _coding("c", "1", display="One")],
        [_coding("c", "1", display="One"), _coding("d", "a")],
        [_coding("c", "1")],
        [_coding("d", "a"), _coding("d", "b"), _coding("d", "a")],
        [_coding("x", "9")],
        [{"code": "a"}],
    ],
)
@pytest.mark.parametrize("rule", ["", ", keep_source: false", ", only: to_canonical"])
def test_translated_codings_come_back_from_both_sides(
    codings: list[Tree], rule: str, tmp_path: Path
) -> None:
    """Whatever codings a concept has, on whichever side it starts, it comes back as it was."""
    made = adapter(tmp_path, mapping({"category": f"{{coding: role, on_miss: keep-source{rule}}}"}))
    _there_and_back(made, _team(category=[{"coding": codings, "text": "t"}]))
    _back_and_there(made, _team(category=[{"coding": codings}]))


def test_a_translation_stands_in_front_of_what_it_translates(tmp_path: Path) -> None:
    """The other side's coding comes first, the source coding stays behind it."""
    made = adapter(tmp_path, mapping({"category": "{coding: role, on_miss: reject}"}))
    gone = _there_and_back(made, _team(category=[{"coding": [_coding("d", "a")]}]))
    assert gone["category"][0]["coding"] == [_coding("c", "1", display="One"), _coding("d", "a")]


def test_two_messages_share_no_table_row(tmp_path: Path) -> None:
    """A translation is a copy: changing one result changes no other."""
    made = adapter(tmp_path, mapping({"category": "{coding: role, on_miss: reject}"}))
    one = made.to_canonical(_team(category=[{"coding": [_coding("d", "a")]}])).resource
    assert one is not None
    one["category"][0]["coding"][0]["code"] = "spoilt"
    two = made.to_canonical(_team(category=[{"coding": [_coding("d", "a")]}])).resource
    assert two is not None
    assert two["category"][0]["coding"][0]["code"] == "1"


def test_a_remembered_coding_that_was_changed_since_is_not_brought_back(tmp_path: Path) -> None:
    """What a rule took out of canonical stays out: a memory holds for what was made of it."""
    made = adapter(tmp_path, mapping({"category": "{coding: role, on_miss: keep-source}"}))
    gone = made.to_canonical(_team(category=[{"coding": [_coding("c", "1")]}])).resource
    assert gone is not None
    gone["category"][0]["coding"] = [_coding("c", "2", display="Two")]
    back = made.to_dialect(gone).resource
    assert back is not None
    codes = [coding["code"] for coding in back["category"][0]["coding"]]
    assert "1" not in codes


@pytest.mark.parametrize("status", ["active", "inactive", "suspended"])
def test_bare_codes_that_collapse_are_remembered(status: str, tmp_path: Path) -> None:
    """Two codes that become one come back as the two that they were."""
    made = adapter(tmp_path, mapping({"status": "{table: status, on_miss: reject}"}))
    gone = _there_and_back(made, _team(status=status))
    assert gone["status"] == ("active" if status == "active" else "inactive")


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_first_and_rest_make_one_of_many(names: list[str], tmp_path: Path) -> None:
    """The first item goes across, the rest is carried, and the list comes back in its order."""
    made = adapter(tmp_path, _one_of_many())
    source = _team(reasonReference=[{"reference": f"Condition/{n}"} for n in names])
    gone = _there_and_back(made, source)
    assert gone["encounter"] == {"reference": "Condition/a"}


def _one_of_many() -> str:
    changes = {
        "encounter": "carry",
        "reasonReference": "{ref: any, to: encounter, first: true, rest: carry}",
    }
    return mapping(changes, tail="canonical_only: {reasonReference: carry}\n")


def test_a_split_list_comes_back_in_its_order(tmp_path: Path) -> None:
    """Items go to the first case that holds; the way back puts them where they were."""
    split = """
        split:
          - {when: "text = 'category'", to: category}
          - {when: "coding.exists()", to: reasonCode}
        rest: carry
    """
    changes = {"category": None, "category[]": under(split), "reasonCode": "carry"}
    made = adapter(tmp_path, mapping(changes))
    items = [{"coding": [_coding("d", "a")]}, {"text": "category"}, {"text": "other"}]
    gone = _there_and_back(made, _team(category=items))
    assert gone["category"] == [{"text": "category"}]
    assert gone["reasonCode"] == [{"coding": [_coding("d", "a")]}]
    _back_and_there(made, _team(reasonCode=items[:1], category=items[1:2]))


def test_a_condition_lets_some_values_pass_and_carries_the_others(tmp_path: Path) -> None:
    """`when` looks at the object around the element; what it does not take is carried."""
    made = adapter(tmp_path, mapping({"note": "{when: \"status = 'active'\", otherwise: carry}"}))
    assert "note" in _there_and_back(made, _team(status="active", note=[{"text": "x"}]))
    assert "note" not in _there_and_back(made, _team(status="inactive", note=[{"text": "x"}]))


def test_identifier_systems_are_renamed_and_renamed_back(tmp_path: Path) -> None:
    """A system gets canonical's name; one that has it already is told apart on the way back."""
    made = adapter(tmp_path, mapping({"identifier": '{identifier: {"urn:x": "http://mrn"}}'}))
    values = [{"system": s, "value": "1"} for s in ("urn:x", "http://mrn", "urn:other")]
    gone = _there_and_back(made, _team(identifier=values))
    assert [item["system"] for item in gone["identifier"]] == [
        "http://mrn",
        "http://mrn",
        "urn:other",
    ]


def test_constants_and_defaults_come_off_again(tmp_path: Path) -> None:
    """What a direction writes by itself is gone after the way back."""
    tail = "constants: {to_canonical: {name: Team}}\ndefaults: {to_dialect: {status: active}}\n"
    made = adapter(tmp_path, mapping({"name": "carry"}, tail=tail))
    assert _there_and_back(made, _team(status="active"))["name"] == "Team"
    assert _back_and_there(made, _team(name="Team"))["status"] == "active"


def test_a_dropped_tag_leaves_the_rest_of_its_object(tmp_path: Path) -> None:
    """`meta: copy` beside `meta.tag: {drop: ...}` means everything in meta but the tag."""
    tail = "canonical_only: {meta.tag: carry}\n"
    made = adapter(tmp_path, mapping({"meta.tag": "{drop: server bookkeeping}"}, tail=tail))
    gone = made.to_canonical(_team(meta={"versionId": "1", "tag": [{"code": "x"}]}))
    assert gone.resource == _team(meta={"versionId": "1"})
    assert [d.code for d in gone.diagnostics] == ["T016"]


def test_an_expression_is_computed_in_its_direction_alone(tmp_path: Path) -> None:
    """FHIRPath of one direction makes the element there; the other direction makes nothing."""
    made = adapter(tmp_path, mapping({"name": '{to_canonical: "category.text.first()"}'}))
    gone = made.to_canonical(_team(category=[{"text": "one"}, {"text": "two"}]))
    assert gone.resource is not None
    assert gone.resource["name"] == "one"
    assert "name" not in (made.to_dialect(gone.resource).resource or {})


def test_an_unknown_element_is_carried_where_the_mapping_says_so(tmp_path: Path) -> None:
    """`on_unmapped: carry` lets through what FHIR does not have, and brings it back."""
    made = adapter(tmp_path, mapping(head=HEAD + "on_unmapped: carry\n"))
    gone = _there_and_back(made, _team(shoeSize=42))
    assert "shoeSize" not in gone


class _Town(Crosswalk):
    """A crosswalk in which every Practitioner and Patient has another name."""

    def to_canonical(self, reference: Reference, targets: frozenset[str]) -> Reference | Unresolved:
        literal = reference.get("reference", "")
        if literal.endswith("/unknown"):
            return Unresolved(literal, "not linked")
        return {**reference, "reference": literal.replace("/", "/c-")}

    def to_dialect(self, reference: Reference, targets: frozenset[str]) -> Reference | Unresolved:
        return {**reference, "reference": reference.get("reference", "").replace("/c-", "/")}


REFERRING = _team(
    subject={"reference": "Patient/1"},
    identifier=[{"value": "1", "assigner": {"reference": "Organization/1"}}],
    contained=[{"resourceType": "Goal", "id": "g", "subject": {"reference": "Patient/1"}}],
    participant=[{"member": {"reference": "#g"}, "onBehalfOf": {"reference": "Organization/1"}}],
    note=[{"text": "x", "authorReference": {"reference": "Practitioner/1"}}],
    period={"_start": {"extension": [{"url": "u", "valueReference": {"reference": "Patient/1"}}]}},
    reasonCode=[{"extension": [{"url": "u", "valueReference": {"reference": "Patient/1"}}]}],
)


@pytest.mark.parametrize("carried", [False, True])
def test_every_reference_goes_through_the_crosswalk(carried: bool, tmp_path: Path) -> None:
    """References in datatypes, contained resources and extensions are rewritten; `#g` stays."""
    changes = {"subject": "{ref: Patient}", **({"note": "carry"} if carried else {})}
    tail = "canonical_only: {note: carry}\n" if carried else ""
    made = adapter(tmp_path, mapping(changes, tail=tail))
    gone = made.to_canonical(REFERRING, _Town())
    assert gone.resource is not None
    text = dumps(gone.resource).replace(b"\\", b"")
    assert text.count(b"/c-1") == 7
    assert b'"reference":"Patient/1"' not in text
    assert made.to_dialect(gone.resource, _Town()).resource == REFERRING


@pytest.mark.parametrize(
    "parts",
    [
        {"subject": {"reference": "Patient/1"}},
        {"encounter": {"reference": "Encounter/1", "type": "Encounter", "display": "x"}},
        {"reasonReference": [{"reference": "Condition/1"}, {"display": "x"}]},
        {"participant": [{"member": {"reference": "Patient/1"}}]},
        {"identifier": [{"value": "1", "assigner": {"reference": "Organization/1"}}]},
        {"contained": [{"resourceType": "Goal", "subject": {"reference": "Patient/1"}}]},
    ],
    ids=lambda parts: next(iter(parts)),
)
def test_a_reference_that_is_copied_goes_through_the_crosswalk(
    parts: dict[str, object], tmp_path: Path
) -> None:
    """Wherever it stands in what is taken whole, also where no extension is anywhere."""
    made = adapter(tmp_path, mapping())
    gone = made.to_canonical(_team(**parts), _Town())
    assert dumps(gone.resource).count(b"/c-1") == 1
    assert made.to_dialect(gone.resource or {}, _Town()).resource == _team(**parts)


def test_an_unknown_reference_is_named_with_its_path(tmp_path: Path) -> None:
    """What the crosswalk does not know is collected with path and key, and stops the resource."""
    made = adapter(tmp_path, mapping(_member("{ref: [Patient, Practitioner]}")))
    people = [{"member": {"reference": r}} for r in ("Patient/1", "Patient/unknown")]
    gone = made.to_canonical(_team(participant=people), _Town())
    assert not gone.ok
    assert [(u.key, u.path) for u in gone.unresolved] == [
        ("Patient/unknown", "CareTeam.participant[1].member")
    ]
    assert [(d.code, d.path) for d in gone.diagnostics] == [
        ("K001", "CareTeam.participant[1].member")
    ]


def _member(rule: str) -> dict[str, str | None]:
    fields = f"fields:\n  role: copy\n  member: {rule}\n  onBehalfOf: copy\n  period: copy"
    return {"participant": None, "participant[]": under(fields)}
