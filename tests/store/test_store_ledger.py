"""The ledger as people ask it: found by what they know, explained in full, without payload."""

from __future__ import annotations

import json
from typing import Any

import pytest
from desk import Desk, add_unit
from typer.testing import CliRunner

from engine import ledger
from engine.cli.crosswalk import app as crosswalk_app
from engine.cli.ledger import app as ledger_app
from engine.clock import after
from engine.deliver.outbox import DELIVERY
from engine.store import AttemptRow, DeliveryRow, NewDelivery, Transaction
from engine.testing import ManualClock
from engine.transform.crosswalk import Key

SECRET = "Grandma's diagnosis"
MRN = Key("", "identifier", "Patient|http://mercy.example/mrn|A1")


def story(desk: Desk) -> DeliveryRow:
    """Record one Communication that was permitted, tried once and then withheld."""

    def arrive(tx: Transaction) -> DeliveryRow:
        tx.crosswalk.link({MRN: "m1"}, source="mercy")
        message, unit = add_unit(tx, type="Communication", member="m1", resource="Communication/c")
        tx.audit.append("message.accepted", message=message, actor="mercy")
        basis = [{"consent": "Consent/x/_history/3", "effect": "permit", "why": "it permits"}]
        body = {"decision": "permit", "basis": basis}
        tx.decisions.add(unit, "permit", code=None, body=body, at=tx.now)
        body = SECRET.encode()
        new = NewDelivery(message, unit, "hub", "m1", "Communication", body)
        row = tx.deliveries.get(tx.deliveries.enqueue(new))
        assert row is not None
        return row

    queued = desk.write(arrive)
    (row,) = desk.claim()

    def fail(tx: Transaction) -> None:
        tx.attempts.add(AttemptRow(row.id, row.fence, tx.now, tx.now, 503, "D004"))
        tx.deliveries.retry(row.id, row.fence, tx.now, "D004")

    desk.write(fail)
    (row,) = desk.claim()

    def withdraw(tx: Transaction) -> None:
        considered = [{"consent": "Consent/x/_history/4", "applied": False, "why": "revoked"}]
        tx.decisions.add(
            row.unit_id,
            "deny",
            code="consent-revoked",
            body={"decision": "deny", "considered": considered},
            at=tx.now,
            delivery=row.id,
        )
        tx.deliveries.hold(row.id, row.fence, "consent-withdrawn")

    desk.write(withdraw)
    return queued


def run(app: Any, url: str, *words: str) -> Any:
    return CliRunner().invoke(app, [*words, "--store", url])


@pytest.mark.parametrize(
    "asked",
    [
        {"member": "m1"},
        {"member": "Patient/m1"},
        {"member": "A1"},
        {"member": "http://mercy.example/mrn|A1"},
        {"state": "held"},
        {"state": "accepted"},
        {"system": "mercy"},
    ],
)
def test_messages_are_listed_by_what_people_know(desk: Desk, asked: dict[str, str]) -> None:
    """A member by any name, a state of any part, and the sender lead to the message."""
    row = story(desk)
    found = desk.store.read(lambda tx: ledger.lines(tx, ledger.Question(**asked)))
    assert [line.message.id for line in found] == [row.message_id]
    other = dict.fromkeys(asked, "unknown")
    assert desk.store.read(lambda tx: ledger.lines(tx, ledger.Question(**other))) == []


@pytest.mark.parametrize("state", sorted(state.name for state in DELIVERY.states))
def test_a_member_is_listed_in_any_state(desk: Desk, state: str) -> None:
    """A member and a state narrow together, whichever state of a delivery it is."""
    row = story(desk)
    asked = ledger.Question(member="m1", state=state)
    found = desk.store.read(lambda tx: ledger.lines(tx, asked))
    assert [line.message.id for line in found] == [row.message_id] * (state == "held")


def test_any_part_leads_to_the_whole_message(desk: Desk) -> None:
    """A message, a unit and a delivery have the same trace; an unknown id has none."""
    row = story(desk)
    traces = [
        desk.store.read(lambda tx, id=id: ledger.trace(tx, id))
        for id in (row.message_id, row.unit_id, row.id)
    ]
    assert traces[0] == traces[1] == traces[2] is not None
    assert desk.store.read(lambda tx: ledger.trace(tx, "unknown")) is None


def test_trace_explains_every_decision_and_attempt(desk: Desk, store_url: str) -> None:
    """A privacy officer reads who decided what on which version of a consent, and what followed."""
    row = story(desk)
    said = run(ledger_app, store_url, "trace", row.message_id)
    assert said.exit_code == 0, said.output
    for part in (
        "Communication, routed",
        "Decision at acceptance",
        "rests on Consent/x/_history/3: permit",
        "because it permits",
        "Delivery to hub: held (consent-withdrawn)",
        "HTTP 503, D004",
        "Decision at sending",
        "deny (consent-revoked)",
        "also looked at Consent/x/_history/4",
        "delivery.held  by engine",
    ):
        assert part in said.output, part
    data = json.loads(run(ledger_app, store_url, "trace", row.id, "--json").output)
    assert data["units"][0]["deliveries"][0]["decisions"][0]["code"] == "consent-revoked"


def test_payload_is_shown_only_when_asked_for(desk: Desk, store_url: str) -> None:
    """No command shows what a message says, except `show --payload`."""
    row = story(desk)
    for words in (
        ("list", "--json"),
        ("list",),
        ("trace", row.id),
        ("trace", row.id, "--json"),
        ("show", row.id),
        ("show", row.id, "--json"),
    ):
        said = run(ledger_app, store_url, *words)
        assert said.exit_code == 0
        assert SECRET not in said.output
        assert "resourceType" not in said.output
    assert SECRET in run(ledger_app, store_url, "show", row.id, "--payload").output


def test_held_delivery_is_released_by_hand(desk: Desk, store_url: str) -> None:
    """Release lets it go once, says by whom, and has nothing to do a second time."""
    row = story(desk)
    assert run(ledger_app, store_url, "release", row.id, "--by", "ann").exit_code == 0
    assert run(ledger_app, store_url, "release", row.id).exit_code == 1
    records = desk.store.read(lambda tx: tx.audit.of_message(row.message_id))
    assert (records[-1].kind, records[-1].actor) == ("delivery.waiting", "ann")


def test_dead_letter_is_requeued_by_hand(desk: Desk, store_url: str, clock: ManualClock) -> None:
    """Requeue has a dead letter tried again, and refuses what is none."""
    queued = desk.enqueue()
    assert run(ledger_app, store_url, "requeue", queued.id).exit_code == 1
    (row,) = desk.claim()
    desk.write(lambda tx: tx.deliveries.dead(row.id, row.fence, "refused"))
    assert run(ledger_app, store_url, "requeue", queued.id).exit_code == 0
    clock.step(1e9)  # the command goes by the clock of the machine
    assert len(desk.claim()) == 1


@pytest.mark.parametrize(
    ("words", "state"),
    [(("skip",), "skipped"), (("discard", "--reason", "the plan was merged"), "discarded")],
)
def test_a_line_goes_on_past_a_dead_letter_by_hand(
    desk: Desk, store_url: str, clock: ManualClock, words: tuple[str, ...], state: str
) -> None:
    """Skip and discard let what waits behind it go, say by whom, and refuse what is under way."""
    dead, behind = desk.enqueue(), desk.enqueue()
    move, *more = words
    (row,) = desk.claim()
    assert run(ledger_app, store_url, move, dead.id, *more).exit_code == 1
    desk.write(lambda tx: tx.deliveries.dead(row.id, row.fence, "refused"))
    assert desk.claim() == []
    assert run(ledger_app, store_url, move, dead.id, *more, "--by", "ann").exit_code == 0
    records = desk.store.read(lambda tx: tx.audit.of_message(dead.message_id))
    assert (records[-1].kind, records[-1].actor) == (f"delivery.{state}", "ann")
    clock.step(1e9)  # the command goes by the clock of the machine
    assert [one.id for one in desk.claim()] == [behind.id]


def test_a_delivery_is_not_given_up_without_a_reason(desk: Desk, store_url: str) -> None:
    """An empty reason is none: the record would not tell why nothing was sent."""
    queued = desk.enqueue()
    assert run(ledger_app, store_url, "discard", queued.id, "--reason", " ").exit_code == 2
    assert len(desk.claim()) == 1


def test_verify_tells_whole_from_broken(desk: Desk, store_url: str) -> None:
    """Exit code 0 for a whole chain, 1 for a broken one, 2 for a note that is none."""
    story(desk)
    assert run(ledger_app, store_url, "verify").exit_code == 0
    noted = f"1:{'0' * 64}"
    assert run(ledger_app, store_url, "verify", "--known", noted).exit_code == 1
    assert run(ledger_app, store_url, "verify", "--known", "x").exit_code == 2
    assert json.loads(run(ledger_app, store_url, "verify", "--json").output)["whole"] is True


def test_unknown_id_and_unusable_store_have_their_exit_codes(desk: Desk, store_url: str) -> None:
    """What is not there is a problem, a store that cannot be opened is misuse."""
    assert run(ledger_app, store_url, "trace", "unknown").exit_code == 1
    assert run(ledger_app, "mysql://x/y", "list").exit_code == 2


def test_list_is_narrowed_by_time(desk: Desk, store_url: str, clock: ManualClock) -> None:
    """Since and until select by arrival."""
    row = story(desk)
    later = after(clock.now(), 1)
    assert json.loads(run(ledger_app, store_url, "list", "--json", "--since", later).output) == []
    found = json.loads(run(ledger_app, store_url, "list", "--json", "--until", later).output)
    assert [line["id"] for line in found] == [row.message_id]


@pytest.mark.parametrize(
    ("since", "count"),
    [
        ("2026-05-01T10:00:00Z", 1),
        ("2026-05-01T12:00:00+02:00", 1),
        ("2026-05-01T12:00:01+02:00", 0),
        ("2026-05-01T10:00:00.5Z", 1),
        ("2026-05-01", 1),
        ("2026-05-02", 0),
    ],
)
def test_instants_are_compared_in_time_not_as_text(
    desk: Desk, store_url: str, since: str, count: int
) -> None:
    """Zones and precision may be any; without a zone an instant is in UTC."""
    desk.accept(received="2026-05-01T10:00:00.500000Z")
    narrowed = "list", "--json", "--since", since
    assert len(json.loads(run(ledger_app, store_url, *narrowed).output)) == count
    narrowed = "list", "--json", "--until", since
    assert len(json.loads(run(ledger_app, store_url, *narrowed).output)) == 1 - count


@pytest.mark.parametrize("at", ["soon", "9999-12-31T23:59:59-14:00", "2026-13-01"])
def test_what_is_no_instant_is_misuse(store_url: str, desk: Desk, at: str) -> None:
    """A narrowing that is not understood lists nothing."""
    done = run(ledger_app, store_url, "list", "--since", at)
    assert done.exit_code == 2
    assert "2026-05-01T10:00:00Z" in done.output


def test_crosswalk_is_imported_shown_and_joined(store_url: str, tmp_path: Any) -> None:
    """A CSV links its groups; joining two known members takes --merge; all or nothing."""
    head = "same_as,type,system,reference,identifier_system,identifier_value\n"
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text(
        head + "a,Patient,mercy,Patient/1,http://m,A1\na,Patient,hub,Patient/7,,\n"
        "b,Patient,hub,Patient/8,,\n"
    )
    done = run(crosswalk_app, store_url, "import", str(first), "--json")
    assert json.loads(done.output) == {"entities": 2, "links": 4, "merged": 0, "released": 0}
    shown = json.loads(run(crosswalk_app, store_url, "show", "hub:Patient/7", "--json").output)
    assert {row["value"] for row in shown} == {"Patient/1", "Patient/7", "Patient|http://m|A1"}

    second.write_text(
        head + "z,Patient,mercy,Patient/9,,\nc,Patient,hub,Patient/7,,\nc,Patient,hub,Patient/8,,\n"
    )
    refused = run(crosswalk_app, store_url, "import", str(second))
    assert refused.exit_code == 1
    assert f"{second}:4:15: K104" in refused.output
    assert run(crosswalk_app, store_url, "show", "mercy:Patient/9").exit_code == 1
    joined = run(crosswalk_app, store_url, "import", str(second), "--merge", "--json")
    assert json.loads(joined.output)["merged"] == 1
    shown = json.loads(run(crosswalk_app, store_url, "show", "A1", "--json").output)
    assert len(shown) == 4


def test_two_names_are_linked_by_hand(store_url: str) -> None:
    """Link takes two names of one type, and refuses what is no name."""
    names = ("mercy:Patient/1", "Patient?identifier=http://m|A1")
    assert run(crosswalk_app, store_url, "link", *names).exit_code == 0
    assert run(crosswalk_app, store_url, "show", "http://m|A1").exit_code == 0
    assert run(crosswalk_app, store_url, "link", "Patient/1", names[1]).exit_code == 2
    assert run(crosswalk_app, store_url, "link", "mercy:Practitioner/1", names[1]).exit_code == 2
