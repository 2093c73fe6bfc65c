"""The adapter of types without a mapping: nothing changes but the references."""

from __future__ import annotations

from typing import Any, Literal

from engine.diagnostics import Diagnostic, has_errors
from engine.fhir.json import dumps
from engine.fhir.references import iter_references
from engine.message import Resource
from engine.transform.home import home, leaving, mentions, received
from engine.transform.mapping import Direction
from engine.transform.references import IDENTITY, Crosswalk, Unresolved, is_local
from engine.transform.result import Result

_ANY: frozenset[str] = frozenset()


class PassThrough:
    """Take a resource across as it is, every Reference in it through the crosswalk."""

    fhir: Literal["R4", "R5"] = "R4"
    profile: str | None = None
    version = 1
    hash = "pass-through"
    seam = None

    def __init__(
        self, dialect: str, resource_type: str, normalise: frozenset[str] = frozenset()
    ) -> None:
        self.normalise = normalise
        self.name = f"{dialect}/{resource_type.lower()}"
        self.label = f"{self.name} {self.version} {self.hash}"
        self.resource_type = resource_type

    def to_canonical(
        self, resource: Resource, crosswalk: Crosswalk = IDENTITY, *, extended: bool = True
    ) -> Result:
        """Return the resource with canonical references."""
        return self._take(resource, "to_canonical", crosswalk, extended)

    def to_dialect(
        self,
        resource: Resource,
        crosswalk: Crosswalk = IDENTITY,
        *,
        extended: bool = True,
        foreign: bool = False,
    ) -> Result:
        """Return the resource with the system's own references, whoever wrote it."""
        return self._take(resource, "to_dialect", crosswalk, extended)

    def _take(
        self, resource: Resource, direction: Direction, crosswalk: Crosswalk, extended: bool
    ) -> Result:
        if crosswalk is IDENTITY:
            return Result(resource, ())
        stayed: list[Diagnostic] = []
        if extended and mentions(dumps(resource)):
            if direction == "to_canonical":
                resource = received(resource, self.name)
            else:
                resource, stayed = leaving(resource, self.name)
                resource = home(resource)
        way = crosswalk.to_canonical if direction == "to_canonical" else crosswalk.to_dialect
        changed: dict[int, dict[str, Any]] = {}
        diagnostics = stayed
        unresolved: list[Unresolved] = []
        for path, reference in iter_references(resource):
            if is_local(reference):
                continue
            found = way(reference, _ANY)
            if isinstance(found, Unresolved):
                unresolved.append(found.at(path))
                said = f"The crosswalk does not know this reference: {found.reason}"
                diagnostics.append(Diagnostic("K001", said, path=path))
            else:
                changed[id(reference)] = found
        made = None if has_errors(diagnostics) else _replaced(resource, changed)
        return Result(made, tuple(diagnostics), tuple(unresolved))


def _replaced(tree: Any, changed: dict[int, dict[str, Any]]) -> Any:
    if isinstance(tree, list):
        return [_replaced(item, changed) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if id(tree) in changed:
        return changed[id(tree)]
    return {name: _replaced(value, changed) for name, value in tree.items()}
