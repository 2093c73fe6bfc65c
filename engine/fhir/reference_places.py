"""Where References can stand in a resource without extensions: nobody need look anywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from engine.fhir.schema import Version, schema

Places = Mapping[str, Any]
"""By the name of each element of an object: the Places in its values, or None where no Reference
can stand in them. A name that is missing here belongs to no FHIR version: look everywhere."""

_Types = frozenset[tuple[Version, str]]
_VERSIONS: tuple[Version, ...] = ("R4", "R5")
EVERYWHERE: Places = MappingProxyType({})


@cache
def can_hold(version: Version, type_name: str) -> bool:
    """Tell whether a type can hold a Reference somewhere, extensions left aside."""
    return _can_hold(version, type_name, frozenset())


def _can_hold(version: Version, type_name: str, seen: frozenset[str]) -> bool:
    if type_name in ("Reference", "Resource"):
        return True
    if type_name == "Extension" or type_name in seen or not schema(version).has(type_name):
        return False
    elements = schema(version).type(type_name).elements.values()
    return any(
        _can_hold(version, element.type, seen | {type_name})
        for element in elements
        if not element.is_primitive
    )


@cache
def places_in(type_name: str) -> Places:
    """Return where References can stand in a type of resource, in any FHIR version."""
    known = frozenset((one, type_name) for one in _VERSIONS if type_name in schema(one).resources)
    return _places(known, {})


def _places(types: _Types, made: dict[_Types, dict[str, Any]]) -> Places:
    """Return the places of an object that is of one of some types, which may hold themselves."""
    if not types or any(name == "Resource" for _, name in types):
        return EVERYWHERE
    if types in made:
        return made[types]
    places = made[types] = {}
    inner: dict[str, set[tuple[Version, str]]] = {}
    for version, type_name in types:
        for name, element in schema(version).type(type_name).elements.items():
            inner.setdefault(name, set()).add((version, element.type))
    for name, kinds in inner.items():
        holds = any(can_hold(version, kind) for version, kind in kinds)
        places[name] = _places(frozenset(kinds), made) if holds else None
    return places


@cache
def bare_names(version: Version, type_name: str) -> frozenset[str]:
    """Return the names in a type that no Reference can stand under, extensions left aside.

    What an object holds besides may be anything. A Reference itself, and a type of any resource,
    have no such names.
    """
    if type_name in ("Reference", "Resource") or not schema(version).has(type_name):
        return frozenset()
    elements = schema(version).type(type_name).elements.values()
    bare = {one.name for one in elements if not can_hold(version, one.type)}
    return frozenset(bare | {f"_{one.name}" for one in elements if one.is_primitive})
