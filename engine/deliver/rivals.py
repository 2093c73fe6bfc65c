"""Keep the versions of one resource in order: what stands in the way of a claimed delivery.

A resource of several members stands in several lines, and a line's earlier delivery may be released
after its later ones: an older version must never follow a newer one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from engine.deliver.ports import Delivery

Way = Literal["free", "barred", "outdated"]
"""Whether a delivery may go, waits for another version, or comes too late."""


@dataclass(frozen=True, slots=True)
class Version:
    """Name what a delivery takes along: a resource (`Type/entity`) in a version.

    `link` names one of the siblings that a resource goes as; each follows its own only.
    """

    reference: str
    number: int
    link: str


def version_of(delivery: Delivery) -> Version | None:
    """Return which version of which resource a delivery takes along, None where it has none."""
    envelope = delivery.envelope
    if (number := envelope.get("version")) is None:
        return None
    link = envelope["reference"] if envelope.get("sibling") else ""
    return Version(f"{delivery.type}/{envelope['entity']}", number, link)


class Rivals:
    """Know what stands in the way of what one turn has claimed, asked for all of it at once.

    `others` names by destination and resource what was on its way before.
    """

    def __init__(
        self, deliveries: Any, claimed: Sequence[Delivery], others: AbstractSet[tuple[str, str]]
    ) -> None:
        self._deliveries = deliveries
        self._versions = {delivery.id: version_of(delivery) for delivery in claimed}
        self._outdated: frozenset[str] = deliveries.outdated(self._oldest())
        self._under_way = others
        self._beside: dict[tuple[str, str], list[Delivery]] = defaultdict(list)
        for delivery in claimed:
            if version := self._versions[delivery.id]:
                self._beside[delivery.destination, version.reference].append(delivery)
        self._gone: set[str] = set()

    def _oldest(self) -> dict[str, int]:
        """Return the oldest version of each resource among what was claimed."""
        found: dict[str, int] = {}
        for version in filter(None, self._versions.values()):
            known = found.get(version.reference, version.number)
            found[version.reference] = min(known, version.number)
        return found

    def leave(self, delivery: Delivery) -> None:
        """Say that a claimed delivery does not go: it stands in nobody's way."""
        self._gone.add(delivery.id)

    def way(self, delivery: Delivery) -> Way:
        """Tell whether another version stands in the way of a claimed delivery."""
        version = self._versions[delivery.id]
        if version is None:
            return "free"
        newer = self._newer(delivery, version)
        if newer == "delivered":
            return "outdated"
        return "barred" if newer is not None or self._other(delivery, version) else "free"

    def _newer(self, delivery: Delivery, version: Version) -> str | None:
        """Return the state of a later version there that arrived or may have."""
        if version.reference not in self._outdated:
            return None
        found: str | None = self._deliveries.newer(
            delivery.destination, version.reference, version.number, version.link
        )
        return found

    def _other(self, delivery: Delivery, version: Version) -> bool:
        """Tell whether another version is on its way.

        What left before is waited for. Of those claimed at once the oldest goes, unless a newer one
        was tried before.
        """
        place = (delivery.destination, version.reference)
        return place in self._under_way or any(
            self._goes_first(other, delivery, version.number)
            for other in self._beside[place]
            if other.id != delivery.id and other.id not in self._gone
        )

    def _goes_first(self, other: Delivery, delivery: Delivery, number: int) -> bool:
        """Tell whether one of two that were claimed at once goes before the other."""
        version = self._versions[other.id]
        if version is None:
            return False
        if version.number < number:
            return delivery.attempts <= 1
        return version.number > number and other.attempts > 1
