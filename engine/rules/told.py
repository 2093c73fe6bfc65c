"""What a resource tells, worked out once for the question, the answer and what it obliges to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from engine.message import Resource
from engine.rules.content import (
    NO_LABELS,
    Library,
    Listed,
    Part,
    Passages,
    Shelf,
    entry_labels,
    parts_of,
    passages,
)
from engine.rules.labels import label, labels_called_for
from engine.rules.security_label import Label, resource_labels
from engine.rules.sensitivity import SensitivityTable


class Told:
    """Hold a resource as it came, and its parts under the labels that its codes call for.

    `passages` are the entries that it carries, by path, `labels` those of each part by its path;
    `shelf` finds what its references lead to, labelled likewise. `labelled` gives the resource with
    these labels on it. The parts are worked out when they are asked for.
    """

    __slots__ = ("_parts", "_read", "labelled", "labels", "passages", "resource", "shelf")

    def __init__(
        self,
        resource: Resource,
        told: Passages,
        shelf: Shelf,
        read: Callable[[], Sequence[Part]],
        labelled: Callable[[], Resource],
        labels: Mapping[str, frozenset[Label]] | None = None,
    ) -> None:
        self.resource, self.passages, self.shelf = resource, told, shelf
        self._read, self.labelled = read, labelled
        self._parts: Sequence[Part] | None = None
        self.labels = {one.path: one.labels for one in self.parts} if labels is None else labels

    @property
    def parts(self) -> Sequence[Part]:
        """Return what is known of each part."""
        if self._parts is None:
            self._parts = self._read()
        return self._parts


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
    finish = partial(label, table=table, minor=minor) if table is not None else None
    if finish is not None and (not told or "contained" in resource):
        labelled = finish(resource)
        shelf = Shelf(labelled, beside, finish)
        read = partial(parts_of, labelled, passages(labelled), shelf)
        return Told(resource, told, shelf, read, lambda: labelled)
    shelf = Shelf(resource, beside, finish)
    added, inherited = NO_LABELS, resource_labels(resource)
    if table is not None:
        added = labels_called_for(resource, told, inherited, table, minor=minor)
    read = partial(parts_of, resource, told, shelf, added)
    labels = None
    if told and "contained" not in resource and not any(one.references for one in told.values()):
        labels = entry_labels(told, added, inherited)
    return Told(resource, told, shelf, read, partial(finish or _itself, resource), labels)


def _itself(resource: Resource) -> Resource:
    return resource
