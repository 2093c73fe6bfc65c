"""Say where a resource has not even the shape of its type, when an adapter stumbled over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.diagnostics import Diagnostic
from engine.fhir.schema import Element, schema
from engine.transform.plan import Version


def misshapen(resource: dict[str, Any], version: Version) -> list[Diagnostic]:
    """Return a T013 for each list, object or value that stands where another belongs."""
    type_name = str(resource.get("resourceType"))
    return [
        Diagnostic("T013", f"It should be {wanted}.", path=path, expected=wanted)
        for path, wanted in _object(resource, type_name, type_name, version)
    ]


def _object(tree: Any, type_name: str, path: str, version: Version) -> Iterator[tuple[str, str]]:
    known = schema(version)
    if not known.has(type_name) or not isinstance(tree, dict):
        return
    elements = known.type(type_name).elements
    for name, value in tree.items():
        element = elements.get(name)
        if element is not None:
            yield from _value(value, element, f"{path}.{name}", version)
        elif name.startswith("_") and not isinstance(value, dict | list):
            yield f"{path}.{name}", "an object"


def _value(value: Any, element: Element, path: str, version: Version) -> Iterator[tuple[str, str]]:
    if element.is_list:
        if not isinstance(value, list):
            yield path, "a list"
            return
        for index, item in enumerate(value):
            yield from _item(item, element, f"{path}[{index}]", version)
    else:
        yield from _item(value, element, path, version)


def _item(value: Any, element: Element, path: str, version: Version) -> Iterator[tuple[str, str]]:
    if element.is_primitive:
        if isinstance(value, dict | list):
            yield path, f"a {element.type}"
    elif not isinstance(value, dict):
        yield path, f"an object ({element.type})"
    elif element.type != "Resource":
        yield from _object(value, element.type, path, version)
