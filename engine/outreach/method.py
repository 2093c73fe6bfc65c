"""The choice of a medium for one recipient: what they can receive, prefer, need and may be told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Medium = Literal["fhir", "fax", "mail", "phone", "meeting"]

WRITTEN: frozenset[str] = frozenset({"fhir", "fax", "mail"})
"""The media that leave the words with the recipient."""

FACILITIES = frozenset({"Organization", "Practitioner", "PractitionerRole", "HealthcareService"})

DEFAULTS: dict[bool, tuple[Medium, ...]] = {
    True: ("fhir", "fax", "mail", "phone", "meeting"),
    False: ("mail", "phone", "fax", "meeting", "fhir"),
}
"""The order where nobody said anything: for those who care for somebody, and for people."""

REASONS = {
    "table": "the preferences table asks for it",
    "system": "the recipient's own system receives FHIR",
    "stated": "the recipient's record asks for it",
    "urgent": "it is urgent, and this is the fastest way",
    "language": "nobody who calls speaks the recipient's language, so it is written",
    "ranked": "the recipient ranks it first among the ways to reach them",
    "asked": "the sender asks for it",
    "usual": "it is the usual way for such a recipient",
    "only": "it is the only way to reach them",
}
"""Why a medium was chosen."""

OBSTACLES = {
    "absent": "no address for it is on record",
    "unusable": "the address on record cannot be used",
    "not-set-up": "config.yaml sets no such medium up",
    "avoided": "the recipient or the preferences table rules it out",
    "restricted": "restricted content may not go by it",
    "denied": "no consent allows it now",
}
"""Why a medium was passed over."""

_CARRIED_BY: dict[str, Medium] = {"phone": "phone", "fax": "fax", "email": "mail"}
_MOST_WAYS = 8
_MAILBOX = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=.{3,190}$)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+"
)
_URGENT = frozenset({"stat", "asap"})


@dataclass(frozen=True, slots=True)
class Point:
    """Hold one ContactPoint: `rank` 1 is wanted most; `theirs` is False for somebody else's."""

    system: str
    value: str = field(repr=False)
    rank: int | None = None
    use: str | None = None
    theirs: bool = True


@dataclass(frozen=True, slots=True)
class Party:
    """Hold what is known of how a recipient can be reached.

    `system` names the configured system whose FHIR endpoint serves them and gets the resource;
    `prefers` and `avoids` are what their own record says; `understood` is False where nobody who
    calls speaks their language.
    """

    kind: str
    system: str | None = None
    points: tuple[Point, ...] = ()
    prefers: tuple[str, ...] = ()
    avoids: frozenset[str] = frozenset()
    understood: bool = True


@dataclass(frozen=True, slots=True)
class Wish:
    """Hold what the preferences table says of a recipient."""

    prefer: tuple[str, ...] = ()
    avoid: frozenset[str] = frozenset()


NO_WISH = Wish()


@dataclass(frozen=True, slots=True)
class Way:
    """Hold one way that is open: a medium, the address there, and why it stands where it does."""

    medium: Medium
    address: str = field(repr=False)
    reason: str = "usual"

    def to_json(self) -> dict[str, str]:
        return {"medium": self.medium, "address": self.address, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold the medium chosen (None where none is open), its reason, and what comes after it.

    `reason` is a sentence for people, `passed_over` says of each other medium why it is closed.
    None of them holds an address or anything else of the recipient.
    """

    medium: Medium | None
    address: str | None = field(repr=False)
    reason: str
    fallbacks: tuple[Way, ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()


def choose(
    party: Party,
    *,
    offered: Iterable[str],
    allowed: Iterable[str],
    urgency: str = "routine",
    asked: Sequence[str] = (),
    wish: Wish = NO_WISH,
    restricted: bool = False,
) -> Choice:
    """Return by which medium a recipient is told, and which ones follow if it fails.

    `offered` are the media that are set up, `allowed` those that consent leaves open (none
    without a permit), `urgency` a Communication.priority, `asked` what the sender would like
    (Communication.medium). `restricted` content goes to nobody else's address. The order of
    what decides is that of `REASONS`.
    """
    question = _Question(
        party, frozenset(offered), frozenset(allowed), urgency, tuple(asked), wish, restricted
    )
    ways = sorted(question.ways(), key=question.rank)[:_MOST_WAYS]
    closed = tuple(question.closed({way.medium for way in ways}))
    if not ways:
        return Choice(None, None, "no medium is open for this recipient", (), closed)
    first, *rest = ways
    reason = "only" if not rest and first.reason == "usual" else first.reason
    return Choice(first.medium, first.address, REASONS[reason], tuple(rest), closed)


@dataclass(frozen=True, slots=True)
class _Question:
    party: Party
    offered: frozenset[str]
    allowed: frozenset[str]
    urgency: str
    asked: tuple[str, ...]
    wish: Wish
    restricted: bool

    def ways(self) -> Iterator[Way]:
        """Yield every way that is open, each with the strongest reason that speaks for it."""
        for medium, address, rank in self._addresses():
            if self.obstacle(medium) is None:
                yield Way(medium, address, self._reason(medium, rank))

    def obstacle(self, medium: str) -> str | None:
        if medium not in self.offered:
            return "not-set-up"
        if medium in self.wish.avoid or medium in self.party.avoids:
            return "avoided"
        if medium not in self.allowed:
            return "restricted" if self.allowed else "denied"
        return None

    def closed(self, open: set[Medium]) -> Iterator[tuple[str, str]]:
        with_address = {medium for medium, _, _ in self._addresses()}
        known = {_CARRIED_BY.get(point.system) for point in self.party.points}
        for medium in DEFAULTS[True]:
            if medium in open:
                continue
            missing = "unusable" if medium in known else "absent"
            reason = self.obstacle(medium) or (missing if medium not in with_address else "absent")
            yield medium, OBSTACLES[reason]

    def _addresses(self) -> Iterator[tuple[Medium, str, int | None]]:
        if self.party.system is not None:
            yield "fhir", self.party.system, None
        points = sorted(self._usable(), key=lambda point: (point.rank or 99, _USES.get(point.use)))
        for point in points:
            if medium := _CARRIED_BY.get(point.system):
                yield medium, usable(point) or "", point.rank
        for kind in ("email", "phone"):
            for point in points:
                if point.system == kind:
                    yield "meeting", usable(point) or "", None
                    return

    def _usable(self) -> Iterator[Point]:
        for point in self.party.points:
            if usable(point) and point.use != "old" and (point.theirs or not self.restricted):
                yield point

    def _reason(self, medium: Medium, rank: int | None) -> str:
        if medium in self.wish.prefer:
            return "table"
        if medium == "fhir":
            return "system"
        if medium in self.party.prefers:
            return "stated"
        if self.urgency in _URGENT and medium == "phone" and self.party.understood:
            return "urgent"
        if not self.party.understood and medium in WRITTEN:
            return "language"
        if rank == 1:
            return "ranked"
        return "asked" if medium in self.asked else "usual"

    def rank(self, way: Way) -> tuple[int, int, int, int]:
        """Return where a way stands: by its reason, then what its reason or rank says."""
        usual = DEFAULTS[self.party.kind in FACILITIES]
        order = {"table": self.wish.prefer, "stated": self.party.prefers, "asked": self.asked}
        listed: Sequence[str] = order.get(way.reason, usual)
        named = self.party.points if way.medium != "meeting" else ()
        points = [point for point in named if usable(point) == way.address]
        rank = min((point.rank or 99 for point in points), default=99)
        return (
            _ORDER.index(way.reason),
            rank if way.reason == "usual" and rank < 99 else 99,
            listed.index(way.medium),
            rank,
        )


_ORDER = list(REASONS)


class _Uses(dict[Any, int]):
    def __missing__(self, key: Any) -> int:
        return 5


_USES = _Uses({"mobile": 0, "home": 1, "work": 2, None: 3, "temp": 4})


def usable(point: Point) -> str | None:
    """Return the address as a medium can use it, or None: no header, path or command fits in it."""
    text = point.value.strip()
    if point.system == "email":
        text = text.removeprefix("mailto:")
        return text if _MAILBOX.fullmatch(text) else None
    if point.system in ("phone", "fax"):
        return _number(text)
    return None


def _number(text: str) -> str | None:
    """Return a telephone number as digits, a leading plus and an extension: 3 to 20 digits."""
    text = re.sub(r"^(tel|fax):", "", text)
    found = re.fullmatch(
        r"\s*(\+?)([0-9 ()./-]{3,40})\s*(?:(?:x|ext\.?|;ext=)\s*([0-9]{1,6}))?", text
    )
    if found is None:
        return None
    digits = re.sub(r"[^0-9]", "", found[2])
    if not 3 <= len(digits) <= 20:
        return None
    return f"{found[1]}{digits}" + (f"x{found[3]}" if found[3] else "")
