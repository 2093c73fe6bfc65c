"""What a sample system remembers: the resources it holds, what arrived, and when it is down."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Record one write that reached a system, and the HTTP status that it answered.

    `target` is `CareTeam/7`, `CareTeam` or `Bundle`. `headers` keeps those that tell one attempt
    from another; a bearer token is never kept.
    """

    at: datetime
    method: str
    target: str
    status: int
    resource: Resource | None
    headers: Mapping[str, str]

    @property
    def type(self) -> str:
        return self.target.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Outage:
    """Script a failure: the next `times` writes of `type` (any type if None) get `status`."""

    times: int
    status: int = 503
    type: str | None = None
    retry_after: int | None = None

    def concerns(self, type_name: str) -> bool:
        return self.type in (None, type_name)


@dataclass
class SampleSystem:
    """Hold the resources of one system in memory.

    `token` is the bearer token that a client must send. One lock guards everything, as the play
    looks on from another thread.
    """

    name: str
    title: str
    token: str = field(repr=False)
    _arrivals: list[Arrival] = field(default_factory=list)
    _versions: dict[tuple[str, str], list[Resource]] = field(default_factory=dict)
    _outage: Outage | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fail(self, outage: Outage | None) -> None:
        """Begin an outage, which ends after its last failure, or end the present one by None."""
        with self._lock:
            self._outage = outage

    def failing(self, type_name: str) -> Outage | None:
        """Return the outage that a write of this type meets now, and count it."""
        with self._lock:
            met = self._outage
            if met is None or not met.concerns(type_name):
                return None
            self._outage = replace(met, times=met.times - 1) if met.times > 1 else None
            return met

    def record(self, arrival: Arrival) -> None:
        """Keep what arrived."""
        with self._lock:
            self._arrivals.append(arrival)

    def attempts(self, type_name: str | None = None) -> list[Arrival]:
        """Return the writes of a type (of all types if None) that reached the system, in order."""
        with self._lock:
            return [one for one in self._arrivals if type_name in (None, one.type)]

    def get(self, type_name: str, id: str) -> Resource | None:
        """Return the current version of a resource."""
        with self._lock:
            versions = self._versions.get((type_name, id))
            return versions[-1] if versions else None

    def holding(self, type_name: str) -> list[Resource]:
        """Return the current version of every resource of a type."""
        with self._lock:
            return [each[-1] for (kind, _), each in self._versions.items() if kind == type_name]

    def identified(self, type_name: str, token: str) -> list[Resource]:
        """Return the resources that a search by `identifier=[system|]value` finds."""
        system, bar, value = token.rpartition("|")
        return [
            resource
            for resource in self.holding(type_name)
            if any(
                each.get("value") == value and (not bar or each.get("system", "") == system)
                for each in resource.get("identifier", ())
            )
        ]

    def store(self, type_name: str, id: str, resource: Resource) -> tuple[Resource, bool]:
        """Keep a new version of a resource; the answer says whether it is the first."""
        with self._lock:
            versions = self._versions.setdefault((type_name, id), [])
            meta = {
                **resource.get("meta", {}),
                "versionId": str(len(versions) + 1),
                "lastUpdated": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
            versions.append({**resource, "id": id, "meta": meta})
            return versions[-1], len(versions) == 1
