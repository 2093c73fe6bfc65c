"""Who is to be told, read from canonical resources: names, ways to reach them, and their needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.fhir.dates import moment, overlaps, period
from engine.message import Resource
from engine.outreach.method import Party, Point
from engine.rules.consent.authority import GUARDIAN, PARENT, SYSTEMS
from engine.rules.consent.codings import listed, mappings

PREFERRED_MEDIUM = "https://carelane.example/fhir/StructureDefinition/preferred-medium"
"""Extension on a recipient: the medium that they prefer, as a code of v3-ParticipationMode."""

DISABILITY = "http://hl7.org/fhir/StructureDefinition/patient-disability"
INTERPRETER = "http://hl7.org/fhir/StructureDefinition/patient-interpreterRequired"
SNOMED = "http://snomed.info/sct"

PARTICIPATION_MODE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
MODES = {
    "fhir": "ELECTRONIC",
    "fax": "FAXWRIT",
    "mail": "EMAILWRIT",
    "phone": "PHONE",
    "meeting": "FACE",
}
"""What each medium is called in Communication.medium."""

_MEDIA = {code: medium for medium, code in MODES.items()} | {"VIDEOCONF": "meeting"}
DISPLAYS = {
    "ELECTRONIC": "electronic data",
    "FAXWRIT": "telefax",
    "EMAILWRIT": "email",
    "PHONE": "telephone",
    "FACE": "face-to-face",
}

ABILITIES: Mapping[str, frozenset[str]] = {
    "15188001": frozenset({"phone"}),  # hearing loss
    "343087000": frozenset({"phone"}),  # partial deafness
    "95820000": frozenset({"phone"}),  # bilateral hearing loss
    "397540003": frozenset({"fax", "mail"}),  # visual impairment
    "193699007": frozenset({"fax", "mail"}),  # blindness of both eyes
}
"""Which media a disability (SNOMED CT) rules out."""

_MOST_POINTS = 40


@dataclass(frozen=True, slots=True)
class Addressee:
    """Hold one recipient: `reference` is canonical, `via` the entry of Communication.recipient."""

    reference: str
    via: str
    party: Party
    name: str = field(repr=False, default="")
    language: str | None = None
    interpreter: bool = False
    identifiers: frozenset[str] = frozenset()


def addressee(
    resource: Resource,
    via: str,
    *,
    at: str,
    system: str | None,
    languages: Iterable[str],
    minor: bool,
    employer: Resource | None = None,
) -> Addressee:
    """Return a recipient as their resource describes them at the instant `at`.

    `system` is the configured system that serves them, `languages` what those who call speak,
    `employer` the Practitioner behind a role. A minor is reached through a guardian or parent
    whom their record names (Patient.contact), where they have no address themselves.
    """
    points = tuple(_points(resource, at)) or tuple(_points(employer or {}, at))
    if not points and minor:
        points = tuple(_through_contacts(resource, at))
    language = _language(resource)
    interpreter = _interpreter(resource)
    kind = str(resource.get("resourceType"))
    party = Party(
        kind,
        system,
        points[:_MOST_POINTS],
        tuple(_prefers(resource)),
        frozenset(_avoids(resource)),
        not interpreter and (language is None or language in frozenset(languages)),
    )
    name = _name(resource) or _name(employer or {}) or ""
    keys = frozenset(_identifiers(resource))
    return Addressee(f"{kind}/{resource.get('id')}", via, party, name, language, interpreter, keys)


def asked_media(communication: Resource) -> tuple[str, ...]:
    """Return the media that Communication.medium names, in its order."""
    return tuple(dict.fromkeys(_modes(communication.get("medium"))))


def _modes(concepts: Any) -> Iterator[str]:
    for concept in mappings(concepts if isinstance(concepts, list) else [concepts]):
        for coding in mappings(concept.get("coding")):
            code = coding.get("code")
            if coding.get("system") == PARTICIPATION_MODE and code in _MEDIA:
                yield _MEDIA[str(code)]


def _points(resource: Mapping[str, Any], at: str) -> Iterator[Point]:
    for entry in mappings(resource.get("telecom")):
        system, value, rank = entry.get("system"), entry.get("value"), entry.get("rank")
        if not isinstance(system, str) or not isinstance(value, str) or not _in_force(entry, at):
            continue
        use = entry.get("use")
        yield Point(
            system,
            value,
            rank if isinstance(rank, int) and rank > 0 else None,
            use if isinstance(use, str) else None,
        )


def _through_contacts(resource: Resource, at: str) -> Iterator[Point]:
    for contact in mappings(resource.get("contact")):
        if _in_force(contact, at) and _is_guardian(contact):
            for point in _points(contact, at):
                yield Point(point.system, point.value, point.rank, point.use, theirs=False)


def _is_guardian(contact: Mapping[str, Any]) -> bool:
    codings = (
        coding
        for concept in mappings(contact.get("relationship"))
        for coding in mappings(concept.get("coding"))
    )
    return any(
        coding.get("system", "") in SYSTEMS and coding.get("code") in GUARDIAN | PARENT
        for coding in codings
    )


def _in_force(entry: Mapping[str, Any], at: str) -> bool:
    stated = entry.get("period")
    if stated is None:
        return True
    known, now = period(stated), moment(at)
    return known is not None and now is not None and overlaps(known, now)


def _language(resource: Resource) -> str | None:
    """Return the language to use: the preferred one, else the only one."""
    spoken = list(mappings(resource.get("communication")))
    preferred = [one for one in spoken if one.get("preferred") is True]
    for one in preferred or (spoken if len(spoken) == 1 else []):
        concept = one.get("language", one)
        for coding in mappings(concept.get("coding") if isinstance(concept, Mapping) else None):
            if isinstance(code := coding.get("code"), str):
                return code.partition("-")[0].lower()
    return None


def _extensions(resource: Resource, url: str) -> Iterator[Mapping[str, Any]]:
    return (one for one in mappings(resource.get("extension")) if one.get("url") == url)


def _interpreter(resource: Resource) -> bool:
    return any(one.get("valueBoolean") is True for one in _extensions(resource, INTERPRETER))


def _prefers(resource: Resource) -> Iterator[str]:
    for one in _extensions(resource, PREFERRED_MEDIUM):
        yield from _modes([one.get("valueCodeableConcept")])


def _avoids(resource: Resource) -> Iterator[str]:
    for one in _extensions(resource, DISABILITY):
        concept = one.get("valueCodeableConcept")
        for coding in mappings(concept.get("coding") if isinstance(concept, Mapping) else None):
            if coding.get("system") == SNOMED:
                yield from ABILITIES.get(str(coding.get("code")), ())


def _identifiers(resource: Resource) -> Iterator[str]:
    for one in mappings(resource.get("identifier")):
        if isinstance(one.get("value"), str):
            yield f"{one.get('system', '')}|{one['value']}"


def name_in(resource: Mapping[str, Any]) -> str:
    """Return the name of a person or organization as people write it; "" where there is none."""
    return _name(resource) or ""


def _name(resource: Mapping[str, Any]) -> str | None:
    name = resource.get("name")
    if isinstance(name, str):
        return name
    names = list(mappings(name))
    official = [one for one in names if one.get("use") == "official"]
    for one in official or names:
        if isinstance(text := one.get("text"), str):
            return text
        parts = [*listed(one.get("given")), one.get("family"), *listed(one.get("suffix"))]
        if words := " ".join(part for part in parts if isinstance(part, str)):
            return words
    return None
