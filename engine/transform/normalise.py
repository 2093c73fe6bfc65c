"""What some systems write that FHIR does not allow, and is taken as it is where a mapping says so.

It happens ahead of validation, and only there: the resource is looked at as if it were lawful,
and travels on as it came, so that its own system knows it again.
"""

from __future__ import annotations

from engine.message import Resource

NORMALISED = ("illegal-ids",)
"""The words that `normalise:` at the top of a mapping may list."""


def has_illegal_id(resource: Resource) -> bool:
    """Tell whether the id of a resource has `_`, which FHIR ids do not (Oracle Health has it)."""
    id = resource.get("id")
    return isinstance(id, str) and "_" in id


def as_lawful(resource: Resource, words: frozenset[str]) -> Resource:
    """Return a resource as it is looked at by validation."""
    if "illegal-ids" in words and has_illegal_id(resource):
        return {**resource, "id": str(resource["id"]).replace("_", "-")}
    return resource
