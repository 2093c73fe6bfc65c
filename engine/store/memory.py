"""What one process remembers of the record between transactions: who is who, and the consents.

Decisions ask the same few things again and again: which entity a key means, the Consents of a
member, the record of an actor. What was read is kept here until somebody writes it anew. The
chain's row counts such changes (`known`), whichever process made them: where the count is not the
one under which this memory was filled, it is emptied before anything is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

T = TypeVar("T")

REMEMBERED = frozenset(
    {
        "Patient",
        "RelatedPerson",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "CareTeam",
        "Group",
        "Provenance",
        "Consent",
    }
)
"""The types that are asked for again and again; all else is written once and looked at rarely."""

MOST = 50_000
MOST_JOINT = 10_000
ABSENT: Final = object()
"""What `recall` gives for what is not remembered."""


class Memory:
    """Keep what was read, for the writer of one process."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.kept: dict[Hashable, Any] = {}
        self._joint: dict[Hashable, Any] = {}
        self._beside: dict[Callable[[], Any], Any] = {}
        self._stamp: int | None = None

    def beside(self, make: Callable[[], T]) -> T:
        """Return what somebody keeps of this record by rules of its own; `make` makes it once."""
        found: T = self._beside[make] if make in self._beside else make()
        self._beside[make] = found
        return found

    def at(self, stamp: int) -> None:
        """Forget everything unless it was read under this count of changes."""
        if stamp != self._stamp:
            self.forget()
            self._stamp = stamp

    def forget(self) -> None:
        """Forget everything: nobody knows under which count it would still hold."""
        self.kept.clear()
        self._joint.clear()
        self._stamp = None

    def take(self, recall: Recall, stamp: int) -> None:
        """Take over what a transaction read, now that it is durable; `stamp` is its own count."""
        if recall.spoilt_all or len(self.kept) + len(recall.fresh) > self._most:
            self.kept.clear()
        for name in recall.spoilt:
            self.kept.pop(name, None)
        self.kept.update(recall.fresh)
        if recall.changed or len(self._joint) + len(recall.joint) > MOST_JOINT:
            self._joint.clear()
        if not recall.changed:
            self._joint.update(recall.joint)
        self._stamp = stamp

    def joint(self, name: Hashable) -> Any:
        """Return what was worked out of several of those things, or ABSENT."""
        return self._joint.get(name, ABSENT)


class Recall:
    """Show one transaction what is remembered, less what it has changed itself."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory
        self._known = memory.kept if memory is not None else {}
        self.stamp: int | None = None
        """The count of changes under which this transaction began, where it is known."""
        self.fresh: dict[Hashable, Any] = {}
        self.joint: dict[Hashable, Any] = {}
        self.spoilt: set[Hashable] = set()
        self.spoilt_all = False
        self.rested: dict[str, dict[str, int]] = {}
        self.entered: dict[str, int] = {}

    @property
    def changed(self) -> bool:
        """Tell whether this transaction wrote anything that somebody may remember."""
        return self.spoilt_all or bool(self.spoilt)

    def recall(self, name: Hashable) -> Any:
        """Return what is known under a name, or ABSENT: then it must be read."""
        found = self.fresh.get(name, ABSENT)
        if found is not ABSENT or self._memory is None:
            return found
        if self.spoilt_all or name in self.spoilt:
            return ABSENT
        return self._known.get(name, ABSENT)

    def keep(self, name: Hashable, value: Any) -> None:
        """Remember what was just read, unless this transaction has changed it."""
        if self._memory is not None and not self.spoilt_all and name not in self.spoilt:
            self.fresh[name] = value

    def rest(self, member: str, versions: dict[str, int]) -> None:
        """Note the Consents of a member, by id and version, that something decided rests on."""
        self.rested.setdefault(member, versions)

    def enter(self, consent: str, version: int) -> None:
        """Note the version that this transaction itself gave a Consent."""
        self.entered.setdefault(consent, version)

    def outdated(self, member: str, now: dict[str, int]) -> bool:
        """Tell whether anybody else has changed a member's Consents since they were read."""
        read = self.rested[member]
        return any(self._differs(id, read.get(id, 0), now.get(id, 0)) for id in {*read, *now})

    def _differs(self, id: str, read: int, now: int) -> bool:
        own = self.entered.get(id)
        if own is None:
            return read != now
        return read < own - 1

    def once(self, name: Hashable, read: Callable[[], T]) -> T:
        """Return what is known under a name, or read it and remember it; nobody may change it."""
        found: T = self.recall(name)
        if found is ABSENT:
            found = read()
            self.keep(name, found)
        return found

    def jointly(self, name: Hashable, read: Callable[[], T]) -> T:
        """Return what rests on several things that are remembered, worked out once for them all.

        It must rest on nothing else. As soon as any of them is written anew it is forgotten.
        """
        if self._memory is None or self.changed:
            return read()
        found: T = self.joint.get(name, ABSENT)
        if found is ABSENT:
            found = self._memory.joint(name)
        if found is ABSENT:
            found = self.joint[name] = read()
        return found

    def beside(self, make: Callable[[], T]) -> T:
        """Return what somebody keeps beside this memory, by rules of its own; else a new one.

        It outlasts every change, and transactions that are taken back: it must know by itself what
        still holds.
        """
        return make() if self._memory is None else self._memory.beside(make)

    def spoil(self, name: Hashable) -> None:
        """Say that this transaction changes what stands under a name."""
        self.spoilt.add(name)
        self.fresh.pop(name, None)

    def spoil_all(self) -> None:
        """Say that this transaction changes who is who."""
        self.spoilt_all = True
        self.fresh.clear()
