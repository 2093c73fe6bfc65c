"""Which elements fit which: types that may be copied as they are, and paths into types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from engine.fhir.schema import Element, schema
from engine.transform.plan import End, Version

_FAMILIES = (
    frozenset({"string", "markdown"}),
    frozenset({"uri", "url", "canonical", "oid", "uuid"}),
)
_ANY = Element("", "", False, False, False)
"""What stands in an object whose type is not known here."""
BY_ITSELF = frozenset({"id", "extension", "modifierExtension"})
"""Elements of inner objects that go across by policy, without a rule of their own."""


def children(version: Version, type_name: str) -> dict[str, Element]:
    """Return the elements of a type that a mapping has to mention."""
    known = schema(version)
    if not known.has(type_name):
        return {}
    kind = known.type(type_name).kind
    own = {"extension", "modifierExtension"} if kind == "resource" else BY_ITSELF
    return {k: e for k, e in known.type(type_name).elements.items() if k not in own}


def names_of(version: Version, type_name: str) -> set[str]:
    """Return every name that may stand after a dot behind this type."""
    known = schema(version)
    if not known.has(type_name):
        return set()
    elements = known.type(type_name).elements
    return set(elements) | {e.choice for e in elements.values() if e.choice}


@cache
def differences(one: tuple[Version, str], other: tuple[Version, str]) -> tuple[str, ...]:
    """Return the paths in which two types of the same name differ between FHIR versions."""
    return tuple(dict.fromkeys(_differ(one, other, frozenset())))


def _differ(
    one: tuple[Version, str], other: tuple[Version, str], seen: frozenset[str]
) -> Iterator[str]:
    if one[0] == other[0] or one[1] in seen or one[1] in ("Reference", "Extension", "Meta"):
        return
    left, right = children(*one), children(*other)
    yield from (name for name in (*left, *right) if (name in left) != (name in right))
    for name in left.keys() & right.keys():
        a, b = left[name], right[name]
        if a.is_list != b.is_list or not same_type(a, b, one[0], other[0], seen | {one[1]}):
            yield name


def same_type(
    a: Element,
    b: Element,
    version: Version,
    other: Version,
    seen: frozenset[str] = frozenset(),
) -> bool:
    """Tell whether every value of one element is, as it stands, a value of the other."""
    if a.is_primitive and b.is_primitive:
        return (a.type == b.type and _codes(a) == _codes(b)) or any(
            {a.type, b.type} <= family for family in _FAMILIES
        )
    if a.is_primitive != b.is_primitive:
        return False
    if a.type != b.type:
        return _is_backbone(a) and _is_backbone(b) and not _unlike(a, b, version, other, seen)
    return not list(_differ((version, a.type), (other, b.type), seen))


def _unlike(a: Element, b: Element, version: Version, other: Version, seen: frozenset[str]) -> bool:
    left, right = children(version, a.type), children(other, b.type)
    if left.keys() != right.keys() or a.type in seen:
        return left.keys() != right.keys()
    return not all(
        left[k].is_list == right[k].is_list
        and same_type(left[k], right[k], version, other, seen | {a.type})
        for k in left
    )


def _is_backbone(element: Element) -> bool:
    return "." in element.type


def _codes(element: Element) -> frozenset[str]:
    return element.codes or frozenset()


def resolve(version: Version, type_name: str, names: Iterable[str]) -> End | tuple[str, str]:
    """Follow a path through single elements.

    The answer is the End, or the type at which the path fails and the name that fails; a list
    before the end fails with the name and `[]`.
    """
    steps = tuple(names)
    here, element = type_name, None
    for index, name in enumerate(steps):
        known = schema(version)
        element = known.type(here).elements.get(name) if known.has(here) else None
        if element is None:
            return here, name
        if element.is_list and index < len(steps) - 1:
            return here, f"{name}[]"
        here = element.type
    assert element is not None
    return End(steps, element)


def asked(
    version: Version, type_name: str, names: Iterable[str]
) -> Element | tuple[str, str, list[str]]:
    """Follow a path of a condition, through lists and into extensions.

    The answer is the element (of a type without elements, or of any resource, the last known), or
    the type at which the path fails, the name that fails, and the names that would not.
    """
    known, here = schema(version), type_name
    element = _ANY
    for name in names:
        if not known.has(here) or here == "Resource" or known.type(here).kind == "primitive":
            return _ANY
        elements = known.type(here).elements
        bare, _, kind = name.partition(":")
        variant = f"{bare}{kind[:1].upper()}{kind[1:]}"
        if variant in elements:
            element = elements[variant]
        elif bare in elements and elements[bare].type == "Resource" and kind in known.resources:
            element = replace(elements[bare], type=kind)
        elif bare in elements and elements[bare].type == kind:
            element = elements[bare]
        elif name in ("resourceType", "id"):
            return _ANY
        else:
            return here, variant, list(elements)
        here = element.type
    return element
