"""How content is read: the references, codes, dates and free words in any tree of FHIR."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.fhir.references import split_reference
from engine.message import Resource
from engine.rules.consent.codings import RESOURCE_TYPES, mappings
from engine.rules.security_label import INLINE_LABEL, Label, inline_labels, label_of

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
_SILENT = frozenset(_SILENT_WORDS.split())
_DATE = re.compile(r"^\d{4}(-\d\d(-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?)?)?$")
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_AGES_WORDS = """
effectiveDateTime effectivePeriod effectiveInstant onsetDateTime onsetPeriod recordedDate
performedDateTime performedPeriod occurrenceDateTime occurrencePeriod period creation issued
date authoredOn dateWritten whenHandedOver servicedDate servicedPeriod created startDate
scheduledPeriod dateAsserted billablePeriod
"""
_AGES = frozenset(_AGES_WORDS.split())


def names_of(resource: Resource) -> frozenset[str]:
    """Return how a resource may be referred to: `Type/id`, and `system|value` of identifiers."""
    names = {f"{resource.get('resourceType')}/{resource['id']}"} if resource.get("id") else set()
    identifiers = resource.get("identifier")
    for identifier in identifiers if isinstance(identifiers, list) else [identifiers]:
        if isinstance(identifier, Mapping) and identifier.get("value"):
            names.add(f"{identifier.get('system', '')}|{identifier['value']}")
    return frozenset(names)


def reference_names(reference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a Reference calls its target, in the forms of `names_of`."""
    names: list[str] = []
    literal = reference.get("reference")
    if isinstance(literal, str) and literal:
        names.append(literal.split("/_history/")[0])
    identifier = reference.get("identifier")
    if isinstance(identifier, Mapping) and identifier.get("value"):
        names.append(f"{identifier.get('system', '')}|{identifier['value']}")
    return tuple(names)


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
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            found.append(node)
            pending.extend([one for one in reversed(node.values()) if isinstance(one, _INNER)])
        elif isinstance(node, list):
            pending.extend([one for one in reversed(node) if isinstance(one, _INNER)])
    return found


_INNER = (dict, list)


class Passage:
    """Hold one tree of content, walked once for everything that is asked of it.

    `bare` are its objects without meta, contained resources and inline labels.
    """

    __slots__ = ("_codes", "_references", "bare", "nodes", "tree")

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.nodes = walk(tree)
        bare = without_meta(tree)
        self.bare = self.nodes if bare is tree else walk(bare)
        self._codes: frozenset[Label] | None = None
        self._references: list[Mapping[str, Any]] | None = None

    def labels(self) -> frozenset[Label]:
        """Return the labels that the outermost object carries in inline-label extensions."""
        return inline_labels(self.tree)

    def references(self) -> list[Mapping[str, Any]]:
        """Return every Reference."""
        if self._references is None:
            self._references = [node for node in self.nodes if _is_reference(node)]
        return self._references

    def codes(self) -> frozenset[Label]:
        """Return every coding as system and code; labels and identifier types are none."""
        if self._codes is None:
            self._codes = frozenset(
                label_of(node)
                for node in self.bare
                if isinstance(node.get("code"), str)
                and ("system" in node or "display" in node or len(node) == 1)
            )
        return self._codes

    def ages(self) -> tuple[tuple[str | None, str | None], ...]:
        """Return the dates and periods that tell how old the content is."""
        found: list[tuple[str | None, str | None]] = []
        for node in self.bare:
            for key in _AGES.intersection(node):
                value = node[key]
                if isinstance(value, str) and value:
                    found.append((value, value))
                elif isinstance(value, dict) and (value.get("start") or value.get("end")):
                    found.append((value.get("start"), value.get("end")))
        return tuple(sorted(set(found), key=str)) if found else ()

    def authors(self) -> frozenset[str]:
        """Return the names of those who wrote it."""
        found: set[str] = set()
        for node in self.nodes:
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
    return Passage(tree).codes()


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
    coded = isinstance(tree.get("coding"), list)
    identified = "value" in tree and ("system" in tree or "use" in tree)
    for key, value in tree.items():
        if key not in _UNREAD and _speaks(key, value, coded or identified):
            return True
    return False


_EXPLAINING = frozenset({"reference", "identifier", "code", "system"})
_UNREAD = frozenset({"meta", "identifier"})


def _speaks(key: str, value: Any, explained: bool) -> bool:
    if not isinstance(value, str):
        if key == "text" and isinstance(value, dict):
            return value.get("status") not in ("generated", "empty")
        return is_opaque(value)
    if key in _SILENT or key.startswith("_") or (explained and key in ("text", "value")):
        return False
    return not (_DATE.match(value) or _NUMBER.match(value))


def authors_of(tree: Any) -> frozenset[str]:
    """Return the names of those who wrote what a tree holds."""
    return Passage(tree).authors()


def classes_of(resource: Resource) -> frozenset[Label]:
    """Return the classes of a resource: its type, its profiles, the types of its document."""
    kind = str(resource.get("resourceType", ""))
    found = {(RESOURCE_TYPES, kind)} if kind else set()
    meta = resource.get("meta")
    profiles = meta.get("profile") if isinstance(meta, Mapping) else None
    found.update((PROFILE, str(profile).strip()) for profile in profiles or ())
    if kind in ("DocumentReference", "Composition", "DocumentManifest", "DiagnosticReport"):
        found |= codes_in([resource.get("type"), resource.get("category"), resource.get("code")])
    return frozenset(found)
