"""What a resource tells, part by part: the units that are labelled, judged, kept or removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from engine.fhir.json import dumps
from engine.message import Resource
from engine.rules.consent.codings import RESOURCE_TYPES
from engine.rules.elements import (
    CARRIERS,
    ENVELOPE,
    PEOPLE,
    Age,
    Passage,
    authors_of,
    classes_of,
    codes_in,
    is_opaque,
    names_of,
    reference_names,
    references_in,
    referred_type,
    without_meta,
)
from engine.rules.mark import is_notice
from engine.rules.security_label import RANK, Label, inline_labels, resource_labels


class Part(Struct, frozen=True):
    """Hold what is known of one unit of content.

    `path` is its place (`payload[1]`, `reasonCode[0]`, `contained[0]`). `opaque` says that it holds
    words or documents whose meaning no code tells. `classes` are those of the content, `envelope`
    those of the resource that carries it. `ages` are the dates and periods of its content.
    `names` are the references and identifiers that it goes by, `links` those that it points to,
    `authors` those of who wrote it.
    """

    path: str
    labels: frozenset[Label] = frozenset()
    classes: frozenset[Label] = frozenset()
    envelope: frozenset[Label] = frozenset()
    codes: frozenset[Label] = frozenset()
    opaque: bool = False
    ages: tuple[Age, ...] = ()
    names: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()


class Library(Protocol):
    """Hold the resources that references may lead to beside the one at hand."""

    def named(self, name: str) -> Resource | None:
        """Return the resource of a name `Type/id`, or None."""

    def all(self) -> Sequence[Resource]:
        """Return every resource, for those that are meant by an identifier."""


class Listed:
    """Be the library of the resources in a list; of two with one name the first counts."""

    def __init__(self, resources: Sequence[Resource]) -> None:
        self._resources = resources
        self._known: dict[str, Resource] | None = None

    def named(self, name: str) -> Resource | None:
        if self._known is None:
            self._known = {}
            for other in self._resources:
                if other.get("id"):
                    self._known.setdefault(f"{other.get('resourceType')}/{other['id']}", other)
        return self._known.get(name)

    def all(self) -> Sequence[Resource]:
        return self._resources


class Shelf:
    """Find the resources that a resource may point to: contained ones and those of a library.

    `finish` is done to those of the library when content is read from them (labels, say).
    """

    def __init__(
        self,
        resource: Resource,
        library: Library,
        finish: Callable[[Resource], Resource] | None = None,
    ) -> None:
        self._library = library
        self._finish = finish
        self._contained = {
            f"#{contained['id']}": dict(contained)
            for contained in resource.get("contained") or ()
            if isinstance(contained, Mapping) and contained.get("id")
        }
        self._identified: dict[str, Resource] | None = None

    def find(self, reference: Mapping[str, Any]) -> Resource | None:
        """Return the resource that a Reference means, or None where it is not here."""
        for name in reference_names(reference):
            if name in self._contained:
                return self._contained[name]
            found = self._named(name)
            if found is not None:
                return self._finish(found) if self._finish else found
        return None

    def record(self, reference: Mapping[str, Any]) -> Resource | None:
        """Return the resource that a Reference means, as it is known."""
        for name in reference_names(reference):
            found = self._contained.get(name) or self._named(name)
            if found is not None:
                return found
        return None

    def _named(self, name: str) -> Resource | None:
        found = self._library.named(name)
        return self._by_identifier().get(name) if found is None and "|" in name else found

    def inside(self, reference: Mapping[str, Any]) -> Resource | None:
        """Return the contained resource that a Reference means by its literal, or None."""
        return self._contained.get(str(reference.get("reference", "")))

    def _by_identifier(self) -> dict[str, Resource]:
        if self._identified is None:
            self._identified = {}
            for other in self._library.all():
                for name in names_of(other):
                    self._identified.setdefault(name, other)
        return self._identified


def whole(resource: Resource, path: str, inherited: frozenset[Label] = frozenset()) -> Part:
    """Return a resource as one part: a contained one, or one that another points to."""
    passage = Passage(resource)
    labels = resource_labels(resource)
    for node in passage.nodes:
        labels |= inline_labels(node)
    return Part(
        path=path,
        labels=labels or inherited,
        classes=classes_of(resource),
        codes=passage.codes,
        opaque=passage.opaque,
        ages=passage.ages,
        names=names_of(resource),
        links=_names_in(without_meta(resource)),
        authors=passage.authors,
    )


def parts(resource: Resource, supporting: Sequence[Resource] = ()) -> list[Part]:
    """Return the parts of a resource, contained ones last.

    A type that carries no content of its own (an Observation, say), and a carrier that holds
    nothing, is one part at path "". People and organizations that are contained are no content.
    """
    return parts_of(resource, passages(resource), Shelf(resource, Listed(supporting)))


Passages = Mapping[str, Passage]
"""The entries of a carrier, by path."""

_NONE: frozenset[Label] = frozenset()
NO_LABELS: Mapping[str, frozenset[Label]] = MappingProxyType({})


def passages(resource: Resource) -> Passages:
    """Return the entries of a resource that carries content; no other type has any."""
    if resource.get("resourceType") not in CARRIERS:
        return {}
    return {path: Passage(entry) for path, entry in entries(resource)}


def parts_of(
    resource: Resource,
    told: Passages,
    shelf: Shelf,
    added: Mapping[str, frozenset[Label]] = NO_LABELS,
) -> list[Part]:
    """Return the parts of a resource, as `parts`; `told` are its passages, `added` more labels."""
    inherited = resource_labels(resource)
    found: list[Part] = []
    if told:
        reader = _Entries(resource, told, shelf, inherited)
        found = [
            reader.part(path, passage, passage.labels | added.get(path, _NONE))
            for path, passage in told.items()
        ]
    if not found:
        found = [whole(resource, "")]
    for index, contained in enumerate(resource.get("contained") or ()):
        if isinstance(contained, Mapping) and contained.get("resourceType") not in PEOPLE:
            part = _contained(dict(contained), index, inherited)
            found.append(replace(part, envelope=classes_of(resource)))
    return found


def entry_labels(
    told: Passages, added: Mapping[str, frozenset[Label]], inherited: frozenset[Label]
) -> dict[str, frozenset[Label]]:
    """Return the labels of the parts of a carrier that neither contains nor refers to content."""
    return {
        path: (passage.labels | added.get(path, _NONE)) or inherited
        for path, passage in told.items()
    }


def entries(resource: Resource) -> Iterator[tuple[str, Any]]:
    """Yield path and value of every entry of every element that is no envelope."""
    for name, value in _elements(resource):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield f"{name}[{index}]", item
        else:
            yield name, value


def _elements(resource: Resource) -> Iterator[tuple[str, Any]]:
    """Yield every element that is no envelope.

    A primitive that has no value, only extensions, counts as an element too.
    """
    for name, value in resource.items():
        if name in ENVELOPE and (name != "text" or not _adds_words(value)):
            continue
        if name[0] != "_":
            yield name, value
        elif name[1:] not in resource and name[1:] not in ENVELOPE:
            yield name[1:], value


def form_of(resource: Resource) -> bytes | None:
    """Return as JSON all that says which labels the entries of a carrier bear.

    Of words it only matters that they are words, so resources of one form bear the same labels,
    whatever they say. None where it is not for the entries alone to say, and where it would be too
    long to be kept (documents stand in it whole).
    """
    kind, meta = resource.get("resourceType"), resource.get("meta")
    if kind not in CARRIERS or "contained" in resource:
        return None
    told = {
        name: [_unworded(one) for one in value] if isinstance(value, list) else _unworded(value)
        for name, value in _elements(resource)
    }
    security = meta.get("security") if isinstance(meta, dict) else None
    form = dumps([kind, list(resource), security, told])
    if not any(told.values()) or len(form) > _LONGEST_FORM:
        return None
    return None if b'"reference":' in form or b'"identifier":' in form else form


_LONGEST_FORM = 8_000


def _unworded(entry: Any) -> Any:
    """Return an entry with nothing in place of its words: no number, date or legal notice."""
    words = entry.get("contentString") if type(entry) is dict else None
    if type(words) is not str or " " not in words or is_notice(entry):
        return entry
    return {**entry, "contentString": " "}


def _adds_words(narrative: Any) -> bool:
    """Tell whether a narrative says more than the resource does (status `additional`)."""
    return isinstance(narrative, dict) and narrative.get("status") == "additional"


def element_of(path: str) -> str:
    """Return the element that a path of one part stands in (`payload` of `payload[1]`)."""
    return path.partition("[")[0]


def is_content(resource: Resource, path: str) -> bool:
    """Tell whether an entry is what the resource was written to tell."""
    return element_of(path) in CARRIERS.get(str(resource.get("resourceType")), ())


def _contained(contained: Resource, index: int, inherited: frozenset[Label]) -> Part:
    part = whole(contained, f"contained[{index}]", inherited)
    local = frozenset({f"#{contained['id']}"}) if contained.get("id") else frozenset()
    return replace(part, names=part.names | local)


class _Entries:
    """Hold what the entries of one carrier share."""

    def __init__(
        self, resource: Resource, told: Passages, shelf: Shelf, inherited: frozenset[Label]
    ) -> None:
        self.shelf = shelf
        self.inherited = inherited
        self.carrying = CARRIERS[resource["resourceType"]]
        self.names = names_of(resource)
        self.classes = classes_of(resource)
        self.links = _names_in(resource["encounter"]) if "encounter" in resource else _NO_NAMES
        self.authors = authors_of({key: resource[key] for key in _WRITERS if key in resource})
        about = [one.codes for path, one in told.items() if element_of(path) in ABOUT]
        self.about = frozenset[Label]().union(*about)

    def part(self, path: str, passage: Passage, own: frozenset[Label]) -> Part:
        element, codes = element_of(path), passage.codes
        plain = isinstance(passage.tree, dict) and element != "text"
        opaque = passage.opaque if plain else is_opaque({element: passage.tree})
        if opaque and element in self.carrying:
            codes |= self.about
        part = Part(
            path=path,
            labels=own or self.inherited,
            classes=self.classes,
            envelope=self.classes,
            codes=codes,
            opaque=opaque,
            ages=passage.ages,
            names=self.names,
            links=self.links,
            authors=passage.authors or self.authors,
        )
        for reference in passage.references:
            part = _with_target(part, reference, self.shelf.find(reference), bool(own))
        return part


ABOUT = ("topic", "reasonCode", "code")
"""Elements by which a carrier says what its words are about."""

_NO_NAMES: frozenset[str] = frozenset()
_WRITERS = ("sender", "requester", "author", "owner")


def _names_in(tree: Any) -> frozenset[str]:
    return frozenset(name for one in references_in(tree) for name in reference_names(one))


def _with_target(
    part: Part, reference: Mapping[str, Any], target: Resource | None, labelled: bool
) -> Part:
    """Add to an entry what is known of a resource that it points to."""
    names = frozenset(reference_names(reference))
    kind = (target or {}).get("resourceType") or referred_type(reference)
    if kind in PEOPLE:
        return _with_party(replace(part, links=part.links | names), target)
    told = part.classes - part.envelope
    classes = told | ({(RESOURCE_TYPES, str(kind))} if kind else frozenset()) or part.envelope
    if target is None:
        return replace(part, names=part.names | names, classes=classes, opaque=True)
    other = whole(target, part.path)
    own = part.labels if labelled or not other.labels else frozenset()
    return Part(
        path=part.path,
        labels=own | other.labels,
        classes=told | other.classes,
        envelope=part.envelope,
        codes=part.codes | other.codes,
        opaque=part.opaque or other.opaque,
        ages=part.ages + other.ages,
        names=part.names | names | other.names,
        links=part.links | other.links,
        authors=other.authors or part.authors,
    )


def _with_party(part: Part, target: Resource | None) -> Part:
    """Add what a party gives away about the member by what it is: a methadone clinic, say."""
    if target is None or target.get("resourceType") in ("Patient", "RelatedPerson", "Person"):
        return part
    labels = resource_labels(target)
    telling = frozenset(one for one in labels if RANK.get(one[1], RANK["V"]) > RANK["N"])
    return replace(part, labels=part.labels | telling, codes=part.codes | codes_in(target))
