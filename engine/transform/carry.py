"""What has no home on the other side: written into a Carelane extension, read back exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.fhir import json
from engine.transform.mapping import Direction

CARRIED = "https://carelane.example/fhir/StructureDefinition/carried"
"""A complex extension: `mapping`, `side`, `path` and `value` (JSON text in valueString)."""

SELF = "$this"
"""The path of a remembered value that is the element itself."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Hold what one Carelane extension says."""

    mapping: str
    side: str
    path: str
    text: str

    def value(self) -> Any:
        """Return the value, every number with the text that it came with."""
        return json.loads(self.text.encode())


def side_of(direction: Direction) -> str:
    """Return the side that a value comes from in this direction."""
    return "dialect" if direction == "to_canonical" else "canonical"


def carried(mapping: str, side: str, path: str, value: Any) -> dict[str, Any]:
    """Return the extension that carries a value of one side under its path."""
    return {
        "url": CARRIED,
        "extension": [
            {"url": "mapping", "valueString": mapping},
            {"url": "side", "valueCode": side},
            {"url": "path", "valueString": path},
            {"url": "value", "valueString": json.dumps(value).decode()},
        ],
    }


def read_carried(extension: Mapping[str, Any]) -> Carried | None:
    """Return what an extension carries; None where it is not ours or has not our shape."""
    if extension.get("url") != CARRIED:
        return None
    parts = extension.get("extension")
    if not isinstance(parts, list) or len(parts) != 4:
        return None
    try:
        mapping, side, path, value = (
            part[key]
            for part, key in zip(
                parts,
                ("valueString", "valueCode", "valueString", "valueString"),
                strict=True,
            )
        )
        found = Carried(mapping, side, path, value)
        found.value()
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    return found


def remembered(
    extensions: Any, mapping: str, direction: Direction
) -> tuple[Carried | None, list[Any]]:
    """Return what the way there remembered of the element itself, and the other extensions."""
    if not isinstance(extensions, list):
        return None, []
    wanted = "canonical" if direction == "to_canonical" else "dialect"
    for index, extension in enumerate(extensions):
        found = read_carried(extension) if isinstance(extension, dict) else None
        if found and (found.mapping, found.side, found.path) == (mapping, wanted, SELF):
            return found, extensions[:index] + extensions[index + 1 :]
    return None, extensions
