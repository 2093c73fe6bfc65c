"""What a mapping compiles to: one object that takes a resource to canonical and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from engine.diagnostics import Diagnostic, Place, Severity
from engine.fhir.json import dumps
from engine.message import Resource
from engine.transform.compile import Compiled, compiled
from engine.transform.cross_version import Codec, Codecs
from engine.transform.defaults import without_defaults
from engine.transform.holding import has_extensions, text_holds_references
from engine.transform.home import home, leaving, mentions, received
from engine.transform.load import KnownProfiles, Loaded, load_folder
from engine.transform.mapping import DIRECTIONS, Direction, other
from engine.transform.passthrough import PassThrough
from engine.transform.plan import Plan
from engine.transform.references import IDENTITY, Crosswalk, Unresolved
from engine.transform.registry import FUNCTIONS
from engine.transform.result import Result
from engine.transform.runtime import Run
from engine.transform.shape import misshapen
from engine.transform.siblings import Seam
from engine.transform.written import written

__all__ = ["Adapter", "Adapters", "Result", "Unresolved", "load_adapters"]

_SHAPE = (TypeError, AttributeError, KeyError, ValueError, IndexError)


class Adapter:
    """Take resources of one type between one dialect and canonical; made by `load_adapters`."""

    def __init__(self, loaded: Loaded, plan: Plan) -> None:
        mapping = plan.mapping
        self.plan = plan
        self.path = loaded.path
        self.name = mapping.name
        self.version = mapping.version
        self.hash = loaded.hash
        self.label = f"{self.name} {self.version} {self.hash[:12]}"
        self.fhir: Literal["R4", "R5"] = mapping.dialect.fhir
        self.resource_type = mapping.dialect.resource
        self.normalise = mapping.normalise
        self.profile = mapping.dialect.profile.text if mapping.dialect.profile else None
        self.seam = (
            Seam(mapping.name, plan.root.canonical_type, plan.siblings) if plan.siblings else None
        )
        self._defaulted = {d: bool(plan.defaults.get(other(d))) for d in DIRECTIONS}
        self._ways: dict[Direction, _Way] = {}
        self.beside: Mapping[str, Adapter] = {}

    @property
    def sources(self) -> dict[Direction, str]:
        """Return the generated Python of both directions."""
        return {direction: self._way(direction).source for direction in DIRECTIONS}

    def function(self, direction: Direction) -> Compiled:
        """Return the generated function of one direction."""
        return self._way(direction).function

    def _way(self, direction: Direction) -> _Way:
        """Return one direction, compiled when first asked for and then kept."""
        way = self._ways.get(direction)
        if way is None:
            way = self._ways[direction] = _way(self.plan, direction)
        return way

    def to_canonical(
        self, resource: Resource, crosswalk: Crosswalk = IDENTITY, *, extended: bool = True
    ) -> Result:
        """Return a dialect resource as canonical; the argument is not changed, parts are shared.

        `extended` is false where it is known that no extension stands anywhere in the resource.
        """
        return self._take(resource, "to_canonical", crosswalk, extended)

    def to_dialect(
        self,
        resource: Resource,
        crosswalk: Crosswalk = IDENTITY,
        *,
        extended: bool = True,
        foreign: bool = False,
    ) -> Result:
        """Return a canonical resource as the dialect writes it; the argument is not changed.

        `foreign` says that another dialect wrote it: what a rule of one direction (`only`) would
        have added is then no addition of ours, and stays.
        """
        return self._take(resource, "to_dialect", crosswalk, extended, foreign)

    def _take(
        self,
        resource: Resource,
        direction: Direction,
        crosswalk: Crosswalk,
        extended: bool,
        foreign: bool = False,
    ) -> Result:
        way = self._ways.get(direction) or self._way(direction)
        if resource.get("resourceType") != way.type_name:
            return Result(None, (self._other_type(way.type_name),))
        if crosswalk is IDENTITY:
            run = Run(self.name, direction, crosswalk, False, way.codecs, False)
            run.foreign = foreign
            return self._made(resource, way, direction, run)
        text = dumps(resource) if extended else b""
        extended = has_extensions(text)
        far = extended and text_holds_references(text)
        run = Run(self.name, direction, crosswalk, True, way.codecs, far)
        run.foreign = foreign
        if not (extended and mentions(text)):
            return self._made(resource, way, direction, run)
        run.kept = False
        if direction == "to_canonical":
            return self._made(received(resource, self.name), way, direction, run)
        resource, stayed = leaving(resource, self.name)
        result = self._made(resource, way, direction, run)
        made = home(result.resource) if result.resource is not None else None
        return Result(made, (*result.diagnostics, *stayed), result.unresolved)

    def _turned(
        self, resource: Resource, way: _Way, direction: Direction, run: Run
    ) -> dict[str, Any]:
        """Return what the mapping makes, and theirs of contained resources; references once."""
        if direction == "to_dialect":
            return way.function(self._within(resource, direction, run), run)
        return self._within(way.function(resource, run), direction, run)

    def _within(self, resource: Resource, direction: Direction, run: Run) -> dict[str, Any]:
        """Return a resource with those contained in it turned by the mappings of their types."""
        items: list[Any] = []
        for index, inner in enumerate(resource["contained"]):
            adapter = self.beside.get(str(inner.get("resourceType")))
            if adapter is not None:
                way = adapter._way(direction)
                alone = Run(self.name, direction, IDENTITY, False, way.codecs, False)
                inner = way.function(inner, alone)
                where = f"{resource['resourceType']}.contained[{index}]"
                run.diagnostics += (problem.at(where) for problem in alone.diagnostics)
            items.append(inner)
        return {**resource, "contained": items}

    def _made(self, resource: Resource, way: _Way, direction: Direction, run: Run) -> Result:
        if "extension" in resource and self._defaulted[direction]:
            resource = without_defaults(resource, self.name, direction)
        try:
            if self.beside and "contained" in resource:
                made = self._turned(resource, way, direction, run)
            else:
                made = way.function(resource, run)
        except _SHAPE:
            problems = misshapen(resource, self.plan.version(direction))
            if not problems:
                raise
            return Result(None, tuple(problems))
        known = way.written if run.kept and "contained" not in resource else None
        if not run.diagnostics:
            return Result(made, (), written=known)
        return _result(made, run, known)

    def _other_type(self, wanted: str) -> Diagnostic:
        return Diagnostic(
            "T014",
            f"The mapping {self.name} is for {wanted}.",
            path="resourceType",
            expected=wanted,
            place=Place(self.plan.mapping.place.file, 1, 1),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """Hold one compiled direction: its source, what it defines, and the type that it reads."""

    source: str
    function: Compiled
    codecs: Codecs
    type_name: str
    written: frozenset[str] | None


def _way(plan: Plan, direction: Direction) -> _Way:
    source, function = compiled(plan, direction, dict(FUNCTIONS))
    here, there = plan.version(direction), plan.version(other(direction))
    codecs = Codecs(Codec(here, there), Codec(there, here))
    return _Way(source, function, codecs, plan.root.type(direction), written(plan, direction))


def _result(made: dict[str, Any], run: Run, known: frozenset[str] | None) -> Result:
    stopped = any(d.severity is Severity.ERROR for d in run.diagnostics)
    return Result(None if stopped else made, tuple(run.diagnostics), tuple(run.unresolved), known)


@dataclass(frozen=True)
class Adapters:
    """Hold the adapters of every dialect of a project.

    `retired` are those that were in force before, by name, version and start of the hash, for what
    they wrote and is still on its way; `set_hash` names the whole set where it is kept.
    """

    mapped: Mapping[tuple[str, str], Adapter]
    dialects: frozenset[str]
    retired: Mapping[str, Adapter] = field(default_factory=dict)
    set_hash: str = ""

    def get(self, dialect: str, resource_type: str) -> Adapter | PassThrough | None:
        """Return the adapter of a dialect for a type; unmapped types pass through.

        None where the dialect does not exist, or where it speaks another FHIR version than
        canonical, so that nothing may pass as it is.
        """
        found = self.mapped.get((dialect, resource_type))
        if found is not None or dialect not in self.dialects:
            return found
        if any(a.fhir != "R4" for (name, _), a in self.mapped.items() if name == dialect):
            return None
        return PassThrough(dialect, resource_type, self.normalised(dialect))

    def normalised(self, dialect: str) -> frozenset[str]:
        """Return what any mapping of a dialect takes although FHIR does not allow it."""
        mine = (one.normalise for (name, _), one in self.mapped.items() if name == dialect)
        return frozenset().union(*mine)


def load_adapters(
    root: Path, profiles: KnownProfiles | None = None
) -> tuple[Adapters, list[Diagnostic]]:
    """Load, check and compile every mapping of a folder, with every problem found in it."""
    folder = load_folder(root, profiles)
    made: dict[tuple[str, str], Adapter] = {}
    for loaded in folder.mappings.values():
        if loaded.plan is not None:
            dialect = loaded.name.split("/", 1)[0]
            made[dialect, loaded.plan.mapping.dialect.resource] = Adapter(loaded, loaded.plan)
    for (dialect, _), adapter in made.items():
        if adapter.fhir != "R4":
            adapter.beside = {kind: one for (own, kind), one in made.items() if own == dialect}
    dialects = frozenset(name.split("/", 1)[0] for name in folder.mappings)
    return Adapters(made, dialects), folder.problems
