"""Obligations carried out: what matched is gone, what stays is valid, and nothing dangles."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.diagnostics import has_errors
from engine.fhir.json import dumps, loads
from engine.rules.consent.policy import Policy
from engine.rules.mark import NOTICES
from engine.rules.redact import Redaction, apply
from engine.rules.security_label import ACT_CODE, CONFIDENTIALITY, OBSERVATION_VALUE
from engine.rules.sensitivity import SensitivityTable, read_table
from engine.validate import validate

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
TYPES = "http://hl7.org/fhir/resource-types"
PASS = Policy(unlabelled="pass")


def _shipped() -> SensitivityTable:
    table, _ = read_table()
    assert table is not None
    return table


TABLE = _shipped()


def labelled(code: str) -> dict[str, Any]:
    system = CONFIDENTIALITY if code in "ULMNRV" else ACT_CODE
    return {"security": [{"system": system, "code": code}]}


def coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": ICD, "code": code}]}


def condition(name: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": name,
        "code": coded(code),
        "subject": {"reference": "Patient/1"},
        **more,
    }


def message(*contained: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "id": "m",
        "status": "completed",
        "subject": {"reference": "Patient/1"},
        "sender": {"reference": "Organization/a"},
        "recipient": [{"reference": "Organization/b"}],
        **({"contained": list(contained)} if contained else {}),
        "payload": [{"contentReference": {"reference": f"#{one['id']}"}} for one in contained],
        **more,
    }


def redact(**match: Any) -> dict[str, Any]:
    return {"type": "redact", "match": match}


def permit_only(**match: Any) -> dict[str, Any]:
    return {"type": "permit-only", "match": match}


def label_match(*codes: str) -> list[dict[str, str]]:
    return [labelled(code)["security"][0] for code in codes]


def kept(result: Redaction) -> dict[str, Any]:
    assert result.resource is not None, result
    assert validate(result.resource) == []
    return result.resource


def contained_ids(resource: dict[str, Any]) -> list[str]:
    return [one["id"] for one in resource.get("contained", [])]


def test_without_obligations_nothing_changes() -> None:
    """A permit without obligations sends ordinary content as it came."""
    told = message(condition("c", "E11.9"), payload=[{"contentString": "see you"}])
    told["payload"].append({"contentReference": {"reference": "#c"}})
    assert apply(told, [], table=TABLE) == Redaction(told)


def test_a_denied_label_takes_its_resource_and_the_reference_to_it() -> None:
    """HIV content goes with its contained resource and payload entry; the other stays."""
    told = message(condition("hiv", "B20"), condition("dm", "E11.9"))
    result = apply(told, [redact(securityLabel=label_match("HIV"))], table=TABLE)
    sent = kept(result)
    assert contained_ids(sent) == ["dm"]
    assert sent["payload"] == [{"contentReference": {"reference": "#dm"}}]
    assert result.removed == ("Communication.contained[0]", "Communication.payload[0]")
    assert b"hiv" not in dumps(sent)
    assert b"B20" not in dumps(sent)
    assert {"system": OBSERVATION_VALUE, "code": "REDACTED", "display": "redacted"} in sent["meta"][
        "security"
    ]


def test_narrative_and_notes_go_with_what_they_may_repeat() -> None:
    """When anything is removed, the words beside it are removed too."""
    told = message(
        condition("hiv", "B20"),
        condition("dm", "E11.9"),
        text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">HIV</div>'},
        note=[{"text": "HIV positive since 2019"}],
    )
    told["payload"].append({"contentString": "HIV results attached"})
    for policy in (Policy(), PASS):
        sent = kept(
            apply(told, [redact(securityLabel=label_match("HIV"))], table=TABLE, policy=policy)
        )
        assert "text" not in sent
        assert "note" not in sent
    sent = kept(apply(told, [redact(data=[_instance("Condition/hiv")])], table=TABLE))
    assert b"HIV" not in dumps(sent)


def _instance(reference: str) -> dict[str, Any]:
    return {"meaning": "instance", "reference": {"reference": reference}}


def test_words_are_withheld_under_a_rule_about_labels() -> None:
    """Text that nobody labelled does not leave under a rule about labels, unless policy says so."""
    told = message(condition("dm", "E11.9"))
    told["payload"].append({"contentString": "anything"})
    rule = [permit_only(securityLabel=label_match("N"))]
    assert kept(apply(told, rule, table=TABLE))["payload"] == told["payload"][:1]
    assert apply(told, rule, table=TABLE, policy=PASS).resource == told


def test_a_reference_of_words_only_is_words() -> None:
    """A payload that points nowhere and only says something is unlabelled text."""
    told = message(condition("dm", "E11.9"))
    told["payload"].append({"contentReference": {"display": "HIV positive"}})
    sent = kept(apply(told, [redact(securityLabel=label_match("HIV"))], table=TABLE))
    assert sent["payload"] == told["payload"][:1]


def test_words_labelled_for_themselves_are_judged_by_their_label() -> None:
    """An inline label on a payload entry is that entry's label, and what else goes, it stays."""
    url = (
        "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
    )
    normal = {
        "extension": [{"url": url, "valueCoding": {"system": CONFIDENTIALITY, "code": "N"}}],
        "contentString": "see you on Monday",
    }
    told = message(condition("hiv", "B20"))
    told["payload"].append(normal)
    sent = kept(apply(told, [permit_only(securityLabel=label_match("N"))], table=TABLE))
    assert sent["payload"] == [normal]
    assert "contained" not in sent


def test_nothing_remains_is_said() -> None:
    """Where all that was to be told is withheld, there is nothing to send."""
    told = message(condition("hiv", "B20"), topic={"text": "visit"})
    result = apply(told, [redact(securityLabel=label_match("R"))], table=TABLE)
    assert result.resource is None
    assert result.reason == "nothing-remains"


def test_a_carrier_labelled_as_a_whole_is_withheld_as_a_whole() -> None:
    """A label on the message covers each entry that has none of its own."""
    told = message(meta=labelled("HIV"), payload=[{"contentString": "words"}])
    assert apply(told, [redact(securityLabel=label_match("HIV"))]).reason == "nothing-remains"
    assert apply(told, [redact(securityLabel=label_match("MH"))]).resource is not None


@pytest.mark.parametrize(
    ("level", "rule", "leaves"),
    [
        ("R", redact(securityLabel=label_match("R")), False),
        ("V", redact(securityLabel=label_match("R")), False),
        ("N", redact(securityLabel=label_match("R")), True),
        ("N", permit_only(securityLabel=label_match("R")), True),
        ("V", permit_only(securityLabel=label_match("R")), False),
        ("V", redact(securityLabelIn=label_match("R")), True),
        ("N", permit_only(securityLabelIn=label_match("R")), False),
        ("R", permit_only(any=[{"securityLabel": label_match("N")}, {"class": []}]), False),
        ("R", redact(**{"not": [{"securityLabel": label_match("N")}]}), False),
        ("L", redact(**{"not": [{"securityLabel": label_match("N")}]}), True),
        (
            "N",
            redact(all=[{"securityLabel": label_match("N")}, {"securityLabel": label_match("R")}]),
            True,
        ),
        ("N", redact(), False),
        ("N", permit_only(), True),
        ("N", redact(unheard=[]), False),
        ("N", permit_only(unheard=[]), False),
    ],
)
def test_confidentiality_is_ordered(level: str, rule: dict[str, Any], leaves: bool) -> None:
    """A removal reaches up, a permit reaches down, and what is not understood removes."""
    told = message(condition("c", "X", meta=labelled(level)))
    assert (apply(told, [rule]).resource is not None) is leaves


@pytest.mark.parametrize(
    ("own", "rule", "leaves"),
    [
        (("R", "OPIOIDUD"), redact(securityLabel=label_match("SUD")), False),
        (("R", "SUD"), redact(securityLabel=label_match("OPIOIDUD")), True),
        (("R", "PSY"), permit_only(securityLabel=label_match("PSY")), True),
        (("R", "PSY", "HIV"), permit_only(securityLabel=label_match("PSY")), False),
        (("R", "PSY", "HIV"), redact(securityLabel=label_match("PSY")), False),
        (("R",), permit_only(securityLabel=label_match("PSY")), False),
        (("R",), redact(securityLabel=label_match("PSY")), True),
        (("PSY",), permit_only(securityLabel=label_match("N")), False),
    ],
)
def test_sensitivity_reaches_what_is_under_it(
    own: tuple[str, ...], rule: dict[str, Any], leaves: bool
) -> None:
    """A code covers what is under it; several sensitivities are kept only if all are listed."""
    meta = {"security": label_match(*own)}
    told = message(condition("c", "X", meta=meta))
    assert (apply(told, [rule]).resource is not None) is leaves


@pytest.mark.parametrize(
    ("rule", "leaves"),
    [
        (redact(**{"class": [{"system": TYPES, "code": "Condition"}]}), False),
        (redact(**{"class": [{"system": TYPES, "code": "Communication"}]}), False),
        (redact(**{"class": [{"system": TYPES, "code": "Observation"}]}), True),
        (permit_only(**{"class": [{"system": TYPES, "code": "Condition"}]}), True),
        (permit_only(**{"class": [{"system": TYPES, "code": "Communication"}]}), False),
        (redact(code=[coded("E11.9")]), False),
        (redact(code=[coded("I10")]), True),
        (permit_only(code=[coded("E11.9")]), True),
        (redact(dataPeriod={"start": "2024", "end": "2024"}), False),
        (redact(dataPeriod={"start": "2023", "end": "2023"}), True),
        (permit_only(dataPeriod={"start": "2024-05-01", "end": "2024-05-01"}), True),
        (permit_only(dataPeriod={"start": "2024-05-02"}), False),
        (redact(data=[_instance("Condition/c")]), False),
        (redact(data=[_instance("Condition/d")]), True),
        (permit_only(data=[_instance("http://ehr.example/fhir/Condition/c")]), False),
        (redact(data=[{"meaning": "related", "reference": {"reference": "Encounter/e"}}]), False),
        (
            permit_only(data=[{"meaning": "related", "reference": {"reference": "Encounter/e"}}]),
            True,
        ),
        (
            redact(data=[{"meaning": "authoredby", "reference": {"reference": "Practitioner/p"}}]),
            False,
        ),
        (
            redact(data=[{"meaning": "authoredby", "reference": {"reference": "Practitioner/q"}}]),
            True,
        ),
    ],
)
def test_content_is_matched_by_what_it_is(rule: dict[str, Any], leaves: bool) -> None:
    """Class, code, age and data reference of a contained resource decide whether it leaves."""
    content = condition(
        "c",
        "E11.9",
        recordedDate="2024-05-01T22:30:00Z",
        recorder={"reference": "Practitioner/p"},
        encounter={"reference": "Encounter/e"},
    )
    assert (apply(message(content), [rule]).resource is not None) is leaves


def test_a_referenced_resource_is_judged_by_what_is_known_of_it() -> None:
    """A payload that points outside goes when its target is covered, or is not known at all."""
    told = message(payload=[{"contentReference": {"reference": "Condition/c"}}])
    rule = [redact(securityLabel=label_match("HIV"))]
    assert apply(told, rule, [condition("c", "B20")], table=TABLE).resource is None
    assert apply(told, rule, [condition("c", "E11.9")], table=TABLE).resource is not None
    assert apply(told, rule, table=TABLE).resource is None


def test_an_attachment_is_judged_by_its_date_and_never_read() -> None:
    """An attachment has the age of its creation; without a label it is unlabelled content."""
    pdf = {"contentType": "application/pdf", "data": "aGVsbG8=", "creation": "2024-05-01"}
    told = message(payload=[{"contentAttachment": pdf}])
    assert apply(told, [redact(dataPeriod={"start": "2024", "end": "2024"})]).resource is None
    assert apply(told, [redact(dataPeriod={"start": "2023", "end": "2023"})]).resource == told
    assert apply(told, [redact(securityLabel=label_match("HIV"))], table=TABLE).resource is None


def test_a_contained_resource_that_only_the_removed_pointed_to_goes_along() -> None:
    """Nothing is left behind for a curious reader: strays go, references to them are masked."""
    encounter = {
        "resourceType": "Encounter",
        "id": "enc",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
    }
    hiv = condition("hiv", "B20", encounter={"reference": "#enc"})
    told = message(
        hiv, condition("dm", "E11.9"), contained=[hiv, condition("dm", "E11.9"), encounter]
    )
    sent = kept(apply(told, [redact(securityLabel=label_match("HIV"))], table=TABLE))
    assert contained_ids(sent) == ["dm"]
    other = message(hiv, contained=[hiv, condition("dm", "E11.9"), encounter])
    other["payload"].append({"contentReference": {"reference": "#dm"}})
    other["contained"][1]["encounter"] = {"reference": "#enc"}
    sent = kept(apply(other, [redact(**{"class": [{"system": TYPES, "code": "Encounter"}]})]))
    assert "#enc" not in dumps(sent).decode()
    assert b"masked" in dumps(sent)


def test_the_outside_shows_only_the_highest_confidentiality() -> None:
    """A sensitivity on the message would tell what it holds: only R remains on it."""
    meta = {"security": [*label_match("HIV", "R"), {"system": "http://acme.example", "code": "x"}]}
    told = message(meta=meta, payload=[{"contentString": "words"}])
    sent = kept(apply(told, []))
    assert sent["meta"]["security"] == label_match("R")
    told = message(condition("hiv", "B20"))
    assert kept(apply(told, [], table=TABLE))["meta"]["security"] == label_match("R")


def test_a_recipient_that_is_dropped_is_not_told() -> None:
    """A barred recipient is taken off; without any left nothing is sent."""
    told = message(payload=[{"contentString": "words"}])
    told["recipient"].append({"reference": "Organization/c"})
    drop = {"type": "drop-recipient", "recipient": {"reference": "Organization/c"}}
    result = apply(told, [drop])
    assert kept(result)["recipient"] == [{"reference": "Organization/b"}]
    assert result.dropped == ("Communication.recipient[1]",)
    other = {"type": "drop-recipient", "recipient": {"reference": "Organization/b"}}
    assert apply(told, [drop, other]).reason == "no-recipient"


@pytest.mark.parametrize("kind", ["Communication", "CarePlan", "Binary"])
def test_a_notice_travels_with_the_content(kind: str) -> None:
    """The notice of 42 CFR 2.32 stands in payload, note or extension, once."""
    told = {
        "Communication": message(payload=[{"contentString": "words"}]),
        "CarePlan": {
            "resourceType": "CarePlan",
            "status": "active",
            "intent": "plan",
            "subject": {"reference": "Patient/1"},
            "activity": [{"detail": {"status": "scheduled"}}],
        },
        "Binary": {"resourceType": "Observation", "status": "final", "code": coded("E11.9")},
    }[kind]
    notice = [{"type": "notice", "code": "42-cfr-part-2", "citation": "42 CFR 2.32"}]
    sent = kept(apply(told, [*notice, {"type": "no-redisclosure"}]))
    words = NOTICES["42-cfr-part-2"]
    assert dumps(sent).decode().count(words) == 1
    assert sent["meta"]["security"][-1]["code"] == "NORDSCLCD"
    assert apply(sent, [*notice, {"type": "no-redisclosure"}]).resource == sent


def test_substance_use_records_carry_the_notice_by_themselves() -> None:
    """What the labels tell is substance use treatment never leaves without its notice."""
    sent = kept(apply(message(condition("c", "F11.20")), [], table=TABLE))
    assert sent["payload"][-1]["contentString"] == NOTICES["42-cfr-part-2"]
    assert [one["code"] for one in sent["meta"]["security"]] == ["R", "NORDSCLCD"]


@pytest.mark.parametrize(
    "obligation", [{"type": "encrypt"}, {"type": "redact"}, {"type": "notice", "code": "x"}]
)
def test_an_obligation_that_is_not_known_stops_everything(obligation: dict[str, Any]) -> None:
    """What cannot be carried out is not skipped: nothing is sent."""
    told = message(payload=[{"contentString": "words"}])
    assert apply(told, [obligation]) == Redaction(None, reason="obligation-unknown")


def test_care_plans_and_teams_lose_single_entries() -> None:
    """A methadone clinic leaves the team, a sensitive activity the plan; the others stay."""
    clinic = {
        "resourceType": "Organization",
        "id": "clinic",
        "type": [
            {"coding": [{"system": "http://nucc.org/provider-taxonomy", "code": "261QM2800X"}]}
        ],
        "name": "Clinic",
    }
    team = {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": "Patient/1"},
        "participant": [
            {"member": {"reference": "Practitioner/p"}},
            {"member": {"reference": "Organization/clinic"}},
        ],
    }
    rule = [redact(securityLabel=label_match("SUD"))]
    sent = kept(apply(team, rule, [clinic], table=TABLE))
    assert sent["participant"] == [{"member": {"reference": "Practitioner/p"}}]


def test_a_care_team_inside_a_message_is_content() -> None:
    """Who treats a member is told by a contained team, so the team is judged as content."""
    team = {
        "resourceType": "CareTeam",
        "id": "t",
        "participant": [
            {
                "role": [
                    {
                        "coding": [
                            {"system": "http://nucc.org/provider-taxonomy", "code": "261QM2800X"}
                        ]
                    }
                ]
            }
        ],
    }
    rule = [redact(securityLabel=label_match("SUD"))]
    assert apply(message(team), rule, table=TABLE).reason == "nothing-remains"


def test_a_modifier_that_may_not_be_told_stops_all() -> None:
    """Without a modifierExtension the rest would mean something else: nothing is sent."""
    told = message(condition("dm", "E11.9"))
    told["modifierExtension"] = [{"url": "http://x.example", "valueCodeableConcept": coded("B20")}]
    rule = [redact(code=[coded("B20")])]
    assert apply(told, rule, table=TABLE).reason == "nothing-remains"


def test_words_on_the_thread_go_when_anything_goes() -> None:
    """The display of what a message answers may name what was removed from it."""
    told = message(condition("hiv", "B20"), condition("dm", "E11.9"))
    told["inResponseTo"] = [{"reference": "Communication/0", "display": "HIV results"}]
    rule = [redact(securityLabel=label_match("HIV"))]
    sent = kept(apply(told, rule, table=TABLE))
    assert sent["inResponseTo"] == [{"reference": "Communication/0"}]


def test_a_notice_that_has_no_place_stops_everything() -> None:
    """A type that cannot carry the notice does not leave without it."""
    told = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="}
    notice = {"type": "notice", "code": "42-cfr-part-2"}
    assert apply(told, [notice]) == Redaction(None, reason="obligation-unknown")


def test_real_resources_are_redacted_into_valid_ones(shared: Path) -> None:
    """Corpus resources that carry content stay valid, whatever is taken out of them."""
    rules = [
        [redact(securityLabel=label_match("HIV"))],
        [permit_only(securityLabel=label_match("N"))],
        [redact(dataPeriod={"start": "2010", "end": "2015"})],
    ]
    tried = sent = 0
    for path in sorted((shared / "corpus" / "examples").rglob("*.json")):
        if not path.name.startswith(("Communication", "CarePlan", "CareTeam", "Task")):
            continue
        resource = loads(path.read_bytes())
        if resource.get("resourceType") == "Bundle" or has_errors(validate(resource)):
            continue
        for rule in rules:
            tried += 1
            for policy in (Policy(), PASS):
                result = apply(resource, rule, table=TABLE, policy=policy)
                if result.resource is not None:
                    sent += 1
                    assert not has_errors(validate(result.resource)), path.name
    print(f"{tried} redactions of corpus resources, {sent} left something to send")
    assert tried > 100


CODES = st.sampled_from(["B20", "E11.9", "F10.2", "F33.1", "I10", "Z30.0"])
LABELS = st.lists(st.sampled_from(["N", "R", "HIV", "MH", "SUD", "ETHUD"]), min_size=1, max_size=2)
DATES = st.sampled_from(["2023", "2024-02", "2024-05-01", "2025-01-01T10:00:00Z"])
MATCH = st.recursive(
    st.one_of(
        LABELS.map(lambda codes: {"securityLabel": label_match(*codes)}),
        LABELS.map(lambda codes: {"securityLabelIn": label_match(*codes)}),
        CODES.map(lambda code: {"code": [coded(code)]}),
        st.sampled_from(["Condition", "Communication", "Observation"]).map(
            lambda name: {"class": [{"system": TYPES, "code": name}]}
        ),
        DATES.map(lambda date: {"dataPeriod": {"start": date, "end": date}}),
        st.integers(0, 3).map(lambda n: {"data": [_instance(f"Condition/c{n}")]}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda found: {"any": found}),
        st.lists(inner, min_size=1, max_size=2).map(lambda found: {"all": found}),
        inner.map(lambda found: {"not": [found]}),
    ),
    max_leaves=3,
)
OBLIGATIONS = st.lists(
    st.builds(
        lambda kind, match: {"type": kind, "match": match},
        st.sampled_from(["redact", "permit-only"]),
        MATCH,
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Communication of contained conditions, words, attachments and reasons."""
    found = []
    for number, code in enumerate(draw(st.lists(CODES, max_size=4))):
        more: dict[str, Any] = {}
        if draw(st.booleans()):
            more["recordedDate"] = draw(DATES)
        found.append(condition(f"c{number}", code, **more))
    told = message(*found)
    if draw(st.booleans()):
        told["payload"].append({"contentString": "SECRET words"})
    if draw(st.booleans()):
        told["payload"].append({"contentAttachment": {"url": "http://x.example/SECRET"}})
    if draw(st.booleans()):
        told["reasonCode"] = [coded(draw(CODES))]
    if draw(st.booleans()):
        told["note"] = [{"text": "SECRET note"}]
    if draw(st.booleans()):
        told["meta"] = {"security": label_match(*draw(LABELS))}
    return {key: value for key, value in told.items() if value != []}


def told_parts(resource: dict[str, Any] | None) -> set[bytes]:
    """Return every entry of a message, to be compared as sets."""
    if resource is None:
        return set()
    names = ("payload", "contained", "reasonCode", "note")
    entries = {dumps(entry) for name in names for entry in resource.get(name, [])}
    notices = {dumps({"contentString": words}) for words in NOTICES.values()}
    return entries - notices


@settings(max_examples=400)
@given(told=messages(), obligations=OBLIGATIONS)
def test_what_is_sent_is_valid_and_complete(
    told: dict[str, Any], obligations: list[dict[str, Any]]
) -> None:
    """The result is valid, holds nothing new, has no dangling reference, and leaves its input."""
    before = copy.deepcopy(told)
    result = apply(told, obligations, table=TABLE)
    assert told == before
    if result.resource is None:
        assert result.reason == "nothing-remains"
        return
    assert validate(result.resource) == []
    assert told_parts(result.resource) <= told_parts(told)
    local = {f"#{name}" for name in contained_ids(result.resource)}
    for entry in result.resource.get("payload", []):
        reference = entry.get("contentReference", {}).get("reference")
        assert reference is None or reference in local
    marks = {one["code"] for one in result.resource.get("meta", {}).get("security", [])}
    assert ("REDACTED" in marks) is bool(result.removed)
    assert not marks & {"HIV", "MH", "SUD", "ETHUD", "PSY", "SEX"}


@settings(max_examples=400)
@given(told=messages(), obligations=OBLIGATIONS)
def test_redacting_twice_is_redacting_once(
    told: dict[str, Any], obligations: list[dict[str, Any]]
) -> None:
    """A second pass finds nothing more to remove."""
    once = apply(told, obligations, table=TABLE).resource
    if once is not None:
        assert apply(once, obligations, table=TABLE).resource == once


@settings(max_examples=400)
@given(told=messages(), obligations=OBLIGATIONS, more=OBLIGATIONS)
def test_more_obligations_never_keep_more(
    told: dict[str, Any], obligations: list[dict[str, Any]], more: list[dict[str, Any]]
) -> None:
    """Adding an obligation removes the same or more, in any order."""
    some = told_parts(apply(told, obligations, table=TABLE).resource)
    assert told_parts(apply(told, [*obligations, *more], table=TABLE).resource) <= some
    assert told_parts(apply(told, [*more, *obligations], table=TABLE).resource) <= some


@settings(max_examples=400)
@given(told=messages(), code=CODES)
def test_a_denied_code_is_nowhere_in_what_is_sent(told: dict[str, Any], code: str) -> None:
    """Nothing that a removal by code covers is left in the bytes, nor words that may repeat it."""
    result = apply(told, [redact(code=[coded(code)])], table=TABLE)
    if result.resource is None:
        return
    sent = dumps(result.resource)
    assert f'"{code}"'.encode() not in sent
    if result.removed:
        assert b"SECRET note" not in sent
