"""Where References can stand in a resource without extensions: nobody need look anywhere else."""

from __future__ import annotations

from functools import cache
from types import GenericAlias
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from engine.fhir.schema import Element, Version, schema


class Looked:
    """Be the type of values that are looked into for References."""


LOOKED = Looked()
_Kinds = frozenset[tuple[Version, str]]
_VERSIONS: tuple[Version, ...] = ("R4", "R5")


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
def places_in(type_name: str) -> Any:
    """Return a struct of a type of resource, in any FHIR version, where References can stand.

    Fitting a resource to it asks `dec_hook` for a Looked of each value that is a Reference or may
    be any resource, and passes over all in which no Reference can stand. What has an element that
    is in no FHIR version, or of another shape, does not fit. None where no version has the type.
    """
    kinds = frozenset((one, type_name) for one in _VERSIONS if type_name in schema(one).resources)
    if not kinds:
        return None
    struct = _struct(kinds, {})
    msgspec.convert({}, struct)  # msgspec builds on first use: before other threads have it
    return struct


def _struct(kinds: _Kinds, made: dict[_Kinds, Any]) -> Any:
    """Return what objects fit that are of one of some types; Looked where that is no use."""
    if kinds in made:
        return made[kinds]
    made[kinds] = Looked  # which is what it is inside itself
    if any(_looks_like_reference(*kind) for kind in kinds):
        return Looked
    elements: dict[str, list[tuple[Version, Element]]] = {}
    for version, type_name in kinds:
        for name, element in schema(version).type(type_name).elements.items():
            elements.setdefault(name, []).append((version, element))
    fields = [(name, _field(found, made), UNSET) for name, found in elements.items()]
    if any(schema(version).type(name).kind == "resource" for version, name in kinds):
        fields.append(("resourceType", Any, UNSET))
    made[kinds] = msgspec.defstruct(
        "Places", fields, forbid_unknown_fields=True, kw_only=True, gc=False
    )
    return made[kinds]


def _field(found: list[tuple[Version, Element]], made: dict[_Kinds, Any]) -> Any:
    """Return the type of an element as it is in some FHIR versions."""
    if not any(can_hold(version, element.type) for version, element in found):
        return Any
    lists = {element.is_list for _, element in found}
    if len(lists) > 1:
        return Looked | UnsetType
    inner = _struct(frozenset((version, element.type) for version, element in found), made)
    return (GenericAlias(list, (inner,)) if True in lists else inner) | UnsetType


def _looks_like_reference(version: Version, type_name: str) -> bool:
    """Tell whether an object of a type may have the shape of a Reference, or any shape."""
    if type_name in ("Reference", "Resource") or not schema(version).has(type_name):
        return True
    found = schema(version).type(type_name)
    named = found.elements.get("identifier")
    return found.kind != "resource" and named is not None and not named.is_list


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
