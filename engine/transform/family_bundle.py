"""A Bundle through adapters, where several entries become one, or one becomes several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.diagnostics import Diagnostic
from engine.fhir.references import is_reference
from engine.message import Resource
from engine.transform.adapter import Adapter
from engine.transform.family import to_siblings, to_wholes
from engine.transform.mapping import Direction
from engine.transform.result import Result

Entry = dict[str, Any]


@dataclass(slots=True)
class Taken:
    """Hold what became of some entries: by place, what stands there now, and who is who.

    `targets` maps a reference to what it means on the other side: one whole, or its siblings.
    """

    made: dict[int, list[Resource]] = field(default_factory=dict)
    targets: dict[str, list[str]] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def note(self, result: Result, at: str) -> None:
        """Keep what was said of the entry at a path."""
        self.diagnostics += [problem.at(at) if at else problem for problem in result.diagnostics]


def take_families(
    adapter: Adapter, direction: Direction, placed: Sequence[tuple[int, Resource]]
) -> Taken:
    """Take the resources of one type, each at its place in a Bundle, through their adapter."""
    taken = Taken()
    if direction == "to_dialect":
        for place, resource in placed:
            _apart(adapter, place, resource, taken)
        return taken
    resources = [resource for _, resource in placed]
    for family in to_wholes(adapter, resources):
        places = [placed[index][0] for index in family.members]
        taken.note(family.result, f"Bundle.entry[{places[0]}].resource")
        whole = family.result.resource
        taken.made |= {place: [] for place in places}
        if whole is not None:
            taken.made[places[0]] = [whole]
            for index in family.members:
                taken.targets[_name(resources[index])] = [_name(whole)]
    return taken


def _apart(adapter: Adapter, place: int, resource: Resource, taken: Taken) -> None:
    results = to_siblings(adapter, resource)
    for result in results:
        taken.note(result, f"Bundle.entry[{place}].resource")
    made = [result.resource for result in results if result.resource is not None]
    taken.made[place] = made
    taken.targets[_name(resource)] = [_name(one) for one in made]


def entries_of(entry: Entry, made: Sequence[Resource]) -> list[Entry]:
    """Return the entries that stand in the place of one: it with its resource, or one for each."""
    if len(made) == 1 and made[0].get("id") == entry["resource"].get("id"):
        return [{**entry, "resource": made[0]}]
    out = []
    for resource in made:
        new = {name: part for name, part in entry.items() if name != "fullUrl"}
        request = entry.get("request")
        if isinstance(request, dict) and request.get("method") == "PUT":
            new["request"] = {**request, "url": _name(resource)}
        out.append({**new, "resource": resource})
    return out


def redirected(tree: Any, targets: Mapping[str, Sequence[str]]) -> Any:
    """Return a tree whose references mean the other side; in a list one may become several."""
    if isinstance(tree, list):
        found: list[Any] = []
        for item in tree:
            for one in _meant(item, targets) or [redirected(item, targets)]:
                if one not in found or not is_reference_to(one, targets):
                    found.append(one)
        return found
    if not isinstance(tree, dict):
        return tree
    if meant := _meant(tree, targets):
        return meant[0]
    return {name: redirected(value, targets) for name, value in tree.items()}


def is_reference_to(tree: Any, targets: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether something is a reference to what became one or several."""
    known = {name for names in targets.values() for name in names}
    return isinstance(tree, dict) and tree.get("reference") in known


def _meant(tree: Any, targets: Mapping[str, Sequence[str]]) -> list[Any]:
    if not isinstance(tree, dict) or "resourceType" in tree or not is_reference(tree):
        return []
    names = targets.get(str(tree.get("reference")), ())
    return [{**tree, "reference": name} for name in names]


def _name(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource.get('id', '')}"
