"""What a provision says about content: each criterion compiled, decided, or left to the content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from engine.fhir.dates import Interval, covers, overlaps, period
from engine.rules.consent.codings import (
    ACT_CODE,
    ACT_REASON,
    CONFIDENTIALITY,
    OBSERVATION_VALUE,
    RESOURCE_TYPES,
    Concept,
    Key,
    concepts_of,
    key_of,
    listed,
    mappings,
)
from engine.rules.consent.parties import Name, comparable, name_of
from engine.rules.security_label import HANDLING, PARENT, RANK


class Labels(Struct, frozen=True):
    """Hold security labels: the rank of each confidentiality, sensitivities, and other codes."""

    ranks: frozenset[int]
    sensitivities: frozenset[str]
    others: frozenset[Key]

    def __bool__(self) -> bool:
        return bool(self.ranks or self.sensitivities or self.others)


def labels_of(given: Any) -> Labels:
    """Read security labels; purposes, marks and handling instructions say nothing of content."""
    return labels_among(frozenset().union(*concepts_of(given)))


def labels_among(keys: Iterable[tuple[str, str]]) -> Labels:
    """Return the labels among the systems and codes of security labels, as `labels_of`."""
    ranks, sensitivities, others = set(), set(), set()
    for system, code in keys:
        if system == CONFIDENTIALITY or (not system and code in RANK):
            if code in RANK:
                ranks.add(RANK[code])
        elif system in (ACT_CODE, ""):
            if code not in HANDLING:
                sensitivities.add(code)
        elif system not in (ACT_REASON, OBSERVATION_VALUE):
            others.add(Key(system, code))
    return Labels(frozenset(ranks), frozenset(sensitivities), frozenset(others))


def lineage(code: str) -> list[str]:
    """Return a sensitivity code and everything that it stands under."""
    found: list[str] = []
    seen: str | None = code
    while seen is not None and seen not in found:
        found.append(seen)
        seen = PARENT.get(seen)
    return found


def class_known(given: Any) -> Concept:
    """Return the key of a class: a resource type needs no system, in R4 and R5 spelling alike."""
    known = RESOURCE_TYPES
    found = [key_of(given, known)] if not isinstance(given, dict) else []
    if isinstance(given, dict):
        found = [key_of(coding, known) for coding in listed(given.get("coding", given))]
    return frozenset(key for key in found if key)


class Content(Protocol):
    """Tell what a request states about content; None where it states nothing of that kind.

    `withhold` says that content without label is withheld under a rule about labels.
    """

    @property
    def classes(self) -> tuple[Concept, ...] | None: ...
    @property
    def codes(self) -> tuple[Concept, ...] | None: ...
    @property
    def labels(self) -> Labels | None: ...
    @property
    def period(self) -> Interval | None: ...
    @property
    def unreadable_period(self) -> bool: ...
    @property
    def data(self) -> tuple[Datum, ...] | None: ...
    @property
    def withhold(self) -> bool: ...


def states_content(content: Content) -> bool:
    """Tell whether a request states anything about content; labels are the easiest to know."""
    return bool(
        content.labels
        or content.classes
        or content.codes
        or content.period
        or content.unreadable_period
        or content.data
    )


class Stated(Struct, frozen=True):
    """Hold what a request states about content, each field known."""

    classes: tuple[Concept, ...] | None = None
    codes: tuple[Concept, ...] | None = None
    labels: Labels | None = None
    period: Interval | None = None
    unreadable_period: bool = False
    data: tuple[Datum, ...] | None = None
    withhold: bool = True


class Datum(Struct, frozen=True):
    """Hold one `data` entry of a request: what is asked for, and what it is known to point to.

    `links` maps a meaning (`instance`, `related`, `dependents`, `authoredby`) to names.
    """

    links: Mapping[str, tuple[Name, ...]]


@dataclass(frozen=True, slots=True)
class Criterion:
    """Hold one criterion about content: `name` as in R4, `stated` as the consent writes it."""

    name: str
    stated: Any

    @property
    def readable(self) -> bool:
        """Tell whether what the consent states can be read."""
        return True

    def holds(self, content: Content, denying: bool) -> bool | None:
        """Decide against the request; None where the request says nothing, so content decides."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class CodeCriterion(Criterion):
    """Match classes or codes: a permit must cover every one asked, a deny holds for any."""

    keys: frozenset[Key]
    unclear: bool

    def holds(self, content: Content, denying: bool) -> bool | None:
        """Decide against the classes or codes that the request states."""
        asked = content.classes if self.name == "class" else content.codes
        if not asked:
            return None
        if denying:
            return self.unclear or any(concept & self.keys for concept in asked)
        return all(concept & self.keys for concept in self._payload(asked))

    def _payload(self, asked: Sequence[Concept]) -> Sequence[Concept]:
        """Leave out the envelope where the request names what is in it."""
        if self.name != "class":
            return asked
        told = [concept for concept in asked if Key(RESOURCE_TYPES, "Communication") not in concept]
        return told or asked


@dataclass(frozen=True, slots=True)
class LabelCriterion(Criterion):
    """Match security labels: a permit reaches down from its highest level, a deny up."""

    labels: Labels

    def holds(self, content: Content, denying: bool) -> bool | None:
        """Decide against the labels that the request states."""
        asked = content.labels
        if asked is None:
            return None
        if denying:
            return self._denied(asked, content.withhold)
        return self._permitted(asked, content.withhold)

    def above(self, other: LabelCriterion) -> bool:
        """Tell whether a permit of these levels covers all that a permit of the others does."""
        ours, theirs = self.labels, other.labels
        if theirs.sensitivities or theirs.others or not (ours.ranks and theirs.ranks):
            return False
        return max(theirs.ranks) <= max(ours.ranks)

    def reaches(self, content: Content) -> bool | None:
        """Decide whether content surely lies where a deny of these labels reaches."""
        asked = content.labels
        return None if asked is None else self._denied(asked, withhold=False)

    def _permitted(self, asked: Labels, withhold: bool) -> bool:
        rule = self.labels
        if rule.ranks and (max(asked.ranks) <= max(rule.ranks) if asked.ranks else not withhold):
            return True
        if rule.sensitivities and asked.sensitivities:
            return all(
                not rule.sensitivities.isdisjoint(lineage(code)) for code in asked.sensitivities
            )
        return bool(rule.others and asked.others) and asked.others <= rule.others

    def _denied(self, asked: Labels, withhold: bool) -> bool:
        rule = self.labels
        if not rule:
            return True
        if rule.ranks and (max(asked.ranks) >= min(rule.ranks) if asked.ranks else withhold):
            return True
        if any(not rule.sensitivities.isdisjoint(lineage(code)) for code in asked.sensitivities):
            return True
        return not rule.others.isdisjoint(asked.others)


@dataclass(frozen=True, slots=True)
class PeriodCriterion(Criterion):
    """Match the age of content: a permit must cover all of it, a deny any of it."""

    period: Interval | None

    @property
    def readable(self) -> bool:
        """Tell whether the period can be read."""
        return self.period is not None

    def holds(self, content: Content, denying: bool) -> bool | None:
        """Decide against the period of content that the request states."""
        if self.period is None:
            return denying
        if content.unreadable_period:
            return denying
        if content.period is None:
            return None
        if denying:
            return overlaps(self.period, content.period)
        return covers(self.period, content.period)


@dataclass(frozen=True, slots=True)
class DataCriterion(Criterion):
    """Match references to content with their meaning: instance, related, dependents, authoredby."""

    references: tuple[tuple[str, Name], ...]

    def holds(self, content: Content, denying: bool) -> bool | None:
        """Decide against the data that the request points to."""
        if not content.data:
            return None
        if denying:
            return any(self._meets(datum, True) for datum in content.data)
        return all(self._meets(datum, False) for datum in content.data)

    def _meets(self, datum: Datum, denying: bool) -> bool:
        for meaning, name in self.references:
            for asked in datum.links.get(meaning, ()):
                if name.keys & asked.keys or (denying and not comparable(name.keys, asked.keys)):
                    return True
            if denying and meaning not in datum.links:
                return True
        return False


def compile_criteria(provision: Mapping[str, Any], zone: str) -> tuple[Criterion, ...]:
    """Return the criteria about content that a provision states, R4 and R5 alike."""
    found: list[Criterion] = []
    classes = [
        entry
        for element in ("class", "resourceType", "documentType")
        for entry in listed(provision.get(element))
    ]
    if classes:
        found.append(_codes("class", classes, [class_known(entry) for entry in classes]))
    if codes := listed(provision.get("code")):
        found.append(_codes("code", codes, concepts_of(codes)))
    if labels := listed(provision.get("securityLabel")):
        found.append(LabelCriterion("securityLabel", list(labels), labels_of(labels)))
    if (stated := provision.get("dataPeriod")) is not None:
        found.append(PeriodCriterion("dataPeriod", stated, period(stated, zone)))
    if data := listed(provision.get("data")):
        references = tuple(
            (str(entry.get("meaning") or "instance"), name_of(entry.get("reference")))
            for entry in mappings(data)
        )
        found.append(DataCriterion("data", list(data), references))
    return tuple(found)


def _codes(name: str, stated: Sequence[Any], concepts: Sequence[Concept]) -> CodeCriterion:
    keys: frozenset[Key] = frozenset().union(*concepts)
    return CodeCriterion(name, list(stated), keys, unclear=not all(concepts))
