"""How content is read: the references, codes, dates and free words in any tree of FHIR."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

from engine.fhir.references import split_reference
from engine.message import Resource
from engine.rules.consent.codings import RESOURCE_TYPES, listed, mappings
from engine.rules.security_label import INLINE_LABEL, Label, inline_labels, label_of

Age = tuple[str | None, str | None]
"""Start and end of content, as FHIR writes them; None is open."""

PROFILE = "urn:ietf:rfc:3986"

CARRIERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Communication": ("payload",),
        "CommunicationRequest": ("payload",),
        "Task": ("input", "output"),
        "CarePlan": ("activity", "goal", "addresses"),
        "CareTeam": ("participant",),
    }
)
"""Types that carry content in entries of their own, and the elements that hold what is told."""

_ENVELOPE_WORDS = """
resourceType id meta implicitRules language identifier status intent priority subject
patient for sender recipient sent received requester owner author authoredOn created
lastModified inResponseTo partOf replaces groupIdentifier instantiatesCanonical
instantiatesUri medium period executionPeriod occurrenceDateTime occurrencePeriod performer
contributor careTeam managingOrganization contained text doNotPerform
restriction location insurance relevantHistory telecom
"""
ENVELOPE = frozenset(_ENVELOPE_WORDS.split())
"""Elements that say who, when and how; they are no content, or (text, note) speak beside it."""

_PEOPLE_WORDS = """
Patient RelatedPerson Person Practitioner PractitionerRole Organization Device Endpoint
Location HealthcareService OrganizationAffiliation
"""
PEOPLE = frozenset(_PEOPLE_WORDS.split())
"""Types that name a party; a reference to one of them adds nothing to what is told."""

SETTINGS = frozenset({"Encounter", "EpisodeOfCare", "Coverage", "Account", "Appointment"})
"""Types that say where content belongs; a mere reference to one of them tells nothing more."""

_AUTHORS = frozenset(
    ("author", "performer", "recorder", "asserter", "sender", "requester", "enterer")
)
_SILENT_WORDS = """
system code version display reference type use unit url status intent kind resourceType id
priority contentType language gender profile implicitRules source lastUpdated hash
comparator start end versionId valueCode valueUri lifecycleStatus clinicalStatus
currency criticality action mode relation targetFormat
"""
_UNREAD = frozenset({"meta", "identifier"})
_SILENT = _UNREAD.union(_SILENT_WORDS.split())
_PLAIN = re.compile(r"^(\d{4}(-\d\d(-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?)?)?|-?\d+(\.\d+)?)$")
"""A date or a number."""
_AGES_WORDS = """
effectiveDateTime effectivePeriod effectiveInstant onsetDateTime onsetPeriod recordedDate
performedDateTime performedPeriod occurrenceDateTime occurrencePeriod period creation issued
date authoredOn dateWritten whenHandedOver servicedDate servicedPeriod created startDate
scheduledPeriod dateAsserted billablePeriod
"""
_AGES = frozenset(_AGES_WORDS.split())


def names_of(resource: Resource) -> frozenset[str]:
    """Return how a resource may be referred to: `Type/id`, and `system|value` of identifiers."""
    names = [f"{resource.get('resourceType')}/{resource['id']}"] if resource.get("id") else []
    names += [
        f"{identifier.get('system', '')}|{identifier['value']}"
        for identifier in listed(resource.get("identifier"))
        if isinstance(identifier, dict) and identifier.get("value")
    ]
    return frozenset(names)


def reference_names(reference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a Reference calls its target, in the forms of `names_of`."""
    names: tuple[str, ...] = ()
    literal = reference.get("reference")
    if isinstance(literal, str) and literal:
        names = (literal.split("/_history/")[0],)
    identifier = reference.get("identifier")
    if isinstance(identifier, dict) and identifier.get("value"):
        names += (f"{identifier.get('system', '')}|{identifier['value']}",)
    return names


def party_names(party: Mapping[str, Any]) -> list[str]:
    """Return what a party goes by, also where it has a list of identifiers."""
    found = list(reference_names({"reference": party.get("reference")}))
    found += [
        f"{identifier.get('system', '')}|{identifier['value']}"
        for identifier in mappings(party.get("identifier"))
        if identifier.get("value")
    ]
    return found


def referred_type(reference: Mapping[str, Any]) -> str | None:
    """Return the type of resource that a Reference says it means."""
    literal = reference.get("reference")
    if isinstance(literal, str) and (found := split_reference(literal)):
        return found[0]
    stated = reference.get("type")
    return stated.rsplit("/", 1)[-1] if isinstance(stated, str) and stated else None


def walk(tree: Any) -> list[dict[str, Any]]:
    """Return every object in a tree in the order of the page, outermost first."""
    found: list[dict[str, Any]] = []
    if isinstance(tree, dict):
        _walk(tree, found)
    elif isinstance(tree, list):
        _walk_all(tree, found)
    return found


def _walk(node: dict[str, Any], found: list[dict[str, Any]]) -> None:
    found.append(node)
    for value in node.values():
        if isinstance(value, dict):
            _walk(value, found)
        elif isinstance(value, list):
            _walk_all(value, found)


def _walk_all(nodes: list[Any], found: list[dict[str, Any]]) -> None:
    for node in nodes:
        if isinstance(node, dict):
            _walk(node, found)
        elif isinstance(node, list):
            _walk_all(node, found)


_INNER = (dict, list)


class Passage:
    """Hold one tree of content, walked once for everything that is asked of it.

    `labels` are those that the outermost object carries in inline-label extensions, `references`
    every Reference, `codes` the codings as system and code: labels and identifier types are none.
    """

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.nodes = walk(tree)
        self.labels = inline_labels(tree)
        self.references = [
            node
            for node in self.nodes
            if ("reference" in node or "identifier" in node) and _is_reference(node)
        ]
        bare = without_meta(tree)
        self._bare = self.nodes if bare is tree else walk(bare)
        codes = [label_of(node) for node in self._bare if "code" in node and _is_coding(node)]
        self.codes = frozenset(codes)

    @cached_property
    def ages(self) -> tuple[Age, ...]:
        """Return the dates and periods that tell how old the content is."""
        found = {age for node in self._bare if not _AGES.isdisjoint(node) for age in _ages(node)}
        return tuple(sorted(found, key=str)) if found else ()

    @cached_property
    def authors(self) -> frozenset[str]:
        """Return the names of those who wrote it."""
        return _authors(self.nodes)

    @cached_property
    def opaque(self) -> bool:
        """Tell whether it holds words or documents that no code explains."""
        return is_opaque(self.tree)


def _is_coding(node: Mapping[str, Any]) -> bool:
    if not isinstance(node.get("code"), str):
        return False
    return "system" in node or "display" in node or len(node) == 1


def _ages(node: Mapping[str, Any]) -> Iterator[Age]:
    for key in _AGES.intersection(node):
        value = node[key]
        if isinstance(value, str) and value:
            yield value, value
        elif isinstance(value, dict) and (value.get("start") or value.get("end")):
            yield value.get("start"), value.get("end")


def _authors(nodes: Iterable[dict[str, Any]]) -> frozenset[str]:
    found: set[str] = set()
    for node in nodes:
        if not _AUTHORS.isdisjoint(node):
            for key in _AUTHORS.intersection(node):
                for reference in references_in(node[key]):
                    found.update(reference_names(reference))
    return frozenset(found)


def references_in(tree: Any) -> list[Mapping[str, Any]]:
    """Return every Reference in a tree."""
    return [node for node in walk(tree) if _is_reference(node)]


def _is_reference(node: Mapping[str, Any]) -> bool:
    if isinstance(node.get("reference"), str):
        return True
    return isinstance(node.get("identifier"), dict) and "resourceType" not in node


def codes_in(tree: Any) -> frozenset[Label]:
    """Return every coding in a tree, as `Passage.codes`."""
    return Passage(tree).codes


def without_meta(tree: Any) -> Any:
    """Return a tree without what only speaks about it; the tree itself where there is nothing."""
    if not isinstance(tree, dict) or _ABOUT_IT.isdisjoint(tree):
        return tree
    bare = {key: value for key, value in tree.items() if key not in ("meta", "contained")}
    if isinstance(extensions := bare.get("extension"), list):
        bare["extension"] = [one for one in extensions if not _is_inline_label(one)]
    return bare


_ABOUT_IT = frozenset({"meta", "contained", "extension"})


def _is_inline_label(extension: Any) -> bool:
    return isinstance(extension, Mapping) and extension.get("url") == INLINE_LABEL


def is_opaque(tree: Any) -> bool:
    """Tell whether a tree holds words, numbers in words or documents that no code explains."""
    if isinstance(tree, list):
        return any(is_opaque(item) for item in tree)
    if not isinstance(tree, dict):
        return False
    if "contentType" in tree or tree.get("coding") == []:
        return True
    if "display" in tree and _EXPLAINING.isdisjoint(tree):
        return True
    for key, value in tree.items():
        if isinstance(value, str):
            if key in _SILENT or key.startswith("_") or _PLAIN.match(value):
                continue
            if key not in _EXPLAINED or not _is_explained(tree):
                return True
        elif isinstance(value, _INNER) and key not in _UNREAD and _speaks(key, value):
            return True
    return False


_EXPLAINING = frozenset({"reference", "identifier", "code", "system"})
_EXPLAINED = frozenset({"text", "value"})


def _is_explained(tree: Mapping[str, Any]) -> bool:
    """Tell whether the `text` or `value` of an object is that of a code or an identifier."""
    identified = "value" in tree and ("system" in tree or "use" in tree)
    return identified or isinstance(tree.get("coding"), list)


def _speaks(key: str, value: Any) -> bool:
    if key == "text" and isinstance(value, dict):
        return value.get("status") not in ("generated", "empty")
    return is_opaque(value)


def authors_of(tree: Any) -> frozenset[str]:
    """Return the names of those who wrote what a tree holds."""
    return _authors(walk(tree))


def classes_of(resource: Resource) -> frozenset[Label]:
    """Return the classes of a resource: its type, its profiles, the types of its document."""
    kind = str(resource.get("resourceType", ""))
    found = _type_of(kind)
    meta = resource.get("meta")
    if isinstance(meta, dict) and meta.get("profile"):
        found = found.union([(PROFILE, str(profile).strip()) for profile in meta["profile"]])
    if kind in ("DocumentReference", "Composition", "DocumentManifest", "DiagnosticReport"):
        found |= codes_in([resource.get("type"), resource.get("category"), resource.get("code")])
    return found


@lru_cache(maxsize=1024)
def _type_of(kind: str) -> frozenset[Label]:
    return frozenset({(RESOURCE_TYPES, kind)} if kind else ())
