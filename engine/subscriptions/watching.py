"""Our own subscriptions at systems that were asked for records: made, and caught up with."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx
import structlog

from engine.clock import Clock, after
from engine.config import System
from engine.config.records import Records, Subscribe
from engine.coordination.records import open_requests, records_settings
from engine.coordination.records_polling import RecordsPolling, body_of, client_of
from engine.deliver.answer import own_reference
from engine.errors import StoreError
from engine.fhir.json import dumps
from engine.logs import origin
from engine.message import Resource
from engine.parse import Limits, parse
from engine.project import Project
from engine.store import NewsRow, Store, Transaction, WatchRow
from engine.subscriptions.asked import CONTENT, HEARTBEAT, PROFILE
from engine.subscriptions.hearing import (
    PATH,
    Heard,
    activate,
    digest_of,
    fail,
    understood,
)
from engine.subscriptions.topics import HREX_TASK
from engine.transform.crosswalk import literal

HANDSHAKE = 120.0
"""Seconds that the handshake may take after a system took our subscription."""

REST = 30.0
"""Seconds after which everything is looked after although nobody told of anything new."""

PAUSE = 600.0
"""Seconds between two looks whether a system was asked before config said that it notifies us."""

PAGE = 200
"""How many news are looked at in one go."""

_LARGEST = 1_000_000
_log = structlog.get_logger(__name__)


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass
class Watching:
    """Subscribe where config says so, and look at what the notifications tell of.

    What is known stands in the durable record, so a restart goes on where it was; a system whose
    subscription does not work is polled (`RecordsPolling`) until it does.
    """

    project: Callable[[], Project]
    store: Store
    clock: Clock
    polling: RecordsPolling
    secret: Callable[[], str] = _secret
    _asked_for: dict[str, float] = field(default_factory=dict)

    @property
    def _settings(self) -> Records:
        return records_settings(self.project())

    @property
    def _subscribe(self) -> Subscribe:
        return self._settings.subscribe

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set."""
        while not stopping.is_set():
            seen = self.store.signal.seen
            try:
                await self.turn()
            except StoreError as error:
                _log.warning("watch.turn", error=type(error).__name__)
            except Exception as error:
                _log.error("watch.failed", **origin(error))
            await self._rest(seen, stopping)

    async def _rest(self, seen: int, stopping: asyncio.Event) -> None:
        if not self._watched():
            seen = -1  # nothing to listen for
        news = asyncio.create_task(
            self.store.signal.arrived(seen, REST) if seen >= 0 else asyncio.sleep(REST)
        )
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({news, stop}, return_when=asyncio.FIRST_COMPLETED)
        for task in (news, stop):
            task.cancel()

    def _watched(self) -> list[str]:
        project = self.project()
        if project.config.coordination is None:
            return []
        systems = project.config.systems
        return [name for name, system in systems.items() if system.updates == "subscription"]

    async def turn(self) -> None:
        """Look after every system that is to notify us, once."""
        await asyncio.gather(*(self._tend(name) for name in self._watched()))

    async def _tend(self, name: str) -> None:
        now = self.clock.now()
        watch = await self._read(lambda tx: tx.watches.of_system(name))
        if watch is None or (watch.state != "active" and watch.due <= now):
            if watch is not None or await self._is_asked(name):
                await self._ask(name, watch)
        elif watch.state == "active":
            if watch.due <= now:
                await self._check(watch)
            await self._hear_out(watch.id)

    async def _is_asked(self, name: str) -> bool:
        """Tell whether a system was asked for records; looks through them now and then only."""
        now = self.clock.monotonic()
        if now < self._asked_for.get(name, 0.0):
            return False
        self._asked_for[name] = now + PAUSE
        return bool(await self._read(lambda tx: self._waits(tx, name)))

    def _waits(self, tx: Transaction, name: str) -> bool:
        """Tell whether a request to a system waits for an answer."""
        return any(one.asked == name for one in open_requests(tx, self.project()))

    async def _ask(self, name: str, before: WatchRow | None) -> None:
        """Subscribe at a system anew; an earlier subscription of ours there is taken back."""
        id, secret = str(uuid.uuid4()), self.secret()
        until = after(self.clock.now(), HANDSHAKE)
        mine = await self._write(lambda tx: tx.watches.begin(name, id, digest_of(secret), until))
        if not mine:
            return
        system = self.project().config.systems[name]
        try:
            async with asyncio.timeout(2 * self._settings.poll.timeout), self._client(name) as ask:
                if before is not None and before.remote is not None:
                    await ask.delete(f"{system.base_url}/Subscription/{before.remote}")
                wanted = dumps(self._wanted(id, secret))
                told = await _post(ask, f"{system.base_url}/Subscription", wanted)
        except (httpx.HTTPError, TimeoutError) as error:
            told = type(error).__name__
        await self._write(lambda tx: self._asked(tx, id, told))

    def _asked(self, tx: Transaction, id: str, told: Resource | str) -> None:
        """Record what became of asking; the handshake may have come before."""
        watch = tx.watches.get(id)
        if watch is None or watch.state != "asking":
            return
        if isinstance(told, str):
            fail(tx, watch, told, self._subscribe)
        elif told.get("status") == "active":
            activate(tx, watch, str(told["id"]), self._subscribe)
        else:
            tx.watches.change(id, state="asked", remote=str(told["id"]))

    def _wanted(self, id: str, secret: str) -> Resource:
        """Return the Subscription that we ask for."""
        return {
            "resourceType": "Subscription",
            "meta": {"profile": [PROFILE]},
            "status": "requested",
            "reason": "Follow what becomes of requests for records",
            "criteria": HREX_TASK,
            "channel": {
                "extension": [{"url": HEARTBEAT, "valueUnsignedInt": self._subscribe.heartbeat}],
                "type": "rest-hook",
                "endpoint": f"{self.project().config.server.base}/{PATH}/{id}",
                "payload": "application/fhir+json",
                "_payload": {"extension": [{"url": CONTENT, "valueCode": "id-only"}]},
                "header": [f"Authorization: Bearer {secret}"],
            },
        }

    async def _check(self, watch: WatchRow) -> None:
        """Ask a system that gave no sign of life how our subscription stands."""
        heard = await self._ask_status(watch)
        if isinstance(heard, Heard) and heard.status == "active":
            due = after(self.clock.now(), 2 * self._subscribe.heartbeat)
            top = heard.since or 0

            def work(tx: Transaction) -> None:
                tx.watches.hear(watch.id, top, ())
                tx.watches.change(watch.id, due=due)

            await self._write(work)
        else:
            reason = heard.status if isinstance(heard, Heard) else "no sign of life"
            await self._write(lambda tx: fail(tx, watch, reason, self._subscribe))

    async def _ask_status(self, watch: WatchRow) -> Heard | None:
        tree = await self._get(watch, "$status")
        entries = tree.get("entry") if tree is not None else None
        for entry in entries if isinstance(entries, list) else ():
            heard = understood({"type": "history", "entry": [entry]})
            if isinstance(heard, Heard) and heard.subscription == watch.remote:
                return heard
        return None

    async def _hear_out(self, id: str) -> None:
        """Look at what the notifications told of; nothing is forgotten before it was looked at."""
        watch, news = await self._read(lambda tx: (tx.watches.get(id), tx.watches.news(id, PAGE)))
        if watch is None:
            return
        if watch.heard < watch.told and not await self._look(watch, news):
            return
        behind = await self._read(lambda tx: (tx.watches.get(id) or watch).behind)
        if behind and await self.polling.catch_up(watch.system):
            await self._write(lambda tx: tx.watches.change(id, behind=False))

    async def _look(self, watch: WatchRow, news: Sequence[NewsRow]) -> bool:
        """Look at the next news, and at those that never came; False where that is not possible."""
        found = {one.number: one.resource for one in news}
        top = watch.told if len(news) < PAGE else max(found)
        if missing := _gap(watch.heard + 1, top, found):
            found |= await self._missed(watch, missing, top)
        named = list(dict.fromkeys(one for one in found.values() if one is not None))
        if not await self.polling.look(watch.system, named):
            return False
        unknown = None in found.values() or bool(_gap(watch.heard + 1, top, found))

        def work(tx: Transaction) -> None:
            if unknown:
                tx.watches.change(watch.id, behind=True)
            tx.watches.looked(watch.id, top)

        await self._write(work)
        return True

    async def _missed(
        self, watch: WatchRow, missing: Sequence[int], last: int
    ) -> dict[int, str | None]:
        """Return what those events are about that we were not told of, as far as it is known."""
        _log.warning("watch.missed", system=watch.system, first=missing[0], last=last)
        body = {"system": watch.system, "first": missing[0], "last": last}
        await self._write(lambda tx: tx.audit.append("watch.missed", body))
        bounds = f"eventsSinceNumber={missing[0]}&eventsUntilNumber={missing[-1]}"
        tree = await self._get(watch, f"$events?{bounds}&content=id-only")
        heard = understood(tree) if tree is not None else None
        if not isinstance(heard, Heard) or heard.subscription != watch.remote:
            return {}
        return {one: heard.events[one] for one in missing if one in heard.events}

    async def _get(self, watch: WatchRow, what: str) -> Resource | None:
        """Return the Bundle that an operation on our subscription answers, or None."""
        system = self.project().config.systems[watch.system]
        url = f"{system.base_url}/Subscription/{watch.remote}/{what}"
        try:
            async with (
                asyncio.timeout(self._settings.poll.timeout),
                self._client(watch.system) as client,
            ):
                body = await body_of(client, url, _LARGEST)
        except (httpx.HTTPError, TimeoutError):
            return None
        tree = parse(body, Limits(_LARGEST)).tree if body is not None else None
        return tree if tree is not None and tree["resourceType"] == "Bundle" else None

    def _client(self, name: str) -> httpx.AsyncClient:
        system: System = self.project().config.systems[name]
        return client_of(system, self.polling.connect(system), self._settings.poll.timeout)

    async def _read(self, run: Callable[[Transaction], Any]) -> Any:
        return await asyncio.to_thread(self.store.read, run)

    async def _write(self, run: Callable[[Transaction], Any]) -> Any:
        return await asyncio.wrap_future(self.store.write(run))


async def _post(client: httpx.AsyncClient, url: str, body: bytes) -> Resource | str:
    """Return the Subscription that a server made of ours, or why there is none."""
    headers = {"Content-Type": "application/fhir+json", "Prefer": "return=representation"}
    async with client.stream("POST", url, content=body, headers=headers) as response:
        said = b""
        async for chunk in response.aiter_bytes():
            said += chunk
            if len(said) > _LARGEST:
                return "answer too large"
        if response.status_code not in (200, 201):
            return f"status {response.status_code}"
        tree = parse(said, Limits(_LARGEST)).tree if said.strip() else None
        place = response.headers.get("location", "")
    whole = tree if tree is not None and tree["resourceType"] == "Subscription" else {}
    own, id = own_reference(place, "Subscription"), whole.get("id")
    target = literal(own or (f"Subscription/{id}" if isinstance(id, str) else ""))
    if target is None or not target.id.strip("."):
        return "no id"
    return {"id": target.id, "status": whole.get("status")}


def _gap(first: int, last: int, known: Container[int]) -> list[int]:
    """Return the first numbers of a range that are not known."""
    return list(islice((one for one in range(first, last + 1) if one not in known), PAGE))
