"""One resource of the directory, read once for many decisions: its keys and whom it belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.rules.consent import authority
from engine.rules.consent.codings import concepts_of, mappings
from engine.rules.consent.parties import Name, identifier_key, name_of

_UPWARD = {
    "Organization": ("partOf",),
    "PractitionerRole": ("practitioner", "organization", "healthcareService"),
    "HealthcareService": ("providedBy",),
    "Location": ("managingOrganization",),
    "Endpoint": ("managingOrganization",),
    "Device": ("owner",),
}
_MEMBERS = {"Group": ("member", "entity"), "CareTeam": ("participant", "member")}
_SAME_PERSON = frozenset({"replaced-by", "replaces", "refer", "seealso"})
_NOT_IN_FORCE = ("entered-in-error", "inactive", "suspended", "off")
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """Hold what the directory asks of one resource; immutable, so it can be kept.

    `keys` are those it goes by, `above` those of what it belongs to, `places` those of the
    organizations and services that a role is held at, `practitioner` those of who holds it.
    `members` are whom a Group or CareTeam stands for, each with the Period of the membership.
    `merged` are the keys of records of the same patient, `linked` those of relatives as well;
    `related` are the keys of whose relative a RelatedPerson is, `relationship` its codes.
    `active` is what it says of itself without regard to time, `period` its Period as it came.
    """

    resource: Mapping[str, Any]
    kind: str
    keys: frozenset[str]
    above: frozenset[str]
    places: frozenset[str]
    practitioner: frozenset[str]
    members: tuple[tuple[Name, Any], ...]
    merged: frozenset[str]
    linked: frozenset[str]
    related: frozenset[str]
    relationship: frozenset[str]
    born: str | None
    active: bool
    period: Any


def entry_of(resource: Mapping[str, Any]) -> Entry:
    """Read a resource once."""
    kind = str(resource.get("resourceType"))
    is_role = kind == "PractitionerRole"
    is_relative = kind == "RelatedPerson"
    others = list(_same_person(resource)) if "link" in resource else []
    is_patient = kind == "Patient"
    born = resource.get("birthDate")
    return Entry(
        resource=resource,
        kind=kind,
        keys=own_keys(resource),
        above=_named(resource, _UPWARD.get(kind, ())),
        places=_named(resource, ("organization", "healthcareService")) if is_role else _NONE,
        practitioner=name_of(resource.get("practitioner")).keys if is_role else _NONE,
        members=tuple(_members(resource, *_MEMBERS[kind])) if kind in _MEMBERS else (),
        merged=_keys(one for one in others if is_patient and one.type != "RelatedPerson"),
        linked=_keys(iter(others if is_patient else ())),
        related=name_of(resource.get("patient")).keys if is_relative else _NONE,
        relationship=_relationship(resource) if is_relative else _NONE,
        born=str(born) if born else None,
        active=is_active(resource),
        period=resource.get("period"),
    )


def own_keys(resource: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that a resource goes by: `Type/id` and its identifiers, old ones too."""
    keys = {key for key in map(identifier_key, mappings(resource.get("identifier"))) if key}
    if isinstance(resource.get("resourceType"), str) and isinstance(resource.get("id"), str):
        keys.add(f"{resource['resourceType']}/{resource['id']}")
    return frozenset(keys)


def _named(resource: Mapping[str, Any], elements: tuple[str, ...]) -> frozenset[str]:
    return _keys(
        name_of(reference) for element in elements for reference in mappings(resource.get(element))
    )


def _keys(names: Iterator[Name]) -> frozenset[str]:
    return _NONE.union(*(name.keys for name in names))


def _members(resource: Mapping[str, Any], element: str, who: str) -> Iterator[tuple[Name, Any]]:
    for one in mappings(resource.get(element)):
        if one.get("inactive") is not True:
            yield name_of(one.get(who)), one.get("period")


def _same_person(resource: Mapping[str, Any]) -> Iterator[Name]:
    for link in mappings(resource.get("link")):
        if str(link.get("type")) in _SAME_PERSON:
            yield name_of(link.get("other"))


def _relationship(person: Mapping[str, Any]) -> frozenset[str]:
    """Return the codes of a relationship, of systems in which they are known."""
    return frozenset(
        key.code
        for concept in concepts_of(person.get("relationship"))
        for key in concept
        if key.system in authority.SYSTEMS
    )


def is_active(resource: Mapping[str, Any]) -> bool:
    """Tell whether a resource says that it counts, without regard to time."""
    if resource.get("active") is False or resource.get("actual") is False:
        return False
    return resource.get("status") not in _NOT_IN_FORCE
