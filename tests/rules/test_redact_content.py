"""Content that an obligation matches is gone, and nothing that stays points to it."""

from __future__ import annotations

from typing import Any

import pytest
from redactions import (
    TABLE,
    TYPES,
    coded,
    condition,
    contained_ids,
    instance,
    kept,
    label_match,
    labelled,
    message,
    permit_only,
    redact,
)

from engine.fhir.json import dumps
from engine.rules.redact import Redaction, apply
from engine.rules.security_label import OBSERVATION_VALUE


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
        (redact(data=[instance("Condition/c")]), False),
        (redact(data=[instance("Condition/d")]), True),
        (permit_only(data=[instance("http://ehr.example/fhir/Condition/c")]), False),
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
