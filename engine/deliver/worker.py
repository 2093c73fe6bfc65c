"""Run deliveries: claim, decide, send, record, over and over, until it is told to stop."""

from __future__ import annotations

import asyncio
import random as randomness
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import structlog

from engine.clock import Clock, after, seconds_between
from engine.deliver.answer import Answer, read
from engine.deliver.breaker import Breaker
from engine.deliver.company import PATIENCE, Company, Patience
from engine.deliver.destination import Destination, Destinations
from engine.deliver.foresight import Foresight
from engine.deliver.leases import Lease, Leases
from engine.deliver.ports import (
    Brief,
    Delivered,
    Delivery,
    GaveUp,
    Judge,
    Ready,
    Ruled,
    Store,
    Timer,
    nobody_counts,
    nobody_minds,
    nothing_is_brief,
    nothing_more,
    nothing_to_read,
)
from engine.deliver.request import Parcel, Request, build
from engine.deliver.retry import Random
from engine.deliver.together import build_together, grouped, read_together
from engine.deliver.transport import Transport
from engine.deliver.turn import Desk, Result, Task, Turned
from engine.errors import StoreBusy

HEARTBEAT = 30.0
"""Seconds after which the worker looks for work although nobody told it of any."""

RECOVERY = 1.0
"""Seconds between tries to reach a store that failed, or work that others seem to hold."""

LAST_TRIES = 3
"""How often results are tried to be recorded at shutdown; what is not is sent again, same key."""

STEP = 2.0
"""Seconds by which the wall clock must be set back before waits are mended."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """Set how one worker works.

    `lease`: seconds that a claim holds unless it is renewed, and so how long what a dead worker had
    claimed stays out of reach. `grace`: seconds that sends under way are given at shutdown.
    `batch`: deliveries claimed in one turn; `patience`: how long results wait for each other.
    """

    name: str = "worker"
    lease: float = 10.0
    grace: float = 10.0
    batch: int = 64
    patience: Patience = PATIENCE


@dataclass(frozen=True, slots=True)
class Standing:
    """Say how one destination fares: sends under way, and where its circuit breaker stands."""

    in_flight: int
    breaker: Literal["closed", "open", "half-open"]


class Worker:
    """Deliver what is due, each member's deliveries to a destination one after the other.

    Each turn is one durable transaction: it records the results of finished sends, claims what is
    due, and records the decision about each claim. Only then do the permitted ones leave. While a
    turn is on its way to the disk, sends go on.
    """

    def __init__(
        self,
        store: Store,
        destinations: Destinations,
        judge: Judge,
        transport: Transport,
        clock: Clock,
        *,
        delivered: Delivered = nothing_more,
        gave_up: GaveUp = nobody_minds,
        ruled: Ruled = nobody_counts,
        brief: Brief = nothing_is_brief,
        ready: Ready = nothing_to_read,
        settings: Settings | None = None,
        random: Random = randomness.random,
        timer: Timer | None = None,
    ) -> None:
        settings = settings or Settings()
        lease = settings.lease
        self._desk = Desk(
            settings.name,
            judge,
            delivered,
            destinations,
            random,
            lease,
            settings.batch,
            gave_up,
            ruled,
            ready,
        )
        self._brief = brief
        self._looks_ahead = True
        self._store = store
        self._destinations = destinations
        self._transport = transport
        self._clock = clock
        self._settings = settings
        self._timer = timer
        self._breakers = {name: Breaker() for name in destinations}
        self._in_flight: Counter[str] = Counter()
        self._sends: set[asyncio.Task[None]] = set()
        self._results: list[Result] = []
        self._company = Company(settings.patience)
        self._wake = asyncio.Event()
        self._known = store.signal.seen
        self._more = False
        self._moving: set[tuple[str, str]] = set()
        self._resting = asyncio.Event()
        self._stopping = False
        caps = [destination.retry.cap for destination in destinations.values()]
        self._reach = max([lease, *caps])
        self._leases = Leases(lease, clock)
        self._offset = clock.time() - clock.monotonic()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is under way is recorded."""
        self._stopping = True
        self._wake.set()

    def standing(self) -> Mapping[str, Standing]:
        """Return how each destination fares now."""
        now = self._clock.monotonic()
        return {
            name: Standing(self._in_flight[name], breaker.state(now))
            for name, breaker in self._breakers.items()
        }

    async def run(self) -> None:
        """Work until `stop` is called, then finish what is under way."""
        listening = asyncio.create_task(self._listen())
        try:
            while not self._stopping:
                self._wake.clear()
                await self._rest(await self._cycle())
                await self._gather()
            await self._wind_down()
        finally:
            for task in (listening, *self._sends):
                task.cancel()
            await self._transport.close()

    async def _listen(self) -> None:
        """Wake the worker while it rests, by news that no turn knew of."""
        signal = self._store.signal
        while True:
            await self._resting.wait()
            told = await signal.arrived(self._known, HEARTBEAT)
            if self._resting.is_set() and (signal.seen != self._known or not told):
                self._resting.clear()
                self._wake.set()

    async def _rest(self, seconds: float | None) -> None:
        """Wait until woken, for `seconds` at most, unless there is news that no turn knew of."""
        if self._store.signal.seen == self._known:
            self._resting.set()
            await self._woken(seconds)
            self._resting.clear()

    async def _gather(self) -> None:
        """Let results wait a moment for others, and for what is claimed next, to share a turn."""
        self._resting.set()
        while (wait := self._company_awaited()) > 0:
            self._wake.clear()
            await self._woken(wait)
        self._resting.clear()

    def _company_awaited(self) -> float:
        if self._stopping:
            return 0.0
        under_way, now = sum(self._in_flight.values()), self._clock.monotonic()
        wait = self._company.results(len(self._results), under_way, now)
        return wait or (0.0 if self._pressing() else self._company.claim(now))

    def _pressing(self) -> bool:
        """Tell whether anything waits for a turn: news, what is due, or the next of a line."""
        return (
            self._more
            or self._store.signal.seen != self._known
            or any(
                result.event != "accept" or _line(result.delivery) in self._moving
                for result in self._results
            )
        )

    async def _woken(self, seconds: float | None) -> None:
        if seconds is None or self._wake.is_set():
            await self._wake.wait()
            return
        timer = self._timer or asyncio.get_running_loop().call_later
        call = timer(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            call.cancel()

    async def _cycle(self) -> float | None:
        """Do one turn where there is anything to do; return how long to rest after it."""
        self._known = self._store.signal.seen
        since = self._clock.monotonic()
        most = self._most()
        if not self._results and not most and not self._leases.waning():
            return _least(self._until_reopening(since), self._leases.until_waning())
        turned = await self._turn(most)
        if turned is None:
            return RECOVERY
        started = self._clock.now()
        for group in self._groups(turned.tasks):
            self._start(group, since, started)
        withheld = turned.claimed > len(turned.tasks)
        if more := bool(turned.left or withheld or turned.claimed >= self._settings.batch):
            self._wake.set()  # what was withheld makes room, and a full batch promises more
        due = turned.next_due is not None and turned.next_due <= turned.at
        self._more = more or due or turned.full or len(most) < len(self._destinations)
        reopening, waning = self._until_reopening(since), self._leases.until_waning()
        return _least(self._until_due(turned), reopening, waning)

    def _most(self) -> dict[str, int]:
        """Return how many leases each destination that has room may have at once."""
        now = self._clock.monotonic()
        return {
            name: self._in_flight[name] + room
            for name, destination in self._destinations.items()
            if (room := self._room(destination, now)) > 0
        }

    def _room(self, destination: Destination, now: float) -> int:
        breaker = self._breakers[destination.name]
        return breaker.room(now, destination.at_once, self._in_flight[destination.name])

    def _groups(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        """Yield the tasks as they go out: each list in one request."""
        by_destination: dict[str, list[Task]] = {}
        for task in tasks:
            by_destination.setdefault(task.delivery.destination, []).append(task)
        for name, found in by_destination.items():
            yield from grouped(self._destinations[name], found)

    def _until_due(self, turned: Turned) -> float | None:
        if self._horizon() is not None:
            return 0.0  # the clock was set back meanwhile: mend the waits first
        if turned.next_due is None:
            return None
        if turned.next_due <= turned.at and not turned.claimed:
            return RECOVERY  # due, but others have all the leases that the destination allows
        return max(0.0, seconds_between(self._clock.now(), turned.next_due))

    def _until_reopening(self, since: float) -> float | None:
        """Return the seconds until a breaker lets one through that did not at the instant `since`.

        Where that came about meanwhile, during a turn, none.
        """
        now = self._clock.monotonic()
        ends = (breaker.until for breaker in self._breakers.values())
        waits = (max(0.0, end - now) for end in ends if end is not None and end > since)
        return min(waits, default=None)

    async def _turn(self, most: Mapping[str, int]) -> Turned | None:
        """Do one durable turn; None where it failed, and what it would have recorded is kept."""
        results, self._results = self._results, []
        self._company.left(len(results))
        since, horizon = self._clock.monotonic(), self._horizon()
        waning = self._leases.waning(all=horizon is not None)
        try:
            offset = self._clock.time() - since
            foresight = self._foresight(most, results)
            turn = self._desk.turn(results, most, horizon, waning, foresight)
            turned = await self._write(turn, foresight if self._looks_ahead else None)
            self._offset, self._known = offset, turned.seen
            self._note_lines(results, turned)
            if turned.claimed:
                self._company.claimed(since)
            if foresight is not None and (turned.claimed or turned.left):
                self._looks_ahead = foresight.asked > 0
            for delivery in waning:
                self._leases.renewed(delivery, since, delivery.id in turned.renewed)
            return turned
        except StoreBusy:
            self._results = results + self._results
        except Exception as error:
            _log.error("deliver.turn-failed", error=type(error).__name__)
            for result in results:
                await self._record_alone(result)
        return None

    def _note_lines(self, results: Sequence[Result], turned: Turned) -> None:
        """Note the lines that move: whose next was claimed as soon as the one before it ended."""
        ended = {_line(result.delivery) for result in results}
        self._moving -= ended
        self._moving |= ended.intersection(_line(task.delivery) for task in turned.tasks)

    def _horizon(self) -> str | None:
        """Return the last instant that can be right, where the wall clock was set back."""
        set_back = self._offset - (self._clock.time() - self._clock.monotonic())
        return after(self._clock.now(), self._reach) if set_back > STEP else None

    async def _record_alone(self, result: Result) -> None:
        """Record one result by itself, so that one which cannot be recorded spoils no other."""
        for desk in (self._desk, replace(self._desk, delivered=nothing_more, gave_up=nobody_minds)):
            try:
                await self._write(desk.turn([result], {}))
                return
            except Exception as error:
                name, id = type(error).__name__, result.delivery.id
                _log.error("deliver.result-not-recorded", delivery=id, error=name)
        self._keep(result)

    def _keep(self, result: Result) -> None:
        """Keep a result for the next turn while its lease lasts; then a successor sends again."""
        until = result.delivery.lease_until
        if until is not None and self._clock.now() < until:
            self._results.append(result)

    def _foresight(self, most: Mapping[str, int], results: Sequence[Result]) -> Foresight | None:
        """Return what judges ahead of a turn what it will probably claim."""
        rooms = {name: count - self._in_flight[name] for name, count in most.items()}
        if not rooms:
            return None
        leaving = (result.delivery for result in results if result.event == "accept")
        desk, batch = self._desk, self._settings.batch
        return Foresight(desk.judge, rooms, batch, leaving, self._brief, desk.ready)

    async def _write(self, work: Callable[[Any], Turned], ahead: Foresight | None = None) -> Turned:
        """Do the work of a turn durably, and note of which news it knew."""
        signal = self._store.signal

        def knowing(transaction: Any) -> Turned:
            seen = signal.seen
            turned = work(transaction)
            turned.seen = seen + transaction.work
            return turned

        return await asyncio.wrap_future(self._store.write(knowing, ahead))

    def _start(self, group: Sequence[Task], since: float, started: str) -> None:
        self._in_flight[group[0].delivery.destination] += len(group)
        leases = [self._leases.begin(task.delivery, since) for task in group]
        send = asyncio.create_task(self._send(group, leases, started))
        self._sends.add(send)
        send.add_done_callback(self._sends.discard)

    async def _send(self, group: Sequence[Task], leases: Sequence[Lease], started: str) -> None:
        try:
            results = await self._exchange(group, started, leases)
        except (asyncio.CancelledError, TimeoutError):  # shut down, or a lease has ended
            results = [self._interrupted(task, started) for task in group]
        except Exception as error:
            _log.error("deliver.failed", delivery=group[0].delivery.id, error=type(error).__name__)
            answer, now = Answer("again", "D012"), self._clock.now()
            results = [self._desk.conclude(t.delivery, answer, started, now) for t in group]
        for lease in leases:
            self._leases.end(lease)
        self._in_flight[group[0].delivery.destination] -= len(group)
        self._results += results
        self._wake.set()

    async def _exchange(
        self, group: Sequence[Task], started: str, leases: Sequence[Lease]
    ) -> list[Result]:
        """Send what goes together and return each result; all unsent where a lease has ended."""
        destination = self._destinations[group[0].delivery.destination]
        if any(map(self._leases.ended, leases)):
            return [Result(task.delivery, "return") for task in group]
        parcels = [_parcel(task) for task in group]
        alone = len(group) == 1
        request = build(destination, parcels[0]) if alone else build_together(destination, parcels)
        if not isinstance(request, Request):
            answers = [Answer("refused", request.code)]
        else:
            self._leases.guard(leases, asyncio.current_task())
            reply = await self._transport.send(destination, request)
            now = self._clock.time()
            answers = [read(reply, request.type, now)]
            self._judge_destination(destination, answers[0])
            if destination.interaction == "batch" or not alone:
                types = [task.delivery.type for task in group]
                answers = read_together(reply, types, now, destination.interaction)
        now_told = self._clock.now()
        return [
            self._desk.conclude(task.delivery, answer, started, now_told)
            for task, answer in zip(group, answers, strict=True)
        ]

    def _interrupted(self, task: Task, started: str) -> Result:
        """Return the result of a send that was cut off: nobody knows whether it arrived."""
        now = self._clock.now()
        attempt = self._desk.conclude(task.delivery, Answer("again", "D003"), started, now).attempt
        return Result(task.delivery, "retry", attempt, now, "D003")

    def _judge_destination(self, destination: Destination, answer: Answer) -> None:
        """Let the circuit breaker know what an answer says of the destination as a whole."""
        now, breaker = self._clock.monotonic(), self._breakers[destination.name]
        after_it = breaker.failed(now) if answer.down else breaker.succeeded(now)
        if answer.status == 429 and answer.wait:
            after_it = after_it.paused(now + min(answer.wait, destination.retry.patience))
        if after_it.state(now) != breaker.state(now):
            state = after_it.state(now)
            _log.warning("deliver.breaker", destination=destination.name, state=state)
        self._breakers[destination.name] = after_it

    async def _wind_down(self) -> None:
        """Let sends finish within the grace, cut the rest off, and record everything."""
        until = self._clock.monotonic() + self._settings.grace
        if self._results:
            await self._turn({})
        while self._sends and (rest := until - self._clock.monotonic()) > 0:
            wait = _least(rest, self._leases.until_waning())
            await asyncio.wait(self._sends, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            if self._results or self._leases.waning():
                await self._turn({})
        for send in self._sends:
            send.cancel()
        if self._sends:
            await asyncio.wait(self._sends)
        for _ in range(LAST_TRIES):
            if not self._results or await self._turn({}) is not None:
                break


def _line(delivery: Delivery) -> tuple[str, str]:
    return delivery.destination, delivery.member


def _parcel(task: Task) -> Parcel:
    delivery, envelope = task.delivery, task.delivery.envelope
    return Parcel(
        task.body,
        delivery.idempotency_key,
        delivery.id,
        delivery.message_id,
        None if envelope.get("sibling") else envelope.get("entity"),
        envelope.get("version") or 1,
    )


def _least(*seconds: float | None) -> float | None:
    return min((one for one in seconds if one is not None), default=None)
