"""What a resource tells, worked out once for the question, the answer and what it obliges to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.message import Resource
from engine.rules.content import Part, Shelf, parts
from engine.rules.labels import label
from engine.rules.sensitivity import SensitivityTable


@dataclass(frozen=True, slots=True)
class Told:
    """Hold a resource as it came and under the labels that its codes call for, part by part.

    `shelf` finds what its references lead to, labelled likewise.
    """

    resource: Resource
    labelled: Resource
    parts: Sequence[Part]
    shelf: Shelf


def told_by(
    resource: Resource,
    supporting: Sequence[Resource] = (),
    *,
    table: SensitivityTable | None = None,
    minor: bool = False,
) -> Told:
    """Return what a resource tells; `supporting` are the resources that references lead to.

    With a `table` the content is labelled first, as by `engine.rules.labels.label`.
    """
    if table is None:
        shelf = Shelf(resource, supporting)
        return Told(resource, resource, parts(resource, shelf), shelf)
    labelled = label(resource, table, minor=minor)
    shelf = Shelf(labelled, supporting, lambda other: label(other, table, minor=minor))
    return Told(resource, labelled, parts(labelled, shelf), shelf)
