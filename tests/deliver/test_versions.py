"""An older version of a resource never follows a newer one to the same destination."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from rig import PATIENCE, Rig
from scripted import Received, Scripted, answer, wait_for

from engine.deliver.worker import Settings
from engine.message import Message
from engine.store import NewDelivery, Transaction, UnitRow

Script = Callable[[Received, int], object]


def version(rig: Rig, member: str, number: int) -> str:
    """Accept a version of the one practitioner that many members have; return its delivery."""

    def work(tx: Transaction) -> str:
        id = tx.ids.new()
        body = b'{"resourceType":"Practitioner","id":"p","version":%d}' % number
        tx.messages.add(Message(id, "mercy", "bundle", id, id, tx.now, b"{}"))
        kept = tx.resources.put("Practitioner", "p", body, member=None, system="mercy")
        assert kept == number
        unit = UnitRow(f"u{id}", id, 0, "Practitioner", "routed", member, "Practitioner/p", number)
        tx.units.add([unit])
        envelope = {"entity": "p", "version": number, "reference": "Practitioner/p"}
        new = NewDelivery(id, f"u{id}", "hub", member, "Practitioner", body, envelope)
        return tx.deliveries.enqueue(new)

    return rig.store.write(work).result()


def play(folder: Path, script: Script, acts: Callable[[Rig, Scripted], Awaitable[None]]) -> None:
    """Run `acts` with a rig and one scripted destination."""

    async def run() -> None:
        async with Scripted(script) as server, Rig(folder) as rig:  # type: ignore[arg-type]
            await acts(rig, server)

    asyncio.run(run())


async def passing(rig: Rig, states: dict[str, str]) -> None:
    """Let time pass in small steps until each delivery is in its state."""
    async with asyncio.timeout(PATIENCE):
        while any(rig.row(id).state != state for id, state in states.items()):
            seen = rig.store.signal.seen
            rig.advance(0.3)
            await rig.store.signal.arrived(seen, 0.05)


def numbers(server: Scripted) -> list[int]:
    """Return the versions that arrived, in order."""
    return [int(request.body.partition(b'"version":')[2][:-1]) for request in server.received]


def test_a_released_older_version_is_superseded(tmp_path: Path) -> None:
    """What is released after a newer version arrived is not sent; the ledger says why."""

    async def acts(rig: Rig, server: Scripted) -> None:
        old, new = version(rig, "m1", 1), version(rig, "m1", 2)
        rig.store.write(lambda tx: tx.deliveries.withhold(old, "asked")).result()
        rig.start(rig.destination("hub", server.url))
        await rig.until({new: "delivered"})
        assert rig.store.write(lambda tx: tx.deliveries.release(old, "ann")).result()
        await rig.until({old: "superseded"})
        assert (rig.row(old).reason, numbers(server)) == ("superseded", [2])
        records = rig.store.read(lambda tx: tx.audit.of_message(rig.row(old).message_id))
        assert [r.kind for r in records][-1] == "delivery.superseded"

    play(tmp_path, lambda _request, _number: answer(200), acts)


def test_a_requeued_dead_letter_is_superseded(tmp_path: Path) -> None:
    """A dead letter that is tried again after a newer version arrived is not sent."""

    async def acts(rig: Rig, server: Scripted) -> None:
        old = version(rig, "m1", 1)
        rig.start(rig.destination("hub", server.url))
        await rig.until({old: "dead"})
        rig.store.write(lambda tx: tx.deliveries.skip(old, "ann")).result()
        new = version(rig, "m2", 2)
        await rig.until({new: "delivered"})
        rig.store.write(lambda tx: tx.deliveries.requeue(old, "ann")).result()
        await rig.until({old: "superseded"})
        assert numbers(server) == [1, 2]

    play(tmp_path, lambda _request, number: answer(422 if number == 0 else 200), acts)


def test_the_newest_version_is_sent_again(tmp_path: Path) -> None:
    """A released version that nothing newer has followed goes out."""

    async def acts(rig: Rig, server: Scripted) -> None:
        old, new = version(rig, "m1", 1), version(rig, "m1", 2)
        rig.store.write(lambda tx: tx.deliveries.withhold(new, "asked")).result()
        rig.start(rig.destination("hub", server.url))
        await rig.until({old: "delivered"})
        rig.store.write(lambda tx: tx.deliveries.release(new, "ann")).result()
        await rig.until({new: "delivered"})
        assert numbers(server) == [1, 2]

    play(tmp_path, lambda _request, _number: answer(200), acts)


def test_versions_in_lines_of_several_members_go_one_after_the_other(tmp_path: Path) -> None:
    """While one version is on its way, those of other members' lines wait for its answer."""
    release = asyncio.Event()

    async def acts(rig: Rig, server: Scripted) -> None:
        ids = [version(rig, f"m{number}", number) for number in (1, 2, 3)]
        rig.start(rig.destination("hub", server.url, concurrency=8))
        await server.count(1)
        assert [rig.row(id).state for id in ids] == ["leased", "waiting", "waiting"]
        release.set()
        await rig.until({ids[0]: "delivered"})
        await rig.advance_to_next()
        await rig.until({ids[1]: "delivered"})
        await rig.advance_to_next()
        await rig.until(dict.fromkeys(ids, "delivered"))
        assert numbers(server) == [1, 2, 3]

    play(tmp_path, lambda _request, _number: wait_for(release, answer(200)), acts)


def test_a_send_may_last_longer_than_a_lease(tmp_path: Path) -> None:
    """A worker that is alive renews its leases: nobody else takes what it is still sending."""
    release = asyncio.Event()

    async def acts(rig: Rig, server: Scripted) -> None:
        id = version(rig, "m1", 1)
        hub = rig.destination("hub", server.url, timeout=60.0)
        first = rig.start(hub, settings=Settings("first", lease=10))
        await server.count(1)
        for _ in range(6):
            until = rig.row(id).lease_until
            rig.advance(4)
            async with asyncio.timeout(PATIENCE):
                while rig.row(id).lease_until == until:
                    await asyncio.sleep(0)
        rig.start(hub, settings=Settings("second", lease=10))
        release.set()
        await rig.until({id: "delivered"})
        await rig.stop(first)
        assert [attempt.number for attempt in rig.attempts(id)] == [1]

    play(tmp_path, lambda _request, _number: wait_for(release, answer(200)), acts)


def test_what_a_dead_worker_held_is_free_after_one_lease(tmp_path: Path) -> None:
    """However long the destination's time-out, a crash keeps its deliveries back for one lease."""

    async def acts(rig: Rig, server: Scripted) -> None:
        id = version(rig, "m1", 1)
        claim = rig.store.write(lambda tx: tx.deliveries.claim("gone", 1, {"hub": 1}, 10))
        assert [row.id for row in claim.result().rows] == [id]
        rig.advance(10.1)
        rig.start(rig.destination("hub", server.url, timeout=300.0, concurrency=1))
        await rig.until({id: "delivered"})

    play(tmp_path, lambda _request, _number: answer(200), acts)


def test_an_older_version_waits_for_a_newer_one_that_was_tried(tmp_path: Path) -> None:
    """A newer version that failed once may have arrived: the older one of another line waits."""

    async def acts(rig: Rig, server: Scripted) -> None:
        old, new = version(rig, "m1", 1), version(rig, "m2", 2)
        rig.store.write(lambda tx: tx.deliveries.withhold(old, "asked")).result()
        rig.start(rig.destination("hub", server.url))
        await rig.until_true(lambda: len(rig.attempts(new)) == 1)
        rig.store.write(lambda tx: tx.deliveries.release(old, "ann")).result()
        await passing(rig, {new: "delivered", old: "superseded"})
        assert numbers(server) == [2, 2]

    play(tmp_path, lambda _request, number: answer(500 if number == 0 else 200), acts)


def test_versions_that_a_dead_worker_tried_and_not_go_newest_first(tmp_path: Path) -> None:
    """Claimed at once after a crash, what was tried before goes first, and the older is dropped."""

    async def acts(rig: Rig, server: Scripted) -> None:
        old, new = version(rig, "m1", 1), version(rig, "m2", 2)
        rig.store.write(lambda tx: tx.deliveries.withhold(old, "asked")).result()
        claim = rig.store.write(lambda tx: tx.deliveries.claim("gone", 1, {"hub": 1}, 10))
        assert [row.id for row in claim.result().rows] == [new]
        rig.store.write(lambda tx: tx.deliveries.release(old, "ann")).result()
        rig.advance(10.1)
        rig.start(rig.destination("hub", server.url))
        await passing(rig, {new: "delivered", old: "superseded"})
        assert numbers(server) == [2]

    play(tmp_path, lambda _request, _number: answer(200), acts)
