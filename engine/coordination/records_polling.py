"""Polling: systems that do not report the state of a request are asked for it, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx
import structlog

from engine.clock import Clock
from engine.config import System
from engine.config.records import Poll
from engine.coordination.records import Tracked, open_requests, records_settings, request
from engine.coordination.records_tasks import is_held
from engine.errors import StoreError
from engine.intake import Arrival, Intake
from engine.logs import origin
from engine.message import Resource
from engine.parse import Limits, parse
from engine.project import Project
from engine.store import Store, Transaction
from engine.transform.crosswalk import reference_key

Connect = Callable[[System], httpx.AsyncBaseTransport | None]

_NOT_NOW = frozenset({401, 408, 425, 429})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Open:
    """Hold one request that is waited for, and under which reference its system knows it."""

    system: str
    own: str
    found: Tracked


@dataclass(frozen=True, slots=True)
class _Told:
    """Say how many Tasks brought news, and whether the system answered to the end."""

    news: int
    whole: bool


@dataclass
class RecordsPolling:
    """Ask the configured systems for the Tasks that are waited for, and take in what is new.

    What a system answers travels the road as though it had sent it. A system that does not answer
    is left alone until the next round.
    """

    project: Callable[[], Project]
    store: Store
    clock: Clock
    connect: Connect = lambda _: None
    _last: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Poll:
        """Return how polling is set in the project in force."""
        return records_settings(self.project()).poll

    async def run(self, stopping: asyncio.Event) -> None:
        """Ask in rounds until `stopping` is set."""
        while not stopping.is_set():
            try:
                await self.turn()
            except StoreError as error:
                _log.warning("records.poll", error=type(error).__name__)
            except Exception as error:
                _log.error("records.poll-failed", **origin(error))
            try:
                await asyncio.wait_for(stopping.wait(), self.settings.every)
            except TimeoutError:
                continue

    async def turn(self) -> int:
        """Ask every system once for what is open; return how many Tasks brought news."""
        waiting = await asyncio.to_thread(self.store.read, lambda tx: list(self._open(tx)))
        names = dict.fromkeys(one.system for one in waiting)
        rounds = (self._ask(name, [one for one in waiting if one.system == name]) for name in names)
        return sum(await asyncio.gather(*rounds))

    async def catch_up(self, name: str) -> bool:
        """Ask one system about everything that is open there; False where it did not answer."""
        waiting = await asyncio.to_thread(
            self.store.read, lambda tx: list(self._open(tx, frozenset({name})))
        )
        return (await self._ask_all(name, waiting)).whole

    async def look(self, name: str, references: Sequence[str]) -> bool:
        """Ask one system about some of its Tasks (`Task/7`); False where it did not answer.

        What is no request of ours is left alone.
        """
        known = await asyncio.to_thread(
            self.store.read, lambda tx: list(self._named(tx, name, references))
        )
        return (await self._ask_all(name, known)).whole

    def polled(self, tx: Transaction) -> frozenset[str]:
        """Name the systems that are asked: as configured, and where no subscription works now."""
        systems, active = self.project().config.systems, tx.watches.active()
        chosen = {
            name
            for name, system in systems.items()
            if system.updates == "polling"
            or (system.updates == "subscription" and name not in active)
        }
        return frozenset(chosen | (set(self.settings.systems) & systems.keys()))

    def _open(self, tx: Transaction, asked: frozenset[str] | None = None) -> Iterator[_Open]:
        polled = self.polled(tx) if asked is None else asked
        if not polled:
            return
        for found in open_requests(tx, self.project()):
            if found.asked not in polled or is_held(found.task):  # what it says would be refused
                continue
            id = str(found.task["id"])
            for key in tx.crosswalk.known([id])[id]:
                if key.kind == "reference" and key.system == found.asked and key.type == "Task":
                    yield _Open(found.asked, key.value, found)
                    break

    def _named(self, tx: Transaction, name: str, references: Sequence[str]) -> Iterator[_Open]:
        keys = [reference_key(name, one) for one in references if one.startswith("Task/")]
        for key, id in tx.crosswalk.resolve(keys).items():
            found = request(tx, self.project(), id)
            if found is not None and found.asked == name:
                yield _Open(name, key.value, found)

    async def _ask(self, name: str, waiting: list[_Open]) -> int:
        """Ask one system about its next requests, in turn, so that every one comes up in time."""
        last = self._last.get(name, "")
        ahead = [one for one in waiting if one.own > last]
        chosen = sorted(ahead, key=lambda one: one.own)[: self.settings.most]
        if len(chosen) < self.settings.most:
            rest = sorted((one for one in waiting if one.own <= last), key=lambda one: one.own)
            chosen += rest[: self.settings.most - len(chosen)]
        if not chosen:
            return 0
        self._last[name] = chosen[-1].own
        return (await self._ask_all(name, chosen)).news

    async def _ask_all(self, name: str, chosen: Sequence[_Open]) -> _Told:
        """Ask one system about requests, one after the other, until it does not answer."""
        system = self.project().config.systems[name]
        news = 0
        async with client_of(system, self.connect(system), self.settings.timeout) as client:
            for one in chosen:
                try:
                    news += await self._look(client, system, one)
                except (httpx.HTTPError, TimeoutError) as error:
                    _log.warning("records.poll", system=name, error=type(error).__name__)
                    return _Told(news, whole=False)
        return _Told(news, whole=True)

    async def _look(self, client: httpx.AsyncClient, system: System, one: _Open) -> bool:
        limit = self.project().config.limits.bytes
        async with asyncio.timeout(self.settings.timeout):
            body = await body_of(client, f"{system.base_url}/{one.own}", limit)
        limits = self.project().config.limits
        task = (
            parse(body, Limits(limits.bytes, limits.depth, limits.entries)).tree if body else None
        )
        if body is None or task is None or not _is_news(task, one):
            return False
        arrival = Arrival(one.system, f"update {one.own}", body)
        intake = Intake(self.project(), self.store, self.clock)
        await asyncio.wrap_future(intake.submit(arrival))
        return True


def client_of(
    system: System, transport: httpx.AsyncBaseTransport | None, timeout: float
) -> httpx.AsyncClient:
    """Return a client that asks a system as the engine is known there; it follows no redirect."""
    headers = {"Accept": "application/fhir+json"}
    if system.bearer:
        headers["Authorization"] = f"Bearer {system.bearer}"
    return httpx.AsyncClient(transport=transport, timeout=timeout, headers=headers)


async def body_of(client: httpx.AsyncClient, url: str, limit: int) -> bytes | None:
    """Return what a system answers with 200 and at most `limit` bytes, else None.

    Raises httpx.HTTPError where the system does not answer, or not now.
    """
    async with client.stream("GET", url) as response:
        if response.status_code in _NOT_NOW or response.status_code >= 500:
            response.raise_for_status()
        if response.status_code != 200:
            return None
        chunks, size = [], 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > limit:
                return None
            chunks.append(chunk)
    return b"".join(chunks)


def _is_news(task: Resource, one: _Open) -> bool:
    """Tell whether a polled Task is the one asked for, and differs from what is known of it."""
    if task.get("resourceType") != "Task" or f"Task/{task.get('id')}" != one.own:
        return False
    known = one.found.task
    outputs, before = task.get("output"), known.get("output", ())
    count = len(outputs) if isinstance(outputs, list) else 0
    return task.get("status") != known["status"] or count != len(before)
