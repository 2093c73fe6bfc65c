"""After a removal: no contained resource that nobody points to, no reference to what is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.message import Resource
from engine.rules.elements import walk

MASKED: Mapping[str, Any] = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "masked",
        }
    ]
}
"""What stands for an element that is held back (FHIR R4, extension data-absent-reason)."""


def without_strays(before: Resource, after: Resource) -> Resource:
    """Return `after` without contained resources that only what was removed pointed to.

    References to what is gone are masked, so that none dangles (FHIR R4, dom-3 and ref-1).
    """
    if "contained" not in before:
        return after
    was = _pointed_to(before)
    kept = list(after.get("contained", ()))
    while True:
        bare = {**after, "contained": kept}
        now = _pointed_to(bare)
        stays = [one for one in kept if _stays(one, was, now)]
        if len(stays) == len(kept):
            break
        kept = stays
    out = {key: value for key, value in after.items() if key != "contained"}
    here = {f"#{one['id']}" for one in kept if isinstance(one, Mapping) and one.get("id")}
    masked: Resource = _masked(out, here)
    if kept:
        masked["contained"] = [_masked(one, here) for one in kept]
        return {key: masked[key] for key in after if key in masked}
    return masked


def _stays(contained: Any, was: set[str], now: set[str]) -> bool:
    if not isinstance(contained, Mapping):
        return True
    name = f"#{contained.get('id')}"
    return name in now or name not in was or "#" in _pointed_to(contained)


def _pointed_to(tree: Any) -> set[str]:
    """Return the local references in a tree, those of a contained resource to itself apart."""
    found: set[str] = set()
    for node in walk(tree):
        reference = node.get("reference")
        if isinstance(reference, str) and reference.startswith("#"):
            found.add(reference)
    return found


def _masked(tree: Any, here: set[str]) -> Any:
    if isinstance(tree, list):
        return [_masked(item, here) for item in tree]
    if not isinstance(tree, dict):
        return tree
    reference = tree.get("reference")
    if isinstance(reference, str) and len(reference) > 1 and reference.startswith("#"):
        return dict(tree) if reference in here else dict(MASKED)
    return {key: _masked(value, here) for key, value in tree.items()}
