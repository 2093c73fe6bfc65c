"""Turn a delivery into the HTTP request that its destination understands; nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

import msgspec

from engine.deliver.destination import Destination
from engine.diagnostics import Diagnostic
from engine.fhir.json import dumps, loads

MEDIA_TYPE = "application/fhir+json"
KEY_EXTENSION = "https://carelane.example/fhir/StructureDefinition/idempotency-key"
"""On the request of a Bundle's entry: the delivery's own key, the same on every attempt."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Hold what is to be sent: the resource in the destination's dialect, and its names.

    `key` stays the same for every attempt; `trace` ties the request to the message it came from.
    `entity` is the resource's canonical id and `version` its version on record, where it has them.
    """

    resource: bytes
    key: str
    request_id: str
    trace: str
    entity: str | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Request:
    """Hold one HTTP request, ready to send."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes
    type: str


class Identifier(msgspec.Struct):
    """Read the two elements of an Identifier that a search needs."""

    system: str | None = None
    value: str | None = None


class Head(msgspec.Struct, rename="camel"):
    """Read the elements of a resource that decide about its request, and no others."""

    resource_type: str = ""
    id: str | None = None
    identifier: list[Identifier] | Identifier | None = None


_head = msgspec.json.Decoder(Head)


def build(destination: Destination, parcel: Parcel) -> Request | Diagnostic:
    """Return the request for one delivery, or why there is none.

    Update: PUT [base]/[type]/[id]; create: POST [base]/[type] with If-None-Exist where the resource
    has an identifier (http://hl7.org/fhir/R4/http.html#ccreate), and for what was created there
    before, PUT to its id there or to its identifier; transaction: POST [base] with a Bundle of one
    entry. What goes by another medium, or to the endpoint of a subscription, is
    rendered by its transport.
    """
    if destination.interaction == "medium":
        return Request("", "", {}, parcel.resource, "Communication")
    if destination.interaction == "hook":
        return Request("POST", "", _headers(destination, parcel), parcel.resource, "Bundle")
    head = _head.decode(parcel.resource)
    if destination.interaction != "create" and not head.id:
        return _no_id(head)
    return _BUILD[destination.interaction](destination, parcel, head)


def _no_id(head: Head) -> Diagnostic:
    return Diagnostic(
        "D008",
        "a resource without an id cannot be written by PUT",
        path=f"{head.resource_type}.id",
        remedy="give the system `interaction: create`, or map the id",
    )


def _update(destination: Destination, parcel: Parcel, head: Head) -> Request:
    url = f"{_base(destination)}/{_local(head)}"
    return Request("PUT", url, _headers(destination, parcel), parcel.resource, head.resource_type)


def _create(destination: Destination, parcel: Parcel, head: Head) -> Request:
    """Create what is new there; change what is not, since a condition would leave it as it was."""
    search = _search(head) if destination.conditional else None
    if head.id and parcel.entity not in (None, head.id):
        return _update(destination, parcel, head)
    if parcel.version > 1 and search:
        url = f"{_base(destination)}/{quote(head.resource_type, safe='')}?{search}"
        content = _without_id(parcel.resource)
        return Request("PUT", url, _headers(destination, parcel), content, head.resource_type)
    headers = _headers(destination, parcel)
    if search:
        headers["If-None-Exist"] = search
    url = f"{_base(destination)}/{quote(head.resource_type, safe='')}"
    return Request("POST", url, headers, parcel.resource, head.resource_type)


def _without_id(resource: bytes) -> bytes:
    """Return a resource without our id: a conditional update keeps the one that it has there."""
    return dumps({name: part for name, part in loads(resource).items() if name != "id"})


def _bundled(destination: Destination, parcel: Parcel, head: Head) -> Request:
    request = bundle_request(destination, [parcel], parcel)
    return replace(request, type=head.resource_type)


def bundle_request(destination: Destination, parcels: Sequence[Parcel], whole: Parcel) -> Request:
    """Return the request of a Bundle with a PUT for each parcel; `whole` names it as one."""
    kind = b"batch" if destination.interaction == "batch" else b"transaction"
    entries = b",".join(_bundle_entry(parcel, alone=len(parcels) == 1) for parcel in parcels)
    content = b'{"resourceType":"Bundle","type":"%s","entry":[%s]}' % (kind, entries)
    headers = _headers(destination, whole)
    return Request("POST", _base(destination), headers, content, "Bundle")


def _bundle_entry(parcel: Parcel, alone: bool) -> bytes:
    request: dict[str, Any] = {"method": "PUT", "url": _local(_head.decode(parcel.resource))}
    if not alone:
        request["extension"] = [{"url": KEY_EXTENSION, "valueString": parcel.key}]
    return b'{"resource":%s,"request":%s}' % (parcel.resource, msgspec.json.encode(request))


def place_of(resource: bytes) -> str | None:
    """Return where a resource is written by PUT (`CareTeam/7`), None where it has no id."""
    head = _head.decode(resource)
    return _local(head) if head.id else None


_BUILD: Mapping[str, Callable[[Destination, Parcel, Head], Request]] = {
    "update": _update,
    "create": _create,
    "transaction": _bundled,
    "batch": _bundled,
}


def _base(destination: Destination) -> str:
    return destination.base_url.rstrip("/")


def _local(head: Head) -> str:
    return f"{quote(head.resource_type, safe='')}/{quote(head.id or '', safe='')}"


def _headers(destination: Destination, parcel: Parcel) -> dict[str, str]:
    headers = {
        "Content-Type": MEDIA_TYPE,
        "Accept": MEDIA_TYPE,
        "Accept-Encoding": "identity",
        "Prefer": "return=minimal",
        "User-Agent": "carelane",
        "Idempotency-Key": parcel.key,
        "X-Request-Id": parcel.request_id,
        "X-Correlation-Id": parcel.trace,
    }
    if destination.bearer:
        headers["Authorization"] = f"Bearer {destination.bearer}"
    return headers


def _search(head: Head) -> str | None:
    """Return the search that finds the resource by its first full identifier."""
    for identifier in _identifiers(head):
        if identifier.system and identifier.value:
            return f"identifier={_token(identifier.system)}|{_token(identifier.value)}"
    return None


def _identifiers(head: Head) -> Iterator[Identifier]:
    if isinstance(head.identifier, Identifier):
        yield head.identifier
    else:
        yield from head.identifier or ()


def _token(text: str) -> str:
    """Escape what a FHIR search gives a meaning (http://hl7.org/fhir/R4/search.html#escaping)."""
    for special in "\\$,|":
        text = text.replace(special, f"\\{special}")
    return quote(text, safe=":/")
