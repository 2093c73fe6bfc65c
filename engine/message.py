"""What travels the road: a Message, its Units, and the Outcome of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.diagnostics import Diagnostic

Resource = dict[str, Any]
"""A FHIR resource as a tree of dict, list, str, int, bool, None and exact decimals."""


@dataclass(frozen=True, slots=True)
class Message:
    """Hold one submission as it arrived.

    `id` is the engine's own, `key` the idempotency key, `digest` the SHA-256 of the body in hex,
    `received` an instant with offset (RFC 3339).
    """

    id: str
    system: str
    key: str
    digest: str
    received: str
    body: bytes
    interaction: str


@dataclass(frozen=True, slots=True)
class Unit:
    """Hold one resource of a message on its way.

    `entry` is its index in the Bundle, `source` the resource as it came, `canonical` its
    canonical form once transformed, `full_url` the entry's fullUrl.
    """

    entry: int
    type: str
    source: Resource
    full_url: str | None = None
    canonical: Resource | None = None
    notes: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Next:
    """Let the unit pass to the next stage."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class Hold:
    """Park the unit with a reason; it is released when what it waits for is there, never lost.

    `reason` is a code (`crosswalk-unknown`, `consent-withdrawn`), `waiting_on` the crosswalk keys
    whose linking releases it.
    """

    reason: str
    diagnostics: tuple[Diagnostic, ...] = ()
    waiting_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the unit; `status` is the HTTP status that says so."""

    status: int
    diagnostics: tuple[Diagnostic, ...]


Outcome = Next | Hold | Reject
"""What a stage answers: an exception instead is a bug or broken input/output."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Hold everything from outside that the stages may look at, read before they run."""

    at: str
    values: Mapping[str, Any] = field(default_factory=dict)
