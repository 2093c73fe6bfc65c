"""Cross-version extensions: an element of one FHIR version as an extension in another.

The shape follows http://hl7.org/fhir/R4/versions.html#extensions: a datatype becomes value[x], a
backbone element a complex extension with one part for each child.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.fhir.schema import Element, schema
from engine.transform.plan import Version

Extension = dict[str, Any]

_OUTSIDE = frozenset({"Resource", "xhtml", "Narrative"})


def _choice_types(version: Version) -> frozenset[str]:
    elements = schema(version).type("Extension").elements.values()
    return frozenset(element.type for element in elements if element.choice == "value[x]")


class Codec:
    """Write elements of `home` into extensions of `abroad`, and read them back."""

    def __init__(self, home: Version, abroad: Version) -> None:
        self.home = schema(home)
        self.types = _choice_types(abroad) & _choice_types(home)

    def encode(self, url: str, element: Element, value: Any, beside: Any = None) -> list[Extension]:
        """Return one extension for each value of an element; `beside` is its `_name` sibling."""
        if not element.is_list:
            return [self.one(url, element, value, beside)]
        values = value if value is not None else [None] * len(beside)
        siblings = beside if beside is not None else [None] * len(values)
        return [self.one(url, element, v, b) for v, b in zip(values, siblings, strict=True)]

    def one(self, url: str, element: Element, value: Any, beside: Any) -> Extension:
        out: Extension = {"url": url}
        if element.type in self.types:
            name = _value_name(element.type)
            if value is not None:
                out[name] = value
            if beside is not None:
                out[f"_{name}"] = beside
            return out
        if element.type in _OUTSIDE or element.is_primitive:
            raise ValueError(f"{element.type} has no place in an extension")
        out["extension"] = list(self.parts(element.type, value))
        return out

    def parts(self, type_name: str, value: dict[str, Any]) -> Iterator[Extension]:
        """Yield the parts of a complex value, and its own extensions as they are."""
        for name, child in self.home.type(type_name).elements.items():
            if name == "extension":
                for own in value.get(name, ()):
                    yield {"url": "extension", "extension": [own]}
            elif name == "modifierExtension":
                for own in value.get(name, ()):
                    yield {"url": "modifierExtension", "extension": [own]}
            elif name in value or f"_{name}" in value:
                yield from self.encode(name, child, value.get(name), value.get(f"_{name}"))
        if "id" in value and "id" not in self.home.type(type_name).elements:
            yield {"url": "id", "valueString": value["id"]}

    def decode(self, element: Element, extensions: list[Extension]) -> dict[str, Any]:
        """Return the element's value under "" and its `_name` sibling under "_"."""
        name = _value_name(element.type)
        values: list[Any] = []
        beside: list[Any] = []
        for extension in extensions:
            if element.type in self.types:
                values.append(extension.get(name))
                beside.append(extension.get(f"_{name}"))
            else:
                values.append(self.whole(element.type, extension.get("extension", [])))
                beside.append(None)
        out: dict[str, Any] = {}
        if any(value is not None for value in values):
            out[""] = values if element.is_list else values[0]
        if any(value is not None for value in beside):
            out["_"] = beside if element.is_list else beside[0]
        return out

    def told(self, url: str, element: Element, extensions: list[Extension]) -> dict[str, Any]:
        """Return what `decode` does, or nothing where extensions say more than the element can."""
        try:
            found = self.decode(element, extensions)
            made = self.encode(url, element, found.get(""), found.get("_")) if found else []
            return found if _sorted(made) == _sorted(extensions) else {}
        except (LookupError, TypeError, ValueError, AttributeError):
            return {}

    def whole(self, type_name: str, parts: list[Extension]) -> dict[str, Any]:
        """Return a complex value from its parts."""
        groups: dict[str, list[Extension]] = {}
        for part in parts:
            groups.setdefault(part["url"], []).append(part)
        out: dict[str, Any] = {}
        elements = self.home.type(type_name).elements
        for name, group in groups.items():
            if name in ("extension", "modifierExtension"):
                out[name] = [part["extension"][0] for part in group]
            elif name in elements:
                found = self.decode(elements[name], group)
                out |= {f"{prefix}{name}": value for prefix, value in found.items()}
            elif name == "id":
                out["id"] = group[0].get("valueString")
        return out


@dataclass(frozen=True, slots=True)
class Codecs:
    """Hold one direction's pair: write what is read here, read what belongs there."""

    encode: Codec
    decode: Codec


def _sorted(extensions: list[Extension]) -> list[Extension]:
    """Return extensions with the parts of each by url: order counts only among parts of one url."""
    return [
        {**one, "extension": sorted(_sorted(one["extension"]), key=lambda part: str(part["url"]))}
        if "extension" in one
        else one
        for one in extensions
    ]


def _value_name(type_name: str) -> str:
    return f"value{type_name[0].upper()}{type_name[1:]}"
