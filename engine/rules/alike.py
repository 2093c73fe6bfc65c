"""What is asked of content as a whole: only what holds for all of its parts alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

from engine.fhir.dates import ALWAYS, Interval, moment, period
from engine.rules.consent.codings import RESOURCE_TYPES, Concept, Key, concepts_of, mappings
from engine.rules.consent.criteria import Datum, Labels, labels_among
from engine.rules.consent.directory import Directory
from engine.rules.consent.policy import Policy
from engine.rules.consent.question import data_of
from engine.rules.content import ABOUT, Part, element_of, is_content
from engine.rules.elements import Age, names_of
from engine.rules.security_label import Label, coding, in_order
from engine.rules.told import Told


class Alike:
    """Tell what is asked of the content: only what holds for all of it alike.

    Where its parts differ the request stays silent, and the decision answers with obligations
    that judge each part: one entry may be held back and the others sent.
    """

    def __init__(self, told: Told) -> None:
        self._told = told

    @cached_property
    def _parts(self) -> Sequence[Part]:
        resource, found = self._told.resource, self._told.parts
        told = [part for part in found if is_content(resource, part.path) or _stands_alone(part)]
        return told or found

    @cached_property
    def classes(self) -> list[frozenset[Label]]:
        """Return the classes of the carrier, then those of what it carries."""
        if not _is_alike([part.classes for part in self._parts]):
            return []
        first = self._parts[0]
        return [one for one in (first.envelope - first.classes, first.classes) if one]

    @cached_property
    def about(self) -> list[Mapping[str, Any]]:
        """Return what the resource says it is about, as it says it."""
        if not _is_alike([part.codes for part in self._parts]):
            return []
        return [one for name in ABOUT for one in mappings(self._told.resource.get(name))]

    @cached_property
    def codes(self) -> list[Label]:
        """Return every other code in it, in order; that of its category stands elsewhere."""
        if not _is_alike([part.codes for part in self._parts]):
            return []
        every = [part.codes for part in self._told.parts if element_of(part.path) != "category"]
        return sorted(frozenset[Label]().union(*every).difference(*concepts_of(self.about)))

    @property
    def labels(self) -> frozenset[Label]:
        """Return the labels of everything."""
        found = list(self._told.labels.values())
        return found[0] if _is_alike(found) else frozenset()

    @cached_property
    def age(self) -> Mapping[str, str]:
        """Return the period from the first date of the content to the last."""
        alike = _is_alike([part.ages for part in self._parts])
        return _span(self._parts[0].ages) if alike else {}

    @cached_property
    def data(self) -> list[dict[str, Any]]:
        """Return the one piece of content, where it has a name of its own."""
        if len(self._parts) > 1:
            return []
        return _data(self._parts[0].names - names_of(self._told.resource))

    def written(self) -> dict[str, Any]:
        """Return it in the shape of a request."""
        return {
            "class": [_as_concept(one) for one in self.classes],
            "code": [*map(dict, self.about), *map(coding, self.codes)],
            "securityLabel": in_order(self.labels),
            "dataPeriod": self.age,
            "data": self.data,
        }


Heard = tuple[tuple[str, Any], ...]
"""What was asked of a content, by name, with what it said."""


class ToldContent:
    """Be the content of a question, read as if `Alike` had been written down.

    It is worked out no further than a consent asks: most say nothing of content.
    """

    def __init__(self, told: Told, policy: Policy, directory: Directory) -> None:
        self._alike, self._zone = Alike(told), policy.zone
        self._directory = directory
        self.labels = _labels_among(self._alike.labels)
        self.withhold = policy.unlabelled == "withhold"

    def asked(self) -> Heard:
        """Return what was asked of it so far, and what it said."""
        return tuple([one for one in vars(self).items() if one[0][0] != "_"])

    def says(self, heard: Heard) -> bool:
        """Tell whether it says what another content said, asked in the same order."""
        return all(getattr(self, name) == said for name, said in heard)

    @cached_property
    def classes(self) -> tuple[Concept, ...] | None:
        return tuple([_keys(one, RESOURCE_TYPES) for one in self._alike.classes]) or None

    @cached_property
    def codes(self) -> tuple[Concept, ...] | None:
        found = [*concepts_of(self._alike.about), *[_keys([one]) for one in self._alike.codes]]
        return tuple([one for one in found if one]) or None

    @cached_property
    def period(self) -> Interval | None:
        return period(self._alike.age, self._zone) if self._alike.age else None

    @cached_property
    def unreadable_period(self) -> bool:
        return bool(self._alike.age) and self.period is None

    @cached_property
    def data(self) -> tuple[Datum, ...] | None:
        return data_of(self._alike.data, self._directory)


@lru_cache(maxsize=4096)
def _labels_among(labels: frozenset[Label]) -> Labels | None:
    return labels_among(_keys(labels)) or None


def _keys(labels: Iterable[Label], known: str = "") -> Concept:
    """Return labels as the keys that are read from them once they are written as codings."""
    return frozenset([Key(system or known, code) for system, code in labels if code])


def _data(names: frozenset[str]) -> list[dict[str, Any]]:
    """Return the one piece of content as `data`, where others than its carrier can find it."""
    literal = sorted(name for name in names if "|" not in name and not name.startswith("#"))
    known = [name.partition("|") for name in sorted(names) if "|" in name]
    if not literal:
        return []
    reference: dict[str, Any] = {"reference": literal[0]}
    if known:
        reference["identifier"] = [{"system": one[0], "value": one[2]} for one in known]
    return [{"meaning": "instance", "reference": reference}]


def _is_alike(values: Sequence[Any]) -> bool:
    """Tell whether there is something, and it is the same everywhere."""
    first = values[0]
    return bool(first) and values.count(first) == len(values)


def _stands_alone(part: Part) -> bool:
    return part.path.startswith("contained") or part.path == ""


def _as_concept(classes: frozenset[Label]) -> dict[str, Any]:
    """Return classes as one Coding, or as one concept where there are several names for it."""
    codings = [coding(one) for one in sorted(classes)]
    return codings[0] if len(codings) == 1 else {"coding": codings}


def _span(ages: Sequence[Age]) -> dict[str, str]:
    """Return the period from the first of these dates to the last; {} where one is not plain."""
    starts = [start for start, _ in ages if start]
    ends = [end for _, end in ages if end]
    if any(moment(date) is None for date in (*starts, *ends)):
        return {}
    span = {}
    if len(starts) == len(ages):
        span["start"] = min(starts, key=lambda date: moment(date) or ALWAYS)
    if len(ends) == len(ages):
        span["end"] = max(ends, key=lambda date: (moment(date) or ALWAYS)[1])
    return span
