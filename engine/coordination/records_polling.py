"""Polling: systems that do not report the state of a request are asked for it, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import structlog

from engine.clock import Clock
from engine.config import System
from engine.config.records import Poll
from engine.coordination.records import Tracked, all_requests, records_settings
from engine.coordination.records_states import WAITING
from engine.errors import StoreError
from engine.intake import Arrival, Intake
from engine.message import Resource
from engine.parse import Limits, parse
from engine.project import Project
from engine.store import Store, Transaction

Connect = Callable[[System], httpx.AsyncBaseTransport | None]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Open:
    """Hold one request that is waited for, and under which reference its system knows it."""

    system: str
    own: str
    found: Tracked


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
            try:
                await asyncio.wait_for(stopping.wait(), self.settings.every)
            except TimeoutError:
                continue

    async def turn(self) -> int:
        """Ask every system once for what is open; return how many Tasks brought news."""
        waiting = await asyncio.to_thread(self.store.read, lambda tx: list(self._open(tx)))
        systems = [name for name in self.settings.systems if name in self.project().config.systems]
        rounds = (
            self._ask(name, [one for one in waiting if one.system == name]) for name in systems
        )
        return sum(await asyncio.gather(*rounds))

    def _open(self, tx: Transaction) -> Iterator[_Open]:
        polled = frozenset(self.settings.systems)
        for found in all_requests(tx, self.project()):
            if found.stage not in WAITING or found.asked not in polled:
                continue
            id = str(found.task["id"])
            for key in tx.crosswalk.known([id])[id]:
                if key.kind == "reference" and key.system == found.asked and key.type == "Task":
                    yield _Open(found.asked, key.value, found)
                    break

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
        system = self.project().config.systems[name]
        headers = {"Accept": "application/fhir+json"}
        if system.bearer:
            headers["Authorization"] = f"Bearer {system.bearer}"
        async with httpx.AsyncClient(
            transport=self.connect(system), timeout=self.settings.timeout, headers=headers
        ) as client:
            news = 0
            for one in chosen:
                try:
                    news += await self._look(client, system, one)
                except (httpx.HTTPError, TimeoutError) as error:
                    _log.warning("records.poll", system=name, error=type(error).__name__)
                    break
            return news

    async def _look(self, client: httpx.AsyncClient, system: System, one: _Open) -> bool:
        limit = self.project().config.limits.bytes
        async with asyncio.timeout(self.settings.timeout):
            body = await _body(client, f"{system.base_url}/{one.own}", limit)
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


async def _body(client: httpx.AsyncClient, url: str, limit: int) -> bytes | None:
    """Return what a system answers with 200 and at most `limit` bytes, else None."""
    async with client.stream("GET", url) as response:
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
