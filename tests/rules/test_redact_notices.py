"""Notices, marks and recipients: each obligation is carried out, or nothing leaves."""

from __future__ import annotations

from typing import Any

import pytest
from redactions import (
    TABLE,
    coded,
    condition,
    kept,
    label_match,
    message,
)

from engine.fhir.json import dumps
from engine.rules.mark import NOTICES
from engine.rules.redact import Redaction, apply


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


def test_a_notice_that_has_no_place_stops_everything() -> None:
    """A type that cannot carry the notice does not leave without it."""
    told = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGVsbG8="}
    notice = {"type": "notice", "code": "42-cfr-part-2"}
    assert apply(told, [notice]) == Redaction(None, reason="obligation-unknown")
