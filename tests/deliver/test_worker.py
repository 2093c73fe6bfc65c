"""The worker, watched from outside: what arrives where, in which order, and what is on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from rig import PERMIT, Rig, permit
from scripted import Received, Scripted, answer, raw, silence, wait_for

from engine.clock import after, seconds_between
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.deliver.retry import RetryPolicy
from engine.deliver.worker import Settings
from engine.errors import StoreError

Play = Callable[[Rig, Scripted], Awaitable[None]]
UNAVAILABLE = answer(503, Retry_After="30")


def play(folder: Path, script: Any, acts: Play) -> Scripted:
    """Run `acts` with a rig and one scripted destination; return the destination."""

    async def run() -> Scripted:
        async with Scripted(script) as server, Rig(folder) as rig:
            await acts(rig, server)
            return server

    return asyncio.run(run())


def always(act: Any) -> Any:
    """Return a script that does the same for every request."""
    return lambda _request, _number: act


def in_turn(*acts: Any) -> Any:
    """Return a script that does one act after the other, then repeats the last."""
    return lambda _request, number: acts[min(number, len(acts) - 1)]


def test_a_delivery_arrives_and_is_recorded(tmp_path: Path) -> None:
    """What is enqueued while the worker rests is sent at once, and its attempt is on record."""

    async def acts(rig: Rig, server: Scripted) -> None:
        rig.start(rig.destination("hub", server.url))
        id = rig.enqueue("hub")
        await rig.until({id: "delivered"})
        [attempt] = rig.attempts(id)
        assert (attempt.status, attempt.outcome, attempt.number) == (201, "delivered", 1)
        assert server.received[0].headers["idempotency-key"] == rig.row(id).idempotency_key

    play(tmp_path, always(answer(201)), acts)


def test_one_line_is_delivered_in_order(tmp_path: Path) -> None:
    """One member's deliveries arrive in the order in which they were accepted, one at a time."""

    async def acts(rig: Rig, server: Scripted) -> None:
        ids = [rig.enqueue("hub", "m1") for _ in range(20)]
        rig.start(rig.destination("hub", server.url))
        await rig.until(dict.fromkeys(ids, "delivered"))
        keys = [request.headers["idempotency-key"] for request in server.received]
        assert keys == [rig.row(id).idempotency_key for id in ids]

    play(tmp_path, always(answer(200)), acts)


def poison(request: Received, _number: int) -> Any:
    """Answer 422 to whatever carries the word, 200 to the rest."""
    return answer(422 if b"poison" in request.body else 200)


POISON = b'{"resourceType":"CareTeam","id":"poison"}'


def test_a_poisonous_delivery_stops_only_its_own_line(tmp_path: Path) -> None:
    """A dead letter keeps its member's later ones waiting, and nobody else's."""

    async def acts(rig: Rig, server: Scripted) -> None:
        bad = rig.enqueue("hub", "m1", POISON)
        behind = rig.enqueue("hub", "m1")
        others = [rig.enqueue("hub", f"m{number}") for number in range(2, 8)]
        rig.start(rig.destination("hub", server.url))
        await rig.until({bad: "dead", **dict.fromkeys(others, "delivered")})
        assert (rig.row(bad).reason, rig.row(behind).state) == ("D007", "waiting")

    play(tmp_path, poison, acts)


def test_under_skip_the_line_of_a_dead_letter_passes(tmp_path: Path) -> None:
    """The policy `skip` keeps the dead letter aside and delivers what is behind it."""

    async def acts(rig: Rig, server: Scripted) -> None:
        bad, behind = rig.enqueue("hub", "m1", POISON), rig.enqueue("hub", "m1")
        rig.start(rig.destination("hub", server.url, retry=RetryPolicy(poison="skip")))
        await rig.until({bad: "skipped", behind: "delivered"})

    play(tmp_path, poison, acts)


def test_failures_are_tried_again_at_their_time(tmp_path: Path) -> None:
    """A 500 waits for the policy's pause, then twice as long, and then it arrives."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url))
        waits = []
        for attempt in (1, 2):
            await rig.until_true(lambda n=attempt: len(rig.attempts(id)) == n)  # type: ignore[misc]
            waits.append(seconds_between(rig.clock.now(), rig.row(id).due))
            rig.advance(waits[-1])
        await rig.until({id: "delivered"})
        assert waits == [1, 2]
        assert len({request.headers["idempotency-key"] for request in server.received}) == 1

    play(tmp_path, in_turn(answer(500), answer(500), answer(200)), acts)


def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    """A 503 with Retry-After is not tried again a moment before that time."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url))
        await rig.until_true(lambda: len(rig.attempts(id)) == 1)
        assert rig.row(id).due == after(rig.clock.now(), 30)
        rig.advance(29.9)
        other = rig.enqueue("hub", "m2")
        await rig.until({other: "delivered"})
        assert rig.row(id).state == "waiting"
        rig.advance(0.1)
        await rig.until({id: "delivered"})

    play(tmp_path, in_turn(UNAVAILABLE, answer(200)), acts)


def test_what_is_tried_too_often_becomes_a_dead_letter(tmp_path: Path) -> None:
    """After the configured attempts it is dead with a reason, and can be requeued."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url))
        for attempt in (1, 2):
            await rig.until_true(lambda n=attempt: len(rig.attempts(id)) == n)  # type: ignore[misc]
            rig.advance(10)
        await rig.until({id: "dead"})
        assert (rig.row(id).reason, len(rig.attempts(id))) == ("D009", 3)
        rig.store.write(lambda tx: tx.deliveries.requeue(id, "tester")).result()
        await rig.until({id: "delivered"})
        assert len({request.headers["idempotency-key"] for request in server.received}) == 1

    play(tmp_path, in_turn(answer(500), answer(500), answer(500), answer(200)), acts)


@pytest.mark.parametrize(
    "cut",
    [raw(b""), raw(b"HTTP/1.1 2"), raw(b"<html>hello</html>")],
    ids=["closed", "half an answer", "no http"],
)
def test_a_connection_cut_short_is_tried_again(tmp_path: Path, cut: Any) -> None:
    """Half-closed connections and nonsense cost an attempt, and the same key comes again."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url))
        await rig.until_true(lambda: len(rig.attempts(id)) == 1)
        rig.advance(1)
        await rig.until({id: "delivered"})
        assert [attempt.outcome for attempt in rig.attempts(id)] == ["D003", "delivered"]
        assert len({request.headers["idempotency-key"] for request in server.received}) == 1

    play(tmp_path, in_turn(cut, answer(200)), acts)


def test_a_silent_destination_delays_no_other(tmp_path: Path) -> None:
    """While one destination says nothing, another gets everything."""

    async def acts(rig: Rig, server: Scripted) -> None:
        async with Scripted(always(silence)) as mute:
            stuck = [rig.enqueue("mute", f"m{number}") for number in range(8)]
            rig.start(
                rig.destination("mute", mute.url, timeout=60.0),
                rig.destination("hub", server.url),
                settings=Settings(grace=0),
            )
            await mute.count(4)
            ids = [rig.enqueue("hub", f"m{number}") for number in range(20)]
            await rig.until(dict.fromkeys(ids, "delivered"))
            assert len(mute.received) == 4  # its concurrency, and no more
            assert {rig.row(id).state for id in stuck} == {"leased", "waiting"}

    play(tmp_path, always(answer(200)), acts)


def test_what_the_judge_withholds_is_held_and_never_sent(tmp_path: Path) -> None:
    """Without a permit nothing leaves; the decision is on record, and the line goes on."""
    refusal = Ruling("deny", "consent-revoked", {"decision": "deny"})

    def judge(_tx: Any, delivery: Delivery) -> Permit | Withhold:
        if b"poison" in delivery.body:
            return Withhold("consent-withdrawn", refusal)
        return Permit(PERMIT)

    async def acts(rig: Rig, server: Scripted) -> None:
        held, behind = rig.enqueue("hub", "m1", POISON), rig.enqueue("hub", "m1")
        rig.start(rig.destination("hub", server.url), judge=judge)
        await rig.until({held: "held", behind: "delivered"})
        assert rig.row(held).reason == "consent-withdrawn"
        assert rig.attempts(held) == []
        [decision] = rig.store.read(lambda tx: tx.decisions.of_delivery(held))
        assert (decision.decision, decision.code) == ("deny", "consent-revoked")

    server = play(tmp_path, always(answer(200)), acts)
    assert not [request for request in server.received if b"poison" in request.body]


def test_the_decision_is_durable_before_the_bytes_leave(tmp_path: Path) -> None:
    """When the destination reads a request, the permit for it can be read in the record."""
    found: list[int] = []

    async def acts(rig: Rig, server: Scripted) -> None:
        def script(request: Received, _number: int) -> Any:
            key = request.headers["x-request-id"]
            found.append(len(rig.store.read(lambda tx: tx.decisions.of_delivery(key))))
            return answer(500 if len(found) == 1 else 200)

        server.script = script
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url))
        await rig.until_true(lambda: len(rig.attempts(id)) == 1)
        rig.advance(1)
        await rig.until({id: "delivered"})

    play(tmp_path, None, acts)
    assert found == [1, 2]


def test_each_attempt_is_decided_anew(tmp_path: Path) -> None:
    """A consent that ends between two attempts stops the second one."""
    verdicts = [Permit(PERMIT), Withhold("consent-withdrawn", PERMIT)]

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url), judge=lambda _tx, _delivery: verdicts.pop(0))
        await rig.until_true(lambda: len(rig.attempts(id)) == 1)
        rig.advance(1)
        await rig.until({id: "held"})

    assert len(play(tmp_path, always(answer(500)), acts).received) == 1


def test_obligations_at_sending_replace_the_body(tmp_path: Path) -> None:
    """A permit may bring a redacted body, and that is what leaves."""
    body = b'{"resourceType":"CareTeam","id":"redacted"}'

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(
            rig.destination("hub", server.url), judge=lambda _tx, _delivery: Permit(PERMIT, body)
        )
        await rig.until({id: "delivered"})

    assert play(tmp_path, always(answer(200)), acts).received[0].body == body


def test_a_judge_that_crashes_lets_nothing_leave(tmp_path: Path) -> None:
    """A rule that fails denies: no request, tried again later, and dead in the end."""

    def crash(_tx: Any, _delivery: Delivery) -> Permit:
        raise KeyError("a bug")

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url), judge=crash)
        for fence in (1, 2):
            await rig.until_true(lambda n=fence: rig.row(id).fence == n)  # type: ignore[misc]
            assert rig.row(id).reason == "D011"
            rig.advance(10)
        await rig.until({id: "dead"})

    assert play(tmp_path, always(answer(200)), acts).received == []


def test_reading_together_that_crashes_stops_nothing(tmp_path: Path) -> None:
    """Where what the judge asks cannot be read at once, the judge reads it itself."""

    def crash(_tx: Any, _deliveries: Any) -> None:
        raise KeyError("a bug")

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url), ready=crash)
        await rig.until({id: "delivered"})

    assert len(play(tmp_path, always(answer(200)), acts).received) == 1


def test_a_record_that_cannot_be_read_is_no_decision(tmp_path: Path) -> None:
    """Where consents cannot be read nothing is decided and nothing is lost: it is done again."""
    failures = [StoreError("away"), StoreError("away")]

    def judge(tx: Any, delivery: Delivery) -> Permit:
        if failures:
            raise failures.pop()
        return permit(tx, delivery)

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url), judge=judge)
        for _ in range(2):
            await rig.advance_to_next()
        await rig.until({id: "delivered"})
        assert len(rig.attempts(id)) == 1

    assert len(play(tmp_path, always(answer(200)), acts).received) == 1


def test_the_destinations_own_id_is_handed_on(tmp_path: Path) -> None:
    """Where the destination says how it calls the resource, the crosswalk can learn it."""
    learnt: list[str | None] = []

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(
            rig.destination("hub", server.url, interaction="create"),
            delivered=lambda _tx, _delivery, own: learnt.append(own),
        )
        await rig.until({id: "delivered"})
        assert json.loads(rig.attempts(id)[0].note or "{}")["own"] == "CareTeam/17"

    play(tmp_path, always(answer(201, Location="/fhir/CareTeam/17/_history/1")), acts)
    assert learnt == ["CareTeam/17"]


def test_an_arrival_is_recorded_although_learning_from_it_fails(tmp_path: Path) -> None:
    """A failing callback costs the link, never the record that it arrived."""

    def fail(_tx: Any, _delivery: Delivery, _own: str | None) -> None:
        raise ValueError("a bug")

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url), delivered=fail)
        await rig.until({id: "delivered"})

    assert len(play(tmp_path, always(answer(200)), acts).received) == 1


def test_a_stalled_worker_cannot_write_over_its_successor(tmp_path: Path) -> None:
    """When a lease ends, another worker delivers; what the first reports later changes nothing."""
    late = asyncio.Event()

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        hub = rig.destination("hub", server.url, timeout=60.0)
        first = rig.start(hub, settings=Settings("first", lease=1))
        await server.count(1)
        rig.clock.advance(1.5)
        rig.start(hub, settings=Settings("second", lease=1))
        await rig.until({id: "delivered"})
        fence = rig.row(id).fence
        late.set()
        await rig.stop(first)
        assert (rig.row(id).state, rig.row(id).fence) == ("delivered", fence)
        assert [a.number for a in rig.attempts(id)] == [1, 2]

    stalled = wait_for(late, answer(500))
    server = play(tmp_path, in_turn(stalled, answer(200)), acts)
    assert len({request.headers["idempotency-key"] for request in server.received}) == 1


def test_a_lease_that_ends_too_soon_sends_nothing(tmp_path: Path) -> None:
    """A worker that was asleep since its claim gives the delivery back instead of sending it."""

    async def acts(rig: Rig, server: Scripted) -> None:
        def judge(_tx: Any, _delivery: Delivery) -> Permit:
            if not asleep:
                asleep.append(True)
                rig.clock.advance(3600)
            return Permit(PERMIT)

        asleep: list[bool] = []
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url), judge=judge)
        await rig.until({id: "delivered"})
        assert [attempt.number for attempt in rig.attempts(id)] == [2]

    assert len(play(tmp_path, always(answer(200)), acts).received) == 1


def test_shutdown_lets_what_is_under_way_finish(tmp_path: Path) -> None:
    """A worker that is told to stop records the answers that it waits for, and claims no more."""
    release = asyncio.Event()

    async def acts(rig: Rig, server: Scripted) -> None:
        under_way, behind = rig.enqueue("hub", "m1"), rig.enqueue("hub", "m1")
        worker = rig.start(rig.destination("hub", server.url))
        await server.count(1)
        worker.stop()
        release.set()
        await rig.stop(worker)
        assert (rig.row(under_way).state, rig.row(behind).state) == ("delivered", "waiting")

    assert len(play(tmp_path, always(wait_for(release, answer(200))), acts).received) == 1


def test_shutdown_releases_what_does_not_finish(tmp_path: Path) -> None:
    """After the grace the rest is cut off and waits for the next worker, due at once."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        worker = rig.start(rig.destination("hub", server.url), settings=Settings(grace=0))
        await server.count(1)
        await rig.stop(worker)
        assert (rig.row(id).state, rig.row(id).due) == ("waiting", rig.clock.now())
        rig.start(rig.destination("hub", server.url))
        await rig.until({id: "delivered"})

    server = play(tmp_path, in_turn(silence, answer(200)), acts)
    assert len({request.headers["idempotency-key"] for request in server.received}) == 1


def test_a_destination_that_is_down_is_spared(tmp_path: Path) -> None:
    """After several failures in a row the breaker opens; one trial later everything goes on."""

    async def acts(rig: Rig, server: Scripted) -> None:
        down = RetryPolicy(attempts=50, first=0.1, cap=0.1, jitter=0)
        ids = [rig.enqueue("hub", f"m{number}") for number in range(12)]
        worker = rig.start(rig.destination("hub", server.url, retry=down, concurrency=1))
        await rig.until_true(lambda: worker.standing()["hub"].breaker == "open")
        assert len(server.received) == 5
        rig.advance(1)
        await rig.until(dict.fromkeys(ids, "delivered"))
        assert worker.standing()["hub"].breaker == "closed"

    play(tmp_path, lambda _r, number: answer(503 if number < 5 else 200), acts)


def test_too_many_requests_pauses_the_destination(tmp_path: Path) -> None:
    """A 429 with Retry-After stops everything to that destination until then."""

    async def acts(rig: Rig, server: Scripted) -> None:
        ids = [rig.enqueue("hub", f"m{number}") for number in range(3)]
        worker = rig.start(rig.destination("hub", server.url, concurrency=1))
        await rig.until_true(lambda: worker.standing()["hub"].breaker == "open")
        assert len(server.received) == 1
        rig.advance(7)
        await rig.until(dict.fromkeys(ids, "delivered"))

    play(tmp_path, in_turn(answer(429, Retry_After="7"), answer(200)), acts)


def test_an_answer_to_what_left_before_does_not_end_the_pause(tmp_path: Path) -> None:
    """Of two that left together one meets 429 with Retry-After: the other's 200 changes nothing."""
    told = asyncio.Event()
    acts_of = in_turn(answer(429, Retry_After="7"), wait_for(told, answer(200)), answer(200))

    async def acts(rig: Rig, server: Scripted) -> None:
        ids = [rig.enqueue("hub", f"m{number}") for number in range(6)]
        worker = rig.start(rig.destination("hub", server.url, concurrency=2))
        await rig.until_true(lambda: worker.standing()["hub"].breaker == "open")
        told.set()
        await rig.until_true(lambda: any(rig.row(id).state == "delivered" for id in ids))
        assert worker.standing()["hub"].breaker == "open"
        assert len(server.received) == 2
        rig.advance(7)
        await rig.until(dict.fromkeys(ids, "delivered"))

    play(tmp_path, acts_of, acts)


def test_a_resource_without_id_is_refused_without_a_request(tmp_path: Path) -> None:
    """What cannot be written by PUT becomes a dead letter that says why."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub", body=b'{"resourceType":"CareTeam"}')
        rig.start(rig.destination("hub", server.url))
        await rig.until({id: "dead"})
        assert rig.row(id).reason == "D008"

    assert play(tmp_path, always(answer(200)), acts).received == []


def test_a_clock_that_is_set_back_delays_nothing(tmp_path: Path) -> None:
    """After the wall clock went back an hour, a retry comes at its time and not an hour later."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = rig.enqueue("hub")
        rig.start(rig.destination("hub", server.url))
        await rig.until_true(lambda: len(rig.attempts(id)) == 1)
        rig.clock.step(-3600)
        rig.advance(1)
        await rig.until({id: "delivered"})

    play(tmp_path, in_turn(answer(500), answer(200)), acts)
