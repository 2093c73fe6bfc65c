"""Which elements can hold a reference, so that adapters look into no others."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from engine.fhir.json import dumps
from engine.fhir.reference_places import can_hold
from engine.fhir.schema import Version, schema


@cache
def _in_extensions() -> re.Pattern[bytes]:
    """Return the pattern of value[x] of the types that can hold a Reference, in JSON text."""
    names: set[str] = set()
    versions: tuple[Version, Version] = ("R4", "R5")
    for version in versions:
        for name, element in schema(version).type("Extension").elements.items():
            if element.choice == "value[x]" and can_hold(version, element.type):
                names.add(name.removeprefix("value"))
    return re.compile(b'"value(?:' + "|".join(sorted(names)).encode() + b')":')


def holds_references(resource: dict[str, Any]) -> bool:
    """Tell whether any extension of a resource may hold a Reference.

    Writing the resource as JSON and searching it costs far less than walking it.
    """
    return text_holds_references(dumps(resource))


def has_extensions(text: bytes) -> bool:
    """Tell whether a resource that we wrote as JSON may have an extension anywhere."""
    return b'xtension":' in text


def text_holds_references(text: bytes) -> bool:
    """Tell the same of a resource that was written as JSON already."""
    return _in_extensions().search(text) is not None
