"""Several deliveries to one destination in one Bundle: put together, and its answer taken apart.

Only the first of each member's line is ever claimed, so the deliveries of a Bundle are of different
members: none comes before another. Each keeps its own decision, lease, fence and result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from engine.deliver.answer import OVERLOADED, Answer, Reply, parsed, read
from engine.deliver.destination import Destination
from engine.deliver.request import Parcel, Request, bundle_request, place_of
from engine.deliver.turn import APART, Task

LARGEST = 4_000_000
"""Bytes of resources that go together at most."""


def grouped(destination: Destination, tasks: Iterable[Task]) -> list[list[Task]]:
    """Return the tasks for one destination as they go out: each list in one request.

    No resource stands in a Bundle twice. What failed in company goes alone, and so does what cannot
    be written by PUT, which its own request will say.
    """
    if destination.batch < 2:
        return [[task] for task in tasks]
    groups: list[list[Task]] = []
    open_group: list[Task] = []
    places: set[str] = set()
    size = 0
    for task in tasks:
        place = place_of(task.body)
        if place is None or task.delivery.reason == APART:
            groups.append([task])
            continue
        full = len(open_group) >= destination.batch or size + len(task.body) > LARGEST
        if not open_group or full or place in places:
            open_group, places, size = [], set(), 0
            groups.append(open_group)
        open_group.append(task)
        places.add(place)
        size += len(task.body)
    return groups


def build_together(destination: Destination, parcels: Sequence[Parcel]) -> Request:
    """Return the request of one Bundle with a PUT for each parcel.

    Each entry carries its delivery's own idempotency key, which stays the same in whatever company
    it is tried again; that of the whole is made of those, so that the same Bundle has the same.
    """
    keys = "\n".join(parcel.key for parcel in parcels)
    whole = hashlib.sha256(keys.encode()).hexdigest()[:32]
    traces = ",".join(dict.fromkeys(parcel.trace for parcel in parcels))
    return bundle_request(destination, parcels, Parcel(b"", whole, whole, traces))


def read_together(reply: Reply, types: Sequence[str], now: float, interaction: str) -> list[Answer]:
    """Return what the reply to a Bundle means for each of its entries.

    An answer for the whole that may be the fault of one entry sends every one of them alone the
    next time: none may become a dead letter for its company.
    """
    whole = _whole(reply, types, now, interaction)
    responses = _responses(reply.body) if _taken(reply) else []
    if len(responses) == len(types):
        told = (_entry(*pair, now) for pair in zip(responses, types, strict=True))
        return [answer or _apart(whole, len(types)) for answer in told]
    if whole.result != "accepted":
        return [_for_each(reply, whole, len(types))] * len(types)
    if interaction == "transaction":  # all of it or nothing: it was all
        return [Answer("accepted", status=whole.status)] * len(types)
    return [_apart(whole, len(types))] * len(types)


def _taken(reply: Reply) -> bool:
    return reply.status is not None and 200 <= reply.status < 300


def _whole(reply: Reply, types: Sequence[str], now: float, interaction: str) -> Answer:
    """Read the answer for the whole; what a batch did, nobody knows from half of its answer.

    The whole of a single entry says where that is kept, which is never the answer's own id.
    """
    if reply.cut and interaction == "batch" and _taken(reply):
        return Answer("again", "D003", reply.status)
    return read(reply, types[0] if len(types) == 1 else "Bundle", now)


def _for_each(reply: Reply, whole: Answer, count: int) -> Answer:
    status = reply.status
    of_the_whole = reply.failure == "unreachable" or status in OVERLOADED
    if of_the_whole or (status is not None and whole.down):
        return whole
    return _apart(whole, count)


def _apart(whole: Answer, count: int) -> Answer:
    """Return the answer that sends an entry alone; one that was alone already has its own."""
    if count == 1:
        return whole
    return Answer("again", APART, whole.status, down=whole.down, issues=whole.issues)


def _responses(body: bytes) -> list[dict[str, Any]]:
    tree = parsed(body)
    entries = tree.get("entry") if isinstance(tree, dict) else None
    found = entries if isinstance(entries, list) else []
    responses = [entry.get("response") for entry in found if isinstance(entry, dict)]
    return [response for response in responses if isinstance(response, dict)]


def _entry(response: dict[str, Any], type: str, now: float) -> Answer | None:
    """Read one entry's response as if it had been the answer to a request of its own.

    None where it has no status, and so does not say what became of the entry.
    """
    text = str(response.get("status", ""))[:3]
    if not (text.isascii() and text.isdigit() and len(text) == 3):
        return None
    location = response.get("location")
    headers = {"location": location} if isinstance(location, str) else {}
    outcome = response.get("outcome")
    body = msgspec.json.encode(outcome) if isinstance(outcome, dict) else b""
    return read(Reply(int(text), headers, body), type, now)
