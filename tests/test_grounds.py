"""At sending a permit of acceptance is reaffirmed where nothing has changed, and only there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from town import Town, town_after

from engine.coordination.reactions import reaction_key
from engine.deliver.ports import Permit, Withhold
from engine.fhir.json import dumps, loads
from engine.grounds import ready, reaffirmed
from engine.samples.bundles import sample
from engine.sending import Sending
from engine.store import DeliveryRow, Transaction
from engine.transform.crosswalk import reference_key

Happening = Callable[[Town], object]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town whose hub has the sample people, consent and plan."""
    with town_after(tmp_path, "01-who-is-who", "04-signed-consent", "02-team-and-plan") as built:
        yield built


def outreach(id: str = "outreach-1", **more: Any) -> dict[str, Any]:
    """Return the sample outreach, about the sample plan, under another id."""
    base: dict[str, Any] = json.loads(sample("05-outreach"))
    base["identifier"][0]["value"] = base["id"] = id
    return {**base, "about": [{"reference": "CarePlan/plan"}], **more}


def accept(place: Town, resource: dict[str, Any]) -> None:
    told = place.post("mercy", resource)
    assert told.status_code in (200, 201), told.text


def waiting(tx: Transaction) -> DeliveryRow:
    """Return the delivery of the first outreach."""
    rows = [one for one in tx.deliveries.search() if one.type == "Communication"]
    return min(rows, key=lambda row: row.id)


def judged(
    place: Town,
    delivery: DeliveryRow | None = None,
    before: Callable[[Transaction], object] = lambda _tx: None,
) -> tuple[Permit | None, Permit | Withhold]:
    """Return what is reaffirmed, and what deciding from the start says in the same transaction.

    `before` happens ahead of both, in that transaction too.
    """
    afresh = Sending(replace(place.project))  # its files are not known: nothing is reaffirmed

    def work(tx: Transaction) -> tuple[Permit | None, Permit | Withhold]:
        before(tx)
        row = delivery or waiting(tx)
        return reaffirmed(tx, place.project, row), afresh.judge(tx, row)

    return place.store.write(work).result(30)


def reasons(permit: Permit | Withhold) -> dict[str, Any]:
    """Return a ruling without the instant at which it was taken."""
    assert permit.ruling is not None
    body = permit.ruling.body
    return {name: body[name] for name in body if name not in ("at", "reaffirms")}


def test_an_unchanged_permit_is_reaffirmed_by_the_same_reasons(place: Town) -> None:
    """Nothing changed: the permit stands, and deciding and writing again would end the same."""
    accept(place, outreach())
    place.clock.advance(5)
    standing, afresh = judged(place)
    assert standing is not None
    assert isinstance(afresh, Permit)
    assert reasons(standing) == reasons(afresh)
    drafted = place.store.read(waiting).body
    assert afresh.body is not None
    assert loads(drafted) == loads(afresh.body)


def test_the_record_says_when_and_what_was_reaffirmed(place: Town) -> None:
    """At sending a decision is recorded with its own instant and the id of the first one."""
    accept(place, outreach())
    place.clock.advance(5)
    place.deliver()
    delivery = place.store.read(waiting)
    assert delivery.state == "delivered"
    first, second = place.store.read(lambda tx: tx.decisions.of_unit(delivery.unit_id))
    assert second.delivery_id == delivery.id
    assert second.body["reaffirms"] == first.id
    assert (first.at, second.at) == (first.body["at"], second.body["at"])
    assert first.at < second.at
    assert second.body["basis"] == first.body["basis"]
    assert second.body["basis"]


def test_only_what_may_be_reaffirmed_is_brief(place: Town) -> None:
    """The worker judges in its turn what may be reaffirmed, and all else ahead of it."""
    accept(place, outreach())
    sending = Sending(place.project)

    def brief() -> bool:
        return place.store.write(lambda tx: sending.brief(tx, waiting(tx))).result(30)

    assert brief()
    place.clock.advance(3600)
    assert not brief()


def test_what_no_rule_guards_is_brief_once_it_is_reviewed(place: Town) -> None:
    """A plan whose review is still to come is looked at ahead; what outreach sends always is."""
    delivery = planned(place)
    sending = Sending(place.project)

    def briefly(tx: Transaction) -> list[bool]:
        before = sending.brief(tx, delivery)
        tx.timers.finish(reaction_key(delivery.message_id))
        outreached = replace(delivery, envelope={**delivery.envelope, "outreach": {}})
        return [before, sending.brief(tx, delivery), sending.brief(tx, outreached)]

    assert place.store.write(briefly).result(30) == [False, True, False]


def test_what_is_wrapped_in_what_no_rule_guards_is_decided_about(place: Town) -> None:
    """That nothing of its type needs a consent is not taken for a permit."""
    delivery, sending = planned(place), Sending(place.project)

    def wrapped(tx: Transaction) -> list[Permit | Withhold]:
        tx.timers.finish(reaction_key(delivery.message_id))
        name = (delivery.type, delivery.envelope["entity"])
        row = tx.resources.get(*name)
        assert row is not None
        body = dumps(loads(row.body) | {"contained": [outreach("inner")]})
        version = tx.resources.put(*name, body, member=row.member, system=row.system)
        holding = replace(delivery, envelope={**delivery.envelope, "version": version})
        sending.ready(tx, [delivery, holding])
        return [sending.judge(tx, one) for one in (delivery, holding)]

    plain, holding = place.store.write(wrapped).result(30)
    assert plain == Permit()
    assert holding.ruling is not None


def planned(place: Town) -> DeliveryRow:
    """Return the delivery of a plan that was not reviewed yet."""
    bundle = json.loads(sample("02-team-and-plan"))
    (plan,) = (
        one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "CarePlan"
    )
    accept(place, plan)
    (delivery,) = place.store.read(lambda tx: tx.deliveries.search(state="waiting"))
    return delivery


def test_what_reaffirming_asks_is_read_together(place: Town) -> None:
    """For several deliveries what each permit rests on is asked once, and none asks again."""
    for number in range(3):
        accept(place, outreach(f"outreach-{number}"))

    def work(tx: Transaction) -> tuple[list[Permit | None], int, list[str]]:
        rows = [one for one in tx.deliveries.search() if one.type == "Communication"]
        database: Any = tx.connection.connection.driver_connection
        asked: list[str] = []
        database.set_trace_callback(asked.append)
        ready(tx, rows)
        together = len(asked)
        found = [reaffirmed(tx, place.project, row) for row in rows]
        database.set_trace_callback(None)
        return found, together, asked[together:]

    found, together, alone = place.store.write(work).result(30)
    assert len(found) == 3
    assert None not in found
    assert (together, alone) == (2, [])


# What may happen between acceptance and sending.


def revoked(place: Town) -> None:
    consent = json.loads(sample("04-signed-consent"))["entry"][0]["resource"]
    accept(place, {**consent, "status": "inactive"})


def denied_by_another(place: Town) -> None:
    consent = json.loads(sample("04-signed-consent"))["entry"][0]["resource"]
    consent["id"] = consent["identifier"][0]["value"] = "refusal"
    consent["provision"] = {"type": "deny"}
    accept(place, consent)


def plan_made_sensitive(place: Town) -> None:
    bundle = json.loads(sample("02-team-and-plan"))
    plan = next(e["resource"] for e in bundle["entry"] if e["resource"]["id"] == "plan")
    plan.pop("careTeam"), plan.pop("goal")
    very = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
    accept(place, {**plan, "meta": {"security": [very]}})


def plan_known_by_another_id(place: Town) -> None:
    def link(tx: Transaction) -> None:
        found = tx.crosswalk.resolve([reference_key("mercy", "CarePlan/plan")])
        (entity,) = found.values()
        tx.crosswalk.link({reference_key("hub", "CarePlan/theirs"): entity}, source="hub")

    place.store.write(link).result(30)


def outreach_known_by_another_id(place: Town) -> None:
    def link(tx: Transaction) -> None:
        entity = waiting(tx).envelope["entity"]
        tx.crosswalk.link({reference_key("hub", "Communication/theirs"): entity}, source="hub")

    place.store.write(link).result(30)


def somebody_else_came(place: Town) -> None:
    patient = {
        "resourceType": "Patient",
        "id": "other",
        "identifier": [{"system": "http://mercy.example/mrn", "value": "other"}],
        "birthDate": "1980",
    }
    accept(place, patient)


def a_quarter_passed(place: Town) -> None:
    place.clock.advance(15 * 60)


def clock_set_back(place: Town) -> None:
    place.clock.step(-3600)


def nothing(_place: Town) -> None:
    """Let nothing happen."""


def another_outreach(place: Town) -> None:
    """Send a message that changes nothing the first one rests on."""
    accept(place, {**outreach("outreach-2"), "resourceType": "Communication"})


HAPPENINGS = (
    revoked,
    denied_by_another,
    plan_made_sensitive,
    plan_known_by_another_id,
    outreach_known_by_another_id,
    somebody_else_came,
    a_quarter_passed,
    clock_set_back,
)


@pytest.mark.parametrize("happens", HAPPENINGS, ids=lambda one: one.__name__)
def test_whatever_changes_is_decided_again(place: Town, happens: Happening) -> None:
    """A change of what a permit rests on, or of what one knows of it, reaffirms nothing."""
    accept(place, outreach())
    happens(place)
    standing, _ = judged(place)
    assert standing is None


@pytest.mark.parametrize(
    ("happens", "state", "reason"),
    [
        (revoked, "held", "consent-withdrawn"),
        (denied_by_another, "held", "consent-withdrawn"),
        (somebody_else_came, "delivered", None),
    ],
)
def test_what_is_decided_again_counts(
    place: Town, happens: Happening, state: str, reason: str | None
) -> None:
    """What became of the delivery follows from the record as it stands at sending."""
    accept(place, outreach())
    happens(place)
    place.deliver()
    row = place.store.read(waiting)
    assert (row.state, row.reason) == (state, reason)


def test_a_revocation_in_the_same_commit_counts(place: Town) -> None:
    """What a commit wrote before the turn that shares it is a change, though not counted yet."""
    accept(place, outreach())

    def revoke(tx: Transaction) -> None:
        for row in tx.resources.of_type("Consent"):
            body = dumps({**loads(row.body), "status": "inactive"})
            tx.resources.put("Consent", row.id, body, member=row.member, system=row.system)

    standing, afresh = judged(place, before=revoke)
    assert isinstance(afresh, Withhold)
    assert standing is None


def test_a_name_learnt_meanwhile_is_written(place: Town) -> None:
    """What the destination calls the plan by now stands in the body that leaves."""
    accept(place, outreach())
    place.clock.advance(1)
    plan_known_by_another_id(place)
    (arrived,) = [one for one in place.deliver() if one.path.startswith("Communication")]
    assert arrived.resource["about"] == [{"reference": "CarePlan/theirs"}]


def test_a_consent_that_ends_within_the_quarter_ends_the_permit(place: Town) -> None:
    """An end to a time of day is not overlooked, though nothing is written when it comes."""
    consent = json.loads(sample("04-signed-consent"))["entry"][0]["resource"]
    consent["provision"]["period"] = {"start": "2025-09-02", "end": "2026-05-01T10:00:30Z"}
    accept(place, consent)
    accept(place, outreach())
    place.clock.advance(29)
    assert judged(place)[0] is not None
    place.clock.advance(2)
    standing, afresh = judged(place)
    assert standing is None
    assert isinstance(afresh, Withhold)


def test_what_came_with_the_message_itself_is_decided_again(place: Town) -> None:
    """A plan in the same Bundle is on record only once the Bundle is: nobody can tell before."""
    bundle = json.loads(sample("02-team-and-plan"))
    plan = next(e for e in bundle["entry"] if e["resource"]["id"] == "plan")
    plan["resource"].pop("careTeam"), plan["resource"].pop("goal")
    entry = {"resource": outreach(), "request": {"method": "POST", "url": "Communication"}}
    accept(place, {"resourceType": "Bundle", "type": "batch", "entry": [plan, entry]})
    assert "grounds" not in place.store.read(waiting).envelope


def test_another_project_reaffirms_nothing(place: Town) -> None:
    """A project that may decide or write otherwise, by its files, decides for itself."""
    accept(place, outreach())
    other = place.project.digested("of other files")
    assert place.store.write(lambda tx: reaffirmed(tx, other, waiting(tx))).result(30) is None


@pytest.mark.parametrize(
    "happenings",
    list(product((nothing, another_outreach), (nothing, *HAPPENINGS))),
    ids=lambda happenings: "+".join(one.__name__ for one in happenings),
)
def test_reaffirming_never_differs_from_deciding(
    place: Town, happenings: tuple[Happening, ...]
) -> None:
    """Whatever happens: what is reaffirmed would be decided and written just the same."""
    accept(place, outreach())
    delivery = place.store.read(waiting)
    for happens in happenings:
        happens(place)
    standing, afresh = judged(place, delivery)
    if standing is not None:
        assert isinstance(afresh, Permit)
        assert reasons(standing) == reasons(afresh)
        assert afresh.body is not None
        assert loads(delivery.body) == loads(afresh.body)


def test_what_may_be_guarded_is_told_without_reading(place: Town) -> None:
    """Only what certainly is not guarded goes without being read: not what contains something."""
    project, plan = place.project, b'{"resourceType":"CarePlan"}'
    assert not project.may_guard("CarePlan", plan)
    assert project.may_guard("CarePlan", b'{"resourceType":"CarePlan","contained":[]}')
    assert project.may_guard("Communication", b"{}")
