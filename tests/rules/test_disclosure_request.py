"""What leaves becomes a question: parties, purpose and content as the decision asks for them."""

from __future__ import annotations

from typing import Any

import pytest

from engine.rules.consent import decide
from engine.rules.redact import apply
from engine.rules.request import request_for
from engine.rules.sensitivity import SensitivityTable, read_table

REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
TYPES = "http://hl7.org/fhir/resource-types"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
NPI = "http://hl7.org/fhir/sid/us-npi"
COC = {"system": REASON, "code": "COC"}
MERCY = {"reference": "Organization/mercy", "identifier": {"system": NPI, "value": "1"}}
HUB = {"reference": "Organization/hub", "identifier": {"system": NPI, "value": "2"}}
AT = "2026-05-01T10:00:00Z"


def _shipped() -> SensitivityTable:
    table, _ = read_table()
    assert table is not None
    return table


TABLE = _shipped()


def coded(code: str, system: str = ICD) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def message(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "id": "m",
        "status": "completed",
        "subject": {"reference": "Patient/1", "display": "Jane"},
        "payload": [{"contentString": "words"}],
        **more,
    }


def asked(resource: dict[str, Any], **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "sender_system": MERCY,
        "recipient_systems": [HUB],
        "purpose": [COC],
        **more,
    }
    return request_for(resource, **given)


def condition(code: str, name: str = "c", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": name, "code": coded(code), **more}


def pointing(*references: str, **more: Any) -> dict[str, Any]:
    payload = [{"contentReference": {"reference": one}} for one in references]
    return message(payload=payload, **more)


def test_a_plain_message_asks_for_its_systems() -> None:
    """Without sender and recipient of its own, a message goes from system to system."""
    assert asked(message(sent="2026-04-30T10:00:00Z")) == {
        "patient": {"reference": "Patient/1"},
        "sender": MERCY,
        "recipient": [HUB],
        "purpose": [COC],
        "action": "disclose",
        "class": [{"system": TYPES, "code": "Communication"}],
        "sent": "2026-04-30T10:00:00Z",
    }


def test_another_sender_must_be_covered_too() -> None:
    """A named sender stands beside the system; the system's own organization only once."""
    request = asked(message(sender={"reference": "Practitioner/p", "display": "Dr"}))
    assert request["sender"] == [{"reference": "Practitioner/p"}, MERCY]
    same = {"identifier": {"system": NPI, "value": "1"}}
    assert asked(message(sender=MERCY))["sender"] == MERCY
    assert asked(message(sender=same))["sender"] == [same, MERCY]


def test_every_recipient_is_asked_for() -> None:
    """Each recipient and the organization of each destination is in the question."""
    told = [{"reference": "Practitioner/p"}, {"reference": "Organization/hub"}]
    request = asked(message(recipient=told), recipient_systems=[HUB, MERCY])
    assert request["recipient"] == [*told, HUB, MERCY]


def test_a_contained_recipient_goes_by_its_identifiers() -> None:
    """A party that stands inside the message is named so that a consent can find it."""
    party = {
        "resourceType": "Organization",
        "id": "o",
        "identifier": [{"system": NPI, "value": "9", "period": {"start": "2020"}}],
    }
    request = asked(message(contained=[party], recipient=[{"reference": "#o"}]))
    assert request["recipient"][0] == {
        "reference": "#o",
        "type": "Organization",
        "identifier": [{"system": NPI, "value": "9"}],
    }


def test_purpose_on_the_resource_goes_before_the_routes() -> None:
    """Purposes in meta.security are asked for; the mark of test data is none."""
    security = [{"system": REASON, "code": "HTEST"}]
    assert asked(message(meta={"security": security}))["purpose"] == [COC]
    security.append({"system": REASON, "code": "TREAT"})
    request = asked(message(meta={"security": security}))
    assert request["purpose"] == [{"system": REASON, "code": "TREAT"}]


def test_the_member_goes_by_every_identifier() -> None:
    """Identifiers of the record and of records merged into it count; a relative's do not."""
    supporting = [
        {
            "resourceType": "Patient",
            "id": "1",
            "identifier": [{"system": "mrn", "value": "A"}],
            "link": [
                {"type": "replaces", "other": {"reference": "Patient/0"}},
                {"type": "seealso", "other": {"reference": "Patient/2"}},
            ],
        },
        {
            "resourceType": "Patient",
            "id": "0",
            "identifier": [{"system": "mrn", "value": "B"}],
            "link": [{"type": "replaced-by", "other": {"reference": "Patient/1"}}],
        },
        {"resourceType": "Patient", "id": "2", "identifier": [{"system": "mrn", "value": "C"}]},
    ]
    assert asked(message(), supporting=supporting)["patient"] == {
        "reference": "Patient/1",
        "identifier": [{"system": "mrn", "value": "A"}, {"system": "mrn", "value": "B"}],
    }


def test_content_that_is_all_alike_is_stated() -> None:
    """One referenced resource gives the question its class, code, labels, age and data."""
    supporting = [condition("B20", recordedDate="2024-05-01")]
    request = asked(pointing("Condition/c"), supporting=supporting, table=TABLE)
    assert request["class"] == [
        {"system": TYPES, "code": "Communication"},
        {"system": TYPES, "code": "Condition"},
    ]
    assert request["code"] == [{"system": ICD, "code": "B20"}]
    assert request["securityLabel"] == [
        {"system": CONFIDENTIALITY, "code": "R"},
        {"system": ACT_CODE, "code": "HIV"},
    ]
    assert request["dataPeriod"] == {"start": "2024-05-01", "end": "2024-05-01"}
    assert request["data"] == [
        {"meaning": "instance", "reference": {"reference": "Condition/c"}},
    ]


def test_content_that_differs_is_left_to_the_obligations() -> None:
    """Where parts differ the question is silent, so that each part is judged for itself."""
    supporting = [condition("B20"), condition("E11.9", "d", recordedDate="2024")]
    request = asked(pointing("Condition/c", "Condition/d"), supporting=supporting, table=TABLE)
    assert not {"code", "securityLabel", "dataPeriod", "data"} & set(request)


def test_a_message_states_what_it_is_about() -> None:
    """Category, topic and reason are in the question, as concepts."""
    request = asked(
        message(category=[coded("notification")], topic=coded("T"), reasonCode=[coded("E11.9")])
    )
    assert request["category"] == [coded("notification")]
    assert request["code"] == [coded("T"), coded("E11.9")]


def test_no_code_is_left_out_of_what_is_stated() -> None:
    """A code that stands beside the content is asked for too: a deny of it must be met."""
    extension = [{"url": "http://x.example", "valueCodeableConcept": coded("B20")}]
    request = asked(pointing("Condition/c", extension=extension), supporting=[condition("E11.9")])
    assert [one["code"] for one in request["code"]] == ["B20", "E11.9"]


@pytest.mark.parametrize(
    ("resource", "sender", "recipients"),
    [
        (
            {
                "resourceType": "CommunicationRequest",
                "requester": {"reference": "Practitioner/p"},
                "sender": {"reference": "Practitioner/q"},
                "recipient": [{"reference": "Patient/1"}],
            },
            [{"reference": "Practitioner/p"}, MERCY],
            [{"reference": "Patient/1"}, {"reference": "Practitioner/q"}, HUB],
        ),
        (
            {
                "resourceType": "Task",
                "requester": {"reference": "Practitioner/p"},
                "owner": {"reference": "Organization/o"},
                "input": [{"valueString": "x"}],
            },
            [{"reference": "Practitioner/p"}, MERCY],
            [{"reference": "Organization/o"}, HUB],
        ),
        ({"resourceType": "CarePlan", "author": {"reference": "Practitioner/p"}}, MERCY, [HUB]),
        ({"resourceType": "Observation"}, MERCY, [HUB]),
    ],
)
def test_other_types_are_asked_for_as_well(
    resource: dict[str, Any], sender: Any, recipients: list[Any]
) -> None:
    """Any type can be guarded: its own parties where it has them, else the systems."""
    request = asked(
        {**resource, "for" if "owner" in resource else "subject": {"reference": "Patient/1"}}
    )
    assert request["patient"] == {"reference": "Patient/1"}
    assert request["sender"] == sender
    assert request["recipient"] == recipients


def consent(**provision: Any) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": "k",
        "meta": {"versionId": "1"},
        "status": "active",
        "scope": coded("patient-privacy", "http://terminology.hl7.org/CodeSystem/consentscope"),
        "category": [coded("59284-0", "http://loinc.org")],
        "patient": {"reference": "Patient/1"},
        "dateTime": "2026-01-01",
        "performer": [{"reference": "Patient/1"}],
        "sourceReference": {"reference": "DocumentReference/form"},
        "policyRule": coded("OPTIN", ACT_CODE),
        "provision": {"type": "permit", **provision},
    }


def test_question_decision_and_redaction_fit_together() -> None:
    """A consent that denies HIV lets the diabetes out of the same message, and only that."""
    supporting = [condition("B20", "hiv"), condition("E11.9", "dm")]
    told = pointing("Condition/hiv", "Condition/dm", category=[coded("notification")])
    request = asked(told, supporting=supporting, table=TABLE)
    deny_hiv = {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "HIV"}]}
    decision = decide(request, [consent(provision=[deny_hiv])], supporting, at=AT)
    assert decision.decision == "permit", decision.to_json()
    result = apply(told, decision.obligations, supporting, table=TABLE)
    assert result.resource is not None
    assert [one["contentReference"]["reference"] for one in result.resource["payload"]] == [
        "Condition/dm"
    ]


def test_all_of_one_denied_kind_is_denied_at_once() -> None:
    """Where everything is of the denied kind there is nothing to redact: the answer is deny."""
    supporting = [condition("B20", "hiv")]
    request = asked(pointing("Condition/hiv"), supporting=supporting, table=TABLE)
    deny_hiv = {"type": "deny", "securityLabel": [{"system": ACT_CODE, "code": "HIV"}]}
    assert decide(request, [consent(provision=[deny_hiv])], at=AT).decision != "permit"


def test_a_number_that_a_family_shares_names_nobody() -> None:
    """The subscriber number of a plan is that of the parents too: it does not tell who is meant."""
    shared = {"type": coded("SN"), "system": "http://plan.example", "value": "77"}
    own = {"system": "http://plan.example/mrn", "value": "1"}
    people = [{"resourceType": "Patient", "id": "1", "identifier": [shared, own]}]
    request = asked(message(), supporting=people)
    assert request["patient"] == {"reference": "Patient/1", "identifier": [own]}


def test_a_label_on_a_reason_is_no_code_of_the_words_beside_it() -> None:
    """What the words are about is asked for by its code, not by the labels that the code calls for.

    A contained resource makes no difference to that.
    """
    told = message(reasonCode=[coded("B20")])
    inside = {**told, "contained": [condition("B20")]}
    for one in (told, inside):
        request = asked(one, table=TABLE)
        assert {coding["system"] for stated in request["code"] for coding in _codings(stated)} == {
            ICD
        }


def _codings(stated: dict[str, Any]) -> list[dict[str, Any]]:
    return stated.get("coding", [stated])


def test_the_member_hears_of_their_own_coordination() -> None:
    """A consent need not name the member for the member to be told."""
    told = message(recipient=[{"reference": "Patient/1"}])
    actor = {
        "role": coded("IRCP", "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"),
        "reference": {"reference": "Organization/hub"},
    }
    decision = decide(asked(told), [consent(actor=[actor])], at=AT)
    assert decision.decision == "permit", decision.to_json()
    other = message(recipient=[{"reference": "Practitioner/x"}])
    assert decide(asked(other), [consent(actor=[actor])], at=AT).decision != "permit"


def test_both_senders_must_be_covered() -> None:
    """A consent for the hospital does not cover a stranger who sends through it."""
    actor = {
        "role": coded(
            "performer", "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
        ),
        "reference": {"reference": "Organization/mercy"},
    }
    assert decide(asked(message()), [consent(actor=[actor])], at=AT).decision == "permit"
    other = message(sender={"reference": "Practitioner/x"})
    assert decide(asked(other), [consent(actor=[actor])], at=AT).decision != "permit"


def test_only_what_is_told_has_a_category_of_disclosure() -> None:
    """The LOINC category of a CareTeam is no category of consents, and rules none out."""
    longitudinal = {"coding": [{"system": "http://loinc.org", "code": "LA28865-6"}]}
    for kind, stated in (("Communication", True), ("CareTeam", False), ("CarePlan", False)):
        resource = {"resourceType": kind, "id": "a", "category": [longitudinal]}
        asked = request_for(resource, sender_system={}, recipient_systems=[], purpose=[])
        assert ("category" in asked) == stated
