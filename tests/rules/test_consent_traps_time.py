"""Traps of time, status and several consents: each test says what leaks or is lost if it fails."""

from __future__ import annotations

from typing import Any

import pytest
from consent_forms import (
    PLAN,
    actor,
    ask,
    consent,
    other,
    purposes,
    r5,
    sensitive,
    told,
)

# time


@pytest.mark.parametrize(
    ("at", "zone", "verdict"),
    [
        ("2026-05-31T23:59:59Z", "UTC", "permit"),
        ("2026-06-01T00:00:00Z", "UTC", "no-consent"),
        ("2026-06-01T03:59:59Z", "America/New_York", "permit"),
        ("2026-06-01T04:00:00Z", "America/New_York", "no-consent"),
    ],
)
def test_consent_trap_end_date_is_the_whole_day(at: str, zone: str, verdict: str) -> None:
    """Ended at midnight's start the last day is lost; in the wrong zone hours leak after it."""
    form = consent({"type": "permit", "period": {"end": "2026-05-31"}})
    assert told(form, at=at, policy={"zone": zone}) == verdict


def test_consent_trap_partial_dates_cover_their_interval() -> None:
    """An end of "2026" read as 1 January ends a consent a year early, or a start too late."""
    form = consent({"type": "permit", "period": {"start": "2026", "end": "2026"}})
    assert told(form, at="2026-12-31T23:59:59Z") == "permit"
    assert told(form, at="2027-01-01T00:00:00Z") == "no-consent"


def test_consent_trap_period_not_begun() -> None:
    """A consent for next month that counts today discloses before the member agreed to."""
    assert (
        ask(consent({"type": "permit", "period": {"start": "2026-06"}})).code == "consent-expired"
    )


def test_consent_trap_data_period_is_not_period() -> None:
    """The age of content mistaken for the time of the rule discloses old records today."""
    form = consent({"type": "permit", "dataPeriod": {"start": "2020", "end": "2021"}})
    decision = ask(form)
    assert decision.decision == "permit"
    assert decision.obligations == (
        {"type": "permit-only", "match": {"dataPeriod": {"start": "2020", "end": "2021"}}},
    )
    assert told(form, dataPeriod={"start": "2019-06", "end": "2020-06"}) == "no-consent"


def test_consent_trap_unreadable_period_denies() -> None:
    """A period that cannot be read must not read as open; on a deny it must not read as over."""
    broken = {"end": "31.12.2026"}
    assert told(consent({"type": "permit", "period": broken})) == "no-consent"
    assert told(consent({"type": "deny", "period": broken}), other()) == "deny"


def test_consent_trap_backwards_period_never_permits() -> None:
    """A period that ends before it starts must not count as any time at all."""
    form = consent({"type": "permit", "period": {"start": "2026-12-31", "end": "2026-01-01"}})
    assert told(form) == "no-consent"


def test_consent_trap_r5_period_of_the_consent() -> None:
    """R5's Consent.period ignored keeps an ended consent alive."""
    form = r5(period={"end": "2026-04-30"})
    assert ask(form).code == "consent-expired"


# status


@pytest.mark.parametrize(
    "status", ["draft", "proposed", "entered-in-error", "inactive", "odd", None]
)
def test_consent_trap_only_active_permits(status: str | None) -> None:
    """A draft, a mistake or an ended form that permits discloses without consent."""
    assert told(consent(status=status)) != "permit"


def test_consent_trap_rejected_is_a_refusal() -> None:
    """A recorded "no" read as "no consent here" lets another form disclose what was refused."""
    assert told(consent(status="rejected"), other()) == "deny"


@pytest.mark.parametrize("status", ["draft", "entered-in-error"])
def test_consent_trap_a_drafted_deny_counts_for_nothing(status: str) -> None:
    """A deny entered in error that still blocks would stop care the member wants."""
    assert told(consent({"type": "deny"}, status=status), other()) == "permit"


# several consents


def test_consent_trap_deny_overrides_across_policies() -> None:
    """If the newer permit of another kind won, a standing deny would be overruled by accident."""
    newer = other(dateTime="2026-04-01T00:00:00Z")
    assert told(consent({"type": "deny"}), newer) == "deny"
    assert told(consent({"type": "deny"}), newer, policy={"combine": "newest"}) == "permit"
    assert told(consent({"type": "deny"}), newer, policy={"combine": "any-permit"}) == "permit"


def test_consent_trap_later_replaces_earlier_by_date_not_arrival() -> None:
    """An old form that arrives late and revives discloses what the newer one narrowed."""
    older = consent(id="old", dateTime="2025-01-01")
    newer = consent({"type": "permit", "purpose": purposes("HPAYMT")}, id="new")
    assert told(older, newer) == told(newer, older) == "no-consent"


def test_consent_trap_revoked_replacement_does_not_revive() -> None:
    """When the newer form is revoked, the one that it replaced must not rise again."""
    older = consent(id="old", dateTime="2025-01-01")
    newer = consent(id="new", status="inactive")
    assert ask(older, newer).code == "consent-revoked"


def test_consent_trap_expired_replacement_does_not_revive() -> None:
    """When the newer form expires, the older, wider one must not come back."""
    older = consent(id="old", dateTime="2025-01-01")
    newer = consent({"type": "permit", "period": {"end": "2026-02"}}, id="new")
    assert told(older, newer) == "no-consent"


def test_consent_trap_unsigned_form_replaces_no_deny() -> None:
    """A newer form that nobody signed must not lift a deny for a third consent to pass."""
    unsigned = consent(id="new", dateTime="2026-02-01T00:00:00Z", sourceReference=None)
    assert told(consent({"type": "deny"}), unsigned, other()) == "deny"


def test_consent_trap_older_version_of_the_same_consent() -> None:
    """The version before a revocation, still in a cache, must not permit beside the revocation."""
    first = consent(meta={"versionId": "1"})
    second = consent(meta={"versionId": "2"}, status="inactive")
    assert told(first, second) == told(second, first) == "no-consent"


def test_consent_trap_two_halves_are_no_whole() -> None:
    """One form for the recipient and one for the purpose must not add up to a permit."""
    who = consent({"type": "permit", "actor": [actor(PLAN)], "purpose": purposes("HPAYMT")})
    why = other({"type": "permit", "actor": [actor("Organization/x")], "purpose": purposes("COC")})
    assert told(who, why) == "no-consent"


def test_consent_trap_two_halves_of_purposes() -> None:
    """Two forms that each cover one of two purposes must not cover both together."""
    one = consent({"type": "permit", "purpose": purposes("TREAT")})
    two = other({"type": "permit", "purpose": purposes("HPAYMT")})
    assert told(one, two, purpose=purposes("TREAT", "HPAYMT")) == "no-consent"


def test_consent_trap_two_halves_of_sensitivities() -> None:
    """Content both about HIV and substance use is not covered by one form for each."""
    one = consent({"type": "permit", "securityLabel": sensitive("HIV")})
    two = other({"type": "permit", "securityLabel": sensitive("ETH")})
    assert told(one, two, securityLabel=sensitive("HIV", "ETH")) == "no-consent"
    due = ask(one, two).obligations
    assert [entry["match"].keys() for entry in due if "match" in entry] == [{"any"}]


@pytest.mark.parametrize("form", [other(status="rejected"), r5(status="not-done", decision=None)])
def test_consent_trap_refusal_without_provisions(form: dict[str, Any]) -> None:
    """A form that the member refused as a whole, with nothing more in it, refuses everything."""
    form.pop("provision", None)
    assert told(consent(), form) == "deny"
    elsewhere = {**form, "scope": {"coding": [{"code": "treatment"}]}}
    assert told(consent(), elsewhere) == "permit"
