"""What keeps the engine from working, or soon will: looked at from outside, nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx

from engine.clock import Clock, seconds_between
from engine.config import Config, System
from engine.errors import StoreError
from engine.store import Depth, Store, Transaction
from engine.store.inspection import Inspected, inspect_store

Grade = Literal["ok", "warning", "problem"]
TIMEOUT = 5.0
SKEW_WARNING = 2.0
SKEW_PROBLEM = 60.0
"""Seconds that clocks may differ: a second file of times is no order of events any more."""

LITTLE = 1_000_000_000
TOO_LITTLE = 100_000_000
"""Bytes of free disk below which it is said, and below which it is a problem."""

OLD_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Say how one thing stands, and what to do about it."""

    what: str
    grade: Grade
    said: str
    remedy: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Render as plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def store_findings(url: str, clock: Clock) -> Iterator[Finding]:
    """Look at database, schema, permissions, disk and clock."""
    try:
        found = inspect_store(url, clock)
    except StoreError as error:
        yield Finding("database", "problem", str(error), "see `store` in config.yaml.")
    else:
        yield from findings_of(found)


def findings_of(found: Inspected) -> Iterator[Finding]:
    """Grade how the database stands."""
    if found.unwritable:
        remedy = "check permissions, mounts and free space."
        yield Finding("database", "problem", found.unwritable, remedy)
    else:
        yield Finding("database", "ok", f"{found.kind} answers and can be written")
    if not found.unwritable:
        yield _schema(found)
    if found.free is not None:
        yield _disk(found.free)
    if found.kind != "sqlite":
        yield _skew("clock of the database", found.skew)


def _schema(found: Inspected) -> Finding:
    if found.schema == found.expected:
        return Finding("schema", "ok", f"up to date ({found.schema})")
    if found.schema is None:
        return Finding("schema", "ok", "there is no record yet; `carelane serve` makes it")
    if found.schema < found.expected:
        said = f"at {found.schema}, this version brings it to {found.expected} when it starts"
        return Finding("schema", "warning", said, "make a backup first: `carelane backup`.")
    said = f"at {found.schema}, made by a newer carelane; this one knows {found.expected}"
    return Finding("schema", "problem", said, "install the newer version.")


def _disk(free: int) -> Finding:
    said = f"{free / 1e9:.1f} GB free"
    if free < TOO_LITTLE:
        return Finding("disk", "problem", said, "free some: nothing is accepted on a full disk.")
    if free < LITTLE:
        return Finding("disk", "warning", said, "free some, or set `retention` in config.yaml.")
    return Finding("disk", "ok", said)


def _skew(what: str, seconds: float) -> Finding:
    said = f"{abs(seconds):.1f} s {'ahead of' if seconds >= 0 else 'behind'} this machine's"
    if abs(seconds) > SKEW_PROBLEM:
        return Finding(what, "problem", said, "set both by NTP.")
    if abs(seconds) > SKEW_WARNING:
        return Finding(what, "warning", said, "set both by NTP.")
    return Finding(what, "ok", f"within {SKEW_WARNING:g} s of this machine's")


async def system_findings(
    systems: Mapping[str, System], clock: Clock, transport: httpx.AsyncBaseTransport | None = None
) -> list[Finding]:
    """Ask every system for its CapabilityStatement; any answer shows that it can be reached."""
    async with httpx.AsyncClient(timeout=TIMEOUT, transport=transport, trust_env=False) as client:
        asked = [_system(name, system, client, clock) for name, system in systems.items()]
        return [finding for found in await asyncio.gather(*asked) for finding in found]


async def _system(
    name: str, system: System, client: httpx.AsyncClient, clock: Clock
) -> list[Finding]:
    what = f"system {name}"
    try:
        async with asyncio.timeout(TIMEOUT):
            answer = await _head(system, client)
    except Exception as error:  # whatever its address or token make of the request
        said = f"cannot be reached ({type(error).__name__})"
        return [Finding(what, "problem", said, "check base_url, network and certificates.")]
    if answer.status_code in (401, 403):
        said = f"refuses our token ({answer.status_code})"
        return [Finding(what, "problem", said, "ask its operator for a new one.")]
    found = [Finding(what, "ok", f"answers ({answer.status_code})")]
    if system.token_sha256 is None:
        said = "has no token, so it cannot send to us"
        found.append(Finding(what, "warning", said, "`carelane token` prints a new one."))
    date = _date(answer.headers.get("date"))
    if date is not None:
        found.append(_skew(f"clock of {name}", date - clock.time()))
    return found


async def _head(system: System, client: httpx.AsyncClient) -> httpx.Response:
    """Return status and headers of an answer; its body may be long, or never end."""
    headers = {"Authorization": f"Bearer {system.bearer}"} if system.bearer else {}
    async with client.stream("GET", f"{system.base_url}/metadata", headers=headers) as answer:
        return answer


def _date(text: str | None) -> float | None:
    try:
        told = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    return None if told is None else told.replace(tzinfo=told.tzinfo or UTC).timestamp()


def queue_findings(store: Store, config: Config) -> Iterator[Finding]:
    """Look at what waits, and whether payloads of the record open with the keys given."""
    try:
        queues = store.read(lambda tx: tx.deliveries.depth())
        store.read(_open_payloads)
    except StoreError as error:
        yield Finding("record", "problem", str(error))
        return
    yield from _queues(queues, store.clock.now(), config.limits.outbox)


def _open_payloads(tx: Transaction) -> None:
    """Read the newest message and the oldest decision: StoreError where either does not open."""
    for row in tx.messages.search(limit=1):
        tx.messages.get(row.id)
    tx.decisions.search(limit=1)


def _queues(queues: Sequence[Depth], now: str, most: int) -> Iterator[Finding]:
    for queue in queues:
        what = f"outbox to {queue.destination}"
        age = seconds_between(queue.oldest, now)
        if queue.state in ("dead", "skipped"):
            remedy = f"`carelane ledger list --state {queue.state}`, then requeue."
            yield Finding(what, "warning", f"{queue.count} dead letters ({queue.state})", remedy)
        elif queue.state == "waiting" and queue.count >= most:
            said = f"{queue.count} wait: senders are put off"
            yield Finding(what, "problem", said, "see why the system takes nothing.")
        elif queue.state == "waiting" and age > OLD_SECONDS:
            said = f"{queue.count} wait, the oldest for {age / 3600:.1f} hours"
            yield Finding(what, "warning", said, "`carelane ledger list --state waiting`.")
        elif queue.state == "held":
            yield Finding(what, "ok", f"{queue.count} held for a reason")
    if not queues:
        yield Finding("outbox", "ok", "nothing waits")
