"""What a resource tells, worked out once for the question, the answer and what it obliges to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct

from engine.message import Resource
from engine.rules.content import Library, Listed, Part, Passages, Shelf, parts_of, passages
from engine.rules.labels import label, labels_called_for
from engine.rules.sensitivity import SensitivityTable


class Told(Struct, frozen=True):
    """Hold a resource as it came, and its parts under the labels that its codes call for.

    `passages` are the entries that it carries, by path. `labelled` gives the resource with these
    labels on it, `shelf` finds what its references lead to, labelled likewise.
    """

    resource: Resource
    passages: Passages
    parts: Sequence[Part]
    shelf: Shelf
    labelled: Callable[[], Resource]


def told_by(
    resource: Resource,
    library: Library | Sequence[Resource] = (),
    *,
    table: SensitivityTable | None = None,
    minor: bool = False,
) -> Told:
    """Return what a resource tells; `library` holds the resources that references lead to.

    With a `table` the content is labelled first, as by `engine.rules.labels.label`.
    """
    beside = Listed(library) if isinstance(library, Sequence) else library
    told = passages(resource)
    if table is None:
        shelf = Shelf(resource, beside)
        return Told(resource, told, parts_of(resource, told, shelf), shelf, lambda: resource)
    finish = partial(label, table=table, minor=minor)
    if told and "contained" not in resource:
        shelf = Shelf(resource, beside, finish)
        added = labels_called_for(resource, told, table, minor=minor)
        found = parts_of(resource, told, shelf, added)
        return Told(resource, told, found, shelf, partial(finish, resource))
    labelled = finish(resource)
    shelf = Shelf(labelled, beside, finish)
    found = parts_of(labelled, passages(labelled), shelf)
    return Told(resource, told, found, shelf, lambda: labelled)
