"""Turns are few and full: results that come together share one, and none is made for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rig import PATIENCE as LONG
from rig import Rig, permit, put

from engine.deliver.answer import Reply
from engine.deliver.company import PATIENCE, Company
from engine.deliver.destination import Destination
from engine.deliver.ports import Delivery, Permit
from engine.deliver.request import Request
from engine.deliver.worker import RECOVERY, Settings, Worker
from engine.store import Store
from engine.store.database import connect, parse_url
from engine.store.signal import Signal


@dataclass(slots=True)
class Mailbox:
    """A transport that leaves each request unanswered until the test answers it."""

    open: list[asyncio.Future[Reply]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, _destination: Destination, _request: Request) -> Reply:
        answer = asyncio.get_running_loop().create_future()
        self.open.append(answer)
        self.came.set()
        return await answer

    async def close(self) -> None:
        """Do nothing."""

    async def requests(self, count: int) -> None:
        """Wait until so many wait for an answer."""
        async with asyncio.timeout(LONG):
            while len(self.open) < count:
                self.came.clear()
                await self.came.wait()

    def answer(self, count: int, status: int = 200) -> None:
        """Answer the first so many."""
        for _ in range(count):
            self.open.pop(0).set_result(Reply(status))


class Counted(Store):
    """A record that counts its writes, and that nobody else's commits are noticed on."""

    writes = 0

    def write(self, run: Callable[[Any], Any], ahead: Any = None) -> Future[Any]:
        self.writes += 1
        return super().write(run, ahead)


class Counting(Rig):
    """A rig whose record counts the writes to it."""

    def opened(self, address: str) -> Store:
        super().opened(address).close()
        url = parse_url(address)
        return Counted(connect(url, "write"), connect(url, "read"), Signal(), self.clock)

    @property
    def writes(self) -> int:
        """How many writes there were."""
        assert isinstance(self.store, Counted)
        return self.store.writes


def play(folder: Path, acts: Callable[[Counting, Mailbox], Awaitable[None]]) -> None:
    """Run `acts` with a rig and a transport that answers when it is told to."""

    async def run() -> None:
        async with Counting(folder) as rig:
            await acts(rig, Mailbox())

    asyncio.run(run())


async def came_together(rig: Rig, mailbox: Mailbox, count: int, grace: float = 0.0) -> Worker:
    """Start a worker and let so many results come at once."""
    ids = [rig.enqueue("hub", f"m{number}") for number in range(count)]
    there = rig.destination("hub", "http://hub.example/fhir", concurrency=16)
    settings = Settings(lease=600.0, grace=grace)
    worker = rig.start(there, transport=mailbox, settings=settings)
    await mailbox.requests(count)
    mailbox.answer(count)
    await rig.until(dict.fromkeys(ids, "delivered"))
    return worker


async def left_together(rig: Rig, mailbox: Mailbox, count: int) -> list[str]:
    """Let so many more leave together; return their ids."""

    def fill(tx: Any) -> list[str]:
        return [put(tx, f"again-{number}", "hub", f"m{number}") for number in range(count)]

    ids = rig.store.write(fill).result()
    await mailbox.requests(count)
    return ids


async def patient(rig: Rig, longest: float = PATIENCE.whole) -> None:
    """Wait until a worker waits for a moment."""
    async with asyncio.timeout(LONG):
        while await rig.rest() > longest:
            rig.timers.asked.clear()
            await rig.timers.asked.wait()


def test_results_that_come_together_share_a_turn(tmp_path: Path) -> None:
    """Where three came together before, the first of the next three waits for the others."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        await came_together(rig, mailbox, 3)
        ids = await left_together(rig, mailbox, 3)
        before = rig.writes
        mailbox.answer(1)
        await patient(rig)
        assert (rig.writes, rig.row(ids[0]).state) == (before, "leased")
        mailbox.answer(2)
        await rig.until(dict.fromkeys(ids, "delivered"))
        assert rig.writes == before + 1

    play(tmp_path, acts)


def test_a_result_waits_for_a_moment_only(tmp_path: Path) -> None:
    """Where the others stay away, what came is recorded after the moment."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        await came_together(rig, mailbox, 3)
        ids = await left_together(rig, mailbox, 3)
        mailbox.answer(1)
        await patient(rig)
        rig.advance(PATIENCE.next)
        await rig.until({ids[0]: "delivered", ids[1]: "leased", ids[2]: "leased"})

    play(tmp_path, acts)


def test_a_lone_result_waits_for_nobody(tmp_path: Path) -> None:
    """Whoever left alone is recorded at once, though the clock stands still."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        await came_together(rig, mailbox, 3)
        [id] = await left_together(rig, mailbox, 1)
        mailbox.answer(1)
        await rig.until({id: "delivered"})

    play(tmp_path, acts)


def test_shutdown_waits_for_no_company(tmp_path: Path) -> None:
    """A worker that is told to stop records what came at once."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        worker = await came_together(rig, mailbox, 3)
        ids = await left_together(rig, mailbox, 3)
        mailbox.answer(1)
        await patient(rig)
        await rig.stop(worker)
        assert [rig.row(id).state for id in ids] == ["delivered", "waiting", "waiting"]

    play(tmp_path, acts)


def test_shutdown_records_at_once_what_came_before(tmp_path: Path) -> None:
    """What arrived does not wait for sends that are still under way, however long they last."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        worker = await came_together(rig, mailbox, 3, grace=600.0)
        ids = await left_together(rig, mailbox, 3)
        mailbox.answer(1)
        await patient(rig)
        worker.stop()
        try:
            await rig.until({ids[0]: "delivered", ids[1]: "leased", ids[2]: "leased"})
        finally:
            mailbox.answer(2)

    play(tmp_path, acts)


def test_no_turn_is_made_for_what_a_turn_did_itself(tmp_path: Path) -> None:
    """A delivery takes two turns: one that claims it, one that records how it went."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        rig.enqueue("hub", "m0")
        there = rig.destination("hub", "http://hub.example/fhir")
        rig.start(there, transport=mailbox, settings=Settings(grace=0))
        await mailbox.requests(1)
        under_way = mailbox.open.pop()
        for number in range(1, 4):
            await rig.rest()
            before = rig.writes
            id = rig.enqueue("hub", f"m{number}")
            await mailbox.requests(1)
            await rig.rest()
            mailbox.answer(1)
            await rig.until({id: "delivered"})
            await rig.rest()
            assert rig.writes == before + 3, "its acceptance, and two turns"
        under_way.set_result(Reply(200))

    play(tmp_path, acts)


def test_no_turn_is_made_for_what_a_full_destination_cannot_take(tmp_path: Path) -> None:
    """What is due there waits for a result, which is recorded with the claim of it."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        ids = [rig.enqueue("hub", f"m{number}") for number in range(6)]
        before = rig.writes
        full = rig.destination("hub", "http://hub.example/fhir", concurrency=1)
        other = rig.destination("mercy", "http://mercy.example/fhir")
        rig.start(full, other, transport=mailbox, settings=Settings(grace=0))
        for number, id in enumerate(ids, 1):
            await mailbox.requests(1)
            await rig.rest()
            assert rig.writes == before + number
            rig.advance(0.01)  # a pace at which a result would wait for something new
            mailbox.answer(1)
            await rig.until({id: "delivered"})

    play(tmp_path, acts)


def test_what_others_fill_up_is_looked_at_again(tmp_path: Path) -> None:
    """Where another worker has all leases of a destination, no result of one's own is awaited."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        ids = [rig.enqueue("hub", f"m{number}") for number in range(2)]
        claim = rig.store.write(lambda tx: tx.deliveries.claim("other", 1, {"hub": 1}, 30))
        [row] = claim.result().rows
        there = rig.destination("hub", "http://hub.example/fhir", concurrency=1)
        rig.start(there, transport=mailbox, settings=Settings(grace=0))
        assert await rig.rest() == RECOVERY
        assert rig.store.write(lambda tx: tx.deliveries.complete(row.id, row.fence)).result()
        rig.advance(RECOVERY)
        await mailbox.requests(1)
        assert rig.row(ids[1]).state == "leased"

    play(tmp_path, acts)


def test_what_a_judge_puts_out_leaves_at_once(tmp_path: Path) -> None:
    """What a turn itself gives another destination needs no news to be found due."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        def judge(tx: Any, delivery: Delivery) -> Permit:
            if delivery.destination == "hub":
                put(tx, "consequence", "mercy", "m1")
            return permit(tx, delivery)

        places = [rig.destination(name, f"http://{name}.example/fhir") for name in ("hub", "mercy")]
        rig.start(*places, judge=judge, transport=mailbox, settings=Settings(grace=0))
        rig.enqueue("hub", "m1")
        await mailbox.requests(2)

    play(tmp_path, acts)


async def at_a_pace(rig: Rig, mailbox: Mailbox, *members: str) -> list[str]:
    """Let a delivery come for each member, one every ten milliseconds; the last is unanswered."""
    there = rig.destination("hub", "http://hub.example/fhir")
    rig.start(there, transport=mailbox, settings=Settings(grace=0))
    ids = []
    for number, member in enumerate(members):
        if number:
            mailbox.answer(1)
            await rig.until({ids[-1]: "delivered"})
        rig.advance(0.01)
        ids.append(rig.enqueue("hub", member))
        await mailbox.requests(1)
    return ids


def test_a_result_is_recorded_with_what_is_claimed_next_if_that_is_soon(tmp_path: Path) -> None:
    """Where something came every ten milliseconds, a result shares a turn with what comes next."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        ids = await at_a_pace(rig, mailbox, "m1", "m2", "m3")
        before = rig.writes
        mailbox.answer(1)
        await patient(rig, PATIENCE.claim)
        assert (rig.writes, rig.row(ids[-1]).state) == (before, "leased")
        rig.enqueue("hub", "m4")
        await mailbox.requests(1)
        assert (rig.writes, rig.row(ids[-1]).state) == (before + 2, "delivered")

    play(tmp_path, acts)


def test_a_result_is_recorded_where_what_was_expected_stays_away(tmp_path: Path) -> None:
    """It waits no longer than the last ones let wait, and a bit."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        ids = await at_a_pace(rig, mailbox, "m1", "m2", "m3")
        mailbox.answer(1)
        await patient(rig, PATIENCE.claim)
        rig.advance(0.0126)
        await rig.until({ids[-1]: "delivered"})

    play(tmp_path, acts)


def test_the_next_of_a_line_waits_for_no_company(tmp_path: Path) -> None:
    """Where the one before it was awaited, a delivery's result is recorded at once."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        await at_a_pace(rig, mailbox, "m1", "m2", "m3")
        ids = [rig.enqueue("hub", "m3") for _ in range(3)]
        for id in ["", *ids]:
            rig.advance(0.01)
            mailbox.answer(1)
            await rig.until({id: "delivered"} if id else {})
            if id != ids[-1]:
                await mailbox.requests(1)

    play(tmp_path, acts)


def test_a_failure_waits_for_nothing_new(tmp_path: Path) -> None:
    """Only an arrival is put off: what is to be tried again has its time at once."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        ids = await at_a_pace(rig, mailbox, "m1", "m2", "m3")
        mailbox.answer(1, 500)
        await rig.until({ids[-1]: "waiting"})

    play(tmp_path, acts)


def test_what_comes_while_a_turn_is_on_its_way_has_one_at_once(tmp_path: Path) -> None:
    """News of others, right behind a turn's own, is not taken for its own."""

    async def acts(rig: Counting, mailbox: Mailbox) -> None:
        more = iter([lambda tx: put(tx, "behind", "hub", "m9")])

        def delivered(_tx: Any, _delivery: Any, _own: Any) -> None:
            for work in more:
                rig.store.write(work)

        rig.enqueue("hub", "m0")
        there = rig.destination("hub", "http://hub.example/fhir")
        rig.start(there, transport=mailbox, delivered=delivered)
        for _ in range(2):
            await mailbox.requests(1)
            mailbox.answer(1)
        await rig.until_true(lambda: rig.store.read(lambda tx: not tx.deliveries.depth()))

    play(tmp_path, acts)


def test_company_is_expected_as_it_lately_came() -> None:
    """As many are awaited as shared the fuller of the last two turns, of those under way."""
    company = Company()
    assert company.results(1, 9, now=0.0) == 0
    company.left(4)
    assert company.results(1, 0, now=1.0) == 0
    assert company.results(2, 9, now=1.0) == pytest.approx(PATIENCE.next)
    assert company.results(4, 9, now=1.0) == 0
    company.left(1)
    company.left(1)
    assert company.results(1, 9, now=2.0) == 0


def test_patience_ends() -> None:
    """It ends where nobody comes for a while, and where they come one by one for too long."""
    company = Company()
    company.left(16)
    assert company.results(1, 15, now=0.0) > 0
    assert company.results(1, 15, now=PATIENCE.next) == 0
    assert 0 < company.results(2, 14, now=PATIENCE.whole - 0.001) < PATIENCE.next
    assert company.results(3, 13, now=PATIENCE.whole) == 0
