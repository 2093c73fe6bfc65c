"""The labelling step: before judgement, coded content gets the labels that its codes call for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.fhir.dates import birthday, moment
from engine.message import Resource
from engine.rules.consent.codings import CONFIDENTIALITY
from engine.rules.content import Passages, element_of, passages
from engine.rules.elements import CARRIERS, PEOPLE, SETTINGS, Passage, referred_type
from engine.rules.security_label import (
    INLINE_LABEL,
    Label,
    in_order,
    inline_labels,
    resource_labels,
)
from engine.rules.sensitivity import SensitivityTable


def label(resource: Resource, table: SensitivityTable, *, minor: bool = False) -> Resource:
    """Return the resource with the labels that its codes call for; the input is not changed.

    A resource gets them in `meta.security`; a contained one, and an entry of a type that carries
    content (`Communication.payload`, `CarePlan.activity`, ...), as inline-label extensions, so
    that one entry can be held back and the others sent. Labels are only added.
    Content whose codes the table all knows, and lists none of, gets `table.otherwise`, unless it
    holds words that no code explains: those stay unlabelled. `minor` says that the member was
    under age, which adds the table's labels for services that a minor may seek in confidence.
    """
    labelled = dict(resource)
    if resource.get("resourceType") in CARRIERS:
        inherited = resource_labels(resource)
        told = passages(resource)
        called = labels_called_for(resource, told, inherited, table, minor=minor)
        for path, added in called.items():
            _label_entry(labelled, path, told[path].tree, added)
    else:
        inherited = frozenset()
    step = _Labelling(table, minor)
    contained = resource.get("contained")
    if isinstance(contained, list):
        labelled["contained"] = [step.label_contained(one, inherited) for one in contained]
    if resource.get("resourceType") in CARRIERS:
        return labelled
    own = resource_labels(labelled)
    return _with_security(labelled, step.labels(Passage(labelled), own, frozenset()))


def labels_called_for(
    resource: Resource,
    told: Passages,
    inherited: frozenset[Label],
    table: SensitivityTable,
    *,
    minor: bool = False,
) -> dict[str, frozenset[Label]]:
    """Return the labels to add to the entries of a resource, by path.

    `told` are its passages, `inherited` the labels of the resource. What has no value, only
    extensions beside it, bears none.
    """
    step = _Labelling(table, minor)
    called = {path: step.entry_labels(path, one, inherited) for path, one in told.items()}
    return {path: added for path, added in called.items() if added and element_of(path) in resource}


def label_all(
    resources: Sequence[Resource], table: SensitivityTable, *, minor: bool = False
) -> list[Resource]:
    """Return the resources, each labelled as by `label`."""
    return [label(resource, table, minor=minor) for resource in resources]


class _Labelling:
    """Hold the table and the age while one resource is labelled."""

    def __init__(self, table: SensitivityTable, minor: bool) -> None:
        self.table = table
        self.minor = minor

    def labels(
        self, content: Passage, own: frozenset[Label], inherited: frozenset[Label]
    ) -> frozenset[Label]:
        """Return the labels to add to content that has `own` and stands inside `inherited`."""
        codes = content.codes
        found = _NONE.union(*[self.table.labels(code, minor=self.minor) for code in codes])
        if found:
            return (found if own else found | inherited) - own
        if own or inherited or self.table.otherwise is None or content.opaque:
            return _NONE
        if not all(self.table.knows(system) for system, _ in codes):
            return _NONE
        return frozenset({(CONFIDENTIALITY, self.table.otherwise)})

    def entry_labels(
        self, path: str, passage: Passage, inherited: frozenset[Label]
    ) -> frozenset[Label]:
        """Return the labels to add to one entry of a carrier."""
        if not isinstance(passage.tree, dict) or path.startswith("extension"):
            return _NONE
        added = self.labels(passage, passage.labels, inherited)
        if added and _points_to_content(passage):
            added -= {(CONFIDENTIALITY, self.table.otherwise or "")}
        return added

    def label_contained(self, resource: Any, inherited: frozenset[Label]) -> Any:
        """Return a contained resource labelled; dom-5 of R4 keeps labels out of its meta."""
        if not isinstance(resource, Mapping):
            return resource
        own = resource_labels(dict(resource)) | inline_labels(resource)
        return _with_inline(resource, self.labels(Passage(resource), own, inherited))


_NONE: frozenset[Label] = frozenset()


def _label_entry(resource: Resource, path: str, entry: Any, added: frozenset[Label]) -> None:
    """Put inline labels on one entry of `resource`, in place (its lists are copied first)."""
    key, _, index = path.partition("[")
    new = _with_inline(entry, added)
    if index:
        resource[key] = list(resource[key])
        resource[key][int(index[:-1])] = new
    else:
        resource[key] = new


def _points_to_content(entry: Passage) -> bool:
    """Tell whether an entry points to content: the labels of that stand on what it points to."""
    kinds = (referred_type(reference) for reference in entry.references)
    return any(kind not in PEOPLE and kind not in SETTINGS for kind in kinds)


def _with_inline(element: Mapping[str, Any], added: frozenset[Label]) -> dict[str, Any]:
    if not added:
        return dict(element)
    extensions = [{"url": INLINE_LABEL, "valueCoding": one} for one in in_order(added)]
    return {**element, "extension": [*element.get("extension", ()), *extensions]}


def _with_security(resource: Resource, added: frozenset[Label]) -> Resource:
    if not added:
        return resource
    meta = dict(resource.get("meta") or {})
    meta["security"] = [*meta.get("security", ()), *in_order(added)]
    return {**resource, "meta": meta}


_DAY = 24 * 3600 * 1_000_000


def is_minor(
    patient: Mapping[str, Any] | None, at: str, majority_age: int = 18, zone: str = "UTC"
) -> bool:
    """Tell whether a member is, or may still be, under age at an instant.

    Without a birth date that can be read nothing says so, and the answer is False.
    """
    born = (patient or {}).get("birthDate")
    turns = birthday(born, majority_age, zone) if isinstance(born, str) else None
    now = moment(at, zone)
    return turns is not None and now is not None and now[0] < turns[1] - _DAY
