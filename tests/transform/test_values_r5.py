"""Single values between R5 and R4, as pure functions."""

from __future__ import annotations

from engine.transform import values_r5 as pairs


def test_the_text_of_a_concept_becomes_the_string() -> None:
    """Text comes first, then what the first coding shows; the way back makes a text."""
    coded = {"coding": [{"code": "371524004", "display": "Clinical report"}]}
    text = pairs.concept_to_string({"contentCodeableConcept": {"text": "Hello"}}, {})
    shown = pairs.concept_to_string({"contentCodeableConcept": coded}, {})
    assert (text, shown) == ({"contentString": "Hello"}, {"contentString": "Clinical report"})
    assert pairs.string_to_concept(text, {}) == {"contentCodeableConcept": {"text": "Hello"}}


def test_a_concept_that_shows_nothing_is_said_to_be_unknown() -> None:
    """R4 requires a content, so an empty concept becomes a string that is absent for a reason."""
    found = pairs.concept_to_string({"contentCodeableConcept": {"id": "x"}}, {})
    assert found["_contentString"]["extension"][0]["valueCode"] == "unknown"


def test_a_long_number_is_text_in_r5() -> None:
    """A size is a number in R4 and text in R5; one too long for R4 stays away."""
    assert pairs.long_to_int({"size": "20480"}, {}) == {"size": 20480}
    assert pairs.long_to_int({"size": "9000000000"}, {}) == {}
    assert pairs.long_to_int({"size": "-1"}, {}) == {}
    assert pairs.int_to_long({"size": 20480}, {}) == {"size": "20480"}


def test_a_consent_has_a_date_in_r5_and_a_time_in_r4() -> None:
    """Partial dates stay partial, and a time gives its date."""
    assert pairs.date_to_time({"date": "2026-05"}, {}) == {"dateTime": "2026-05"}
    assert pairs.time_to_date({"dateTime": "2026-05-01T10:00:00Z"}, {}) == {"date": "2026-05-01"}


def test_references_that_r4_does_not_allow_stay_away() -> None:
    """Of several references only those go across whose type R4 allows, or is not known."""
    arguments = {"from": "grantor", "to": "performer", "types": "Patient Organization"}
    kept = [{"reference": "Patient/1"}, {"identifier": {"value": "1"}}]
    others = [{"reference": "CareTeam/2"}, {"type": "HealthcareService", "display": "x"}]
    found = pairs.within_types({"grantor": [*others, *kept]}, arguments)
    assert found == {"performer": kept}
    assert pairs.of_any_type(found, arguments) == {"grantor": kept}


def test_a_reference_beside_the_concept_stays_away() -> None:
    """R4 takes the concept of a CodeableReference only."""
    both = {"statusReason": {"concept": {"text": "ill"}, "reference": {"reference": "Condition/1"}}}
    assert pairs.concept_of(both, {}) == {"statusReason": {"text": "ill"}}
    assert pairs.with_concept({"statusReason": {"text": "ill"}}, {}) == {
        "statusReason": {"concept": {"text": "ill"}}
    }
