"""What a resource tells, worked out once for the question, the answer and what it obliges to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

from msgspec import Struct

from engine.message import Resource
from engine.rules.content import (
    NO_LABELS,
    Library,
    Listed,
    Part,
    Passages,
    Shelf,
    entry_labels,
    form_of,
    parts_of,
    passages,
)
from engine.rules.labels import label, labels_called_for
from engine.rules.mark import is_notice, marked
from engine.rules.security_label import Label, resource_labels
from engine.rules.sensitivity import SensitivityTable


class Said(Struct, frozen=True):
    """Hold the labels of each part by its path, and the paths of those that are legal notices.

    `kept` are the labels of what is no notice; `marked` says that it bears all marks that it needs
    where nothing of it is taken out.
    """

    labels: Mapping[str, frozenset[Label]]
    notices: frozenset[str]
    kept: Sequence[frozenset[Label]]
    marked: bool


class Told:
    """Hold a resource as it came, and its parts under the labels that its codes call for.

    `labels`, `notices`, `kept` and `marked` are those of `Said`: of one form (`form_of`) they are
    worked out once. All else is worked out when it is asked for.
    """

    def __init__(
        self,
        resource: Resource,
        library: Library,
        table: SensitivityTable | None = None,
        minor: bool = False,
    ) -> None:
        self.resource = resource
        self._library, self._table, self._minor = library, table, minor
        form = form_of(resource) if table is not None else None
        if table is None or form is None:
            said = self._said()
        else:
            said = table.once((form, minor), self._said)
        self.labels, self.notices = said.labels, said.notices
        self.kept, self.marked = said.kept, said.marked

    def _said(self) -> Said:
        notices = frozenset(path for path, one in self.passages.items() if is_notice(one.tree))
        if self._is_whole or any(one.references for one in self.passages.values()):
            labels: Mapping[str, frozenset[Label]] = {one.path: one.labels for one in self.parts}
        else:
            labels = entry_labels(self.passages, self._called_for, resource_labels(self.resource))
        kept = [one for path, one in labels.items() if path not in notices]
        is_marked = marked(self.resource, (), kept, redacted=False) is self.resource
        return Said(labels, notices, kept, is_marked)

    @property
    def _is_whole(self) -> bool:
        """Tell whether it is labelled as a whole, or with what it contains, before it is parted."""
        return not self.passages or "contained" in self.resource

    @cached_property
    def passages(self) -> Passages:
        """Return the entries that the resource carries, by path."""
        return passages(self.resource)

    @property
    def _finish(self) -> Callable[[Resource], Resource] | None:
        """Return what puts labels on a resource, where there is a table of them."""
        if self._table is None:
            return None
        return partial(label, table=self._table, minor=self._minor)

    @cached_property
    def labelled(self) -> Resource:
        """Return the resource with the labels on it."""
        finish = self._finish
        return self.resource if finish is None else finish(self.resource)

    @cached_property
    def shelf(self) -> Shelf:
        """Return what finds all that references lead to, labelled likewise."""
        resource = self.labelled if self._is_whole else self.resource
        return Shelf(resource, self._library, self._finish)

    @cached_property
    def parts(self) -> Sequence[Part]:
        """Return what is known of each part."""
        if self._is_whole:
            return parts_of(self.labelled, passages(self.labelled), self.shelf)
        return parts_of(self.resource, self.passages, self.shelf, self._called_for)

    @cached_property
    def _called_for(self) -> Mapping[str, frozenset[Label]]:
        """Return the labels that the table adds to the entries."""
        if self._table is None:
            return NO_LABELS
        inherited, minor = resource_labels(self.resource), self._minor
        return labels_called_for(self.resource, self.passages, inherited, self._table, minor=minor)


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
    return Told(resource, beside, table, minor)
