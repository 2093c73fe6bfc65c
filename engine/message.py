"""What travels the road: a Message, its Units, and the Outcome of a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from engine.diagnostics import Diagnostic
    from engine.rules.decision import Decision
    from engine.transform.crosswalk import Key

Resource = dict[str, Any]
"""A FHIR resource as a tree of dict, list, str, int, bool, None and exact decimals."""


class Message(Struct, frozen=True):
    """Hold one submission as it arrived.

    `system` names the sender, `interaction` is what was asked (`bundle`, `create CareTeam`,
    `update CareTeam/7`), `key` the idempotency key where the sender gave one, `digest` the SHA-256
    of the body in hex, `received` an instant in UTC (RFC 3339).
    """

    id: str
    system: str
    interaction: str
    key: str | None
    digest: str
    received: str
    body: bytes


class Draft(Struct, frozen=True):
    """Hold what is to be delivered to one destination: the resource in that system's dialect.

    `link` is the local reference under which the destination will know it, `mapping` the name,
    version and hash of the adapter that made it, `decision` the judgement it rests on in the form
    of `Decision.to_json`, `obligations` what was carried out on it. Of a whole that goes as
    `sibling`s, `parting` marks one that is no part of it now, and `settled` one that the
    destination has already.
    """

    destination: str
    resource: Resource
    link: str
    mapping: str
    decision: Mapping[str, Any] | None = None
    notes: tuple[Diagnostic, ...] = ()
    sibling: bool = False
    parting: bool = False
    settled: bool = False


class Unit(Struct, frozen=True):
    """Hold one resource of a message on its way.

    `entry` is its index in the Bundle (0 for a lone resource), `where` the FHIRPath of the resource
    in what was sent, `entity` its canonical id, `member` the canonical id of the Patient it is
    about, `decisions` the permits by destination, `drafts` what goes to whom once it was routed,
    `refusal` the decision that stopped it. `provisional` is a held Consent as far as it can be
    read: it permits nothing, what it denies or takes back holds at once. `written` names the
    elements of `canonical` that are not those of `source`, which was valid (None: any may differ);
    `extended` says whether an extension may stand anywhere in it. `sibling` is what its system
    calls one of several resources that are one entity; of those in one message `borne` names the
    entry of the one that bears the whole. `keys` are what points at `source`, which never changes
    (None: not worked out yet).
    """

    entry: int
    where: str
    type: str
    source: Resource
    full_url: str | None = None
    entity: str = ""
    member: str | None = None
    canonical: Resource | None = None
    provisional: Resource | None = None
    mapping: str = ""
    drafts: tuple[Draft, ...] = ()
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    refusal: Mapping[str, Any] | None = None
    notes: tuple[Diagnostic, ...] = ()
    written: frozenset[str] | None = None
    extended: bool = True
    sibling: str = ""
    borne: int | None = None
    keys: Sequence[Key] | None = None


class Next(Struct, frozen=True):
    """Let the unit pass to the next stage."""

    unit: Unit


class Hold(Struct, frozen=True):
    """Park the unit with a reason; it is released when what it waits for is there, never lost.

    `reason` is a code (`crosswalk-unknown`, `consent-withdrawn`), `waiting_on` the crosswalk keys
    whose linking releases it, `claims` the entities that it may be where that cannot be told.
    """

    unit: Unit
    reason: str
    diagnostics: tuple[Diagnostic, ...] = ()
    waiting_on: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()


class Reject(Struct, frozen=True):
    """Refuse the unit; `status` is the HTTP status that says so."""

    unit: Unit
    status: int
    diagnostics: tuple[Diagnostic, ...]


Outcome = Next | Hold | Reject
"""What a stage answers: an exception instead is a bug or broken input/output."""
