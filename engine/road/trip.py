"""What every stage is handed beside the unit: the project, the facts and the sending system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from engine.message import Resource
from engine.rules.told import Told

if TYPE_CHECKING:
    from engine.project import Project
    from engine.road.facts import Facts
    from engine.transform.crosswalk import SystemCrosswalk


class Trip(Struct, frozen=True, eq=False):
    """Hold what is the same for all units of one message; a stage only reads it."""

    project: Project
    facts: Facts
    system: str
    _crosswalks: dict[str, SystemCrosswalk] = field(default_factory=dict)
    _told: dict[tuple[int, bool], Told] = field(default_factory=dict)

    def with_facts(self, facts: Facts) -> Trip:
        """Return the trip with other facts, and so with nothing that was worked out from these."""
        return Trip(self.project, facts, self.system)

    def crosswalk(self, system: str) -> SystemCrosswalk:
        """Return the crosswalk between `system` and canonical as the facts stand."""
        known = self._crosswalks.get(system)
        if known is None:
            local = self.facts.local if system == self.system else {}
            known = self.project.crosswalk(system, self.facts.links, local)
            self._crosswalks[system] = known
        return known

    def told(self, canonical: Resource, minor: bool) -> Told:
        """Return what a canonical resource tells, worked out once for all its destinations.

        It is kept with the resource itself, so no other can be taken for it.
        """
        key = (id(canonical), minor)
        known = self._told.get(key)
        if known is None:
            library = self.facts.library(canonical)
            known = self._told[key] = Told(canonical, library, self.project.labels, minor)
        return known
