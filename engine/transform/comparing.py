"""What a case expects beside what came: YAML as a resource tree, and the lines that differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.fhir import json
from engine.fhir.schema import schema
from engine.transform.plan import Version


def typed(tree: Any, version: Version, type_name: str) -> Any:
    """Return YAML data as a resource tree: decimals as numbers with the text they were given."""
    if isinstance(tree, list):
        return [typed(item, version, type_name) for item in tree]
    if not isinstance(tree, dict):
        if type_name == "decimal" and isinstance(tree, str):
            try:
                return json.loads(tree.encode())
            except ValueError:
                return tree
        if isinstance(tree, int) and not isinstance(tree, bool) and type_name in _TEXTUAL:
            return str(tree)
        return tree
    known = schema(version)
    if type_name == "Resource" and str(tree.get("resourceType")) in known.resources:
        type_name = str(tree["resourceType"])
    elements = known.type(type_name).elements if known.has(type_name) else {}
    return {
        key: typed(value, version, elements[key].type if key in elements else "Element")
        for key, value in tree.items()
    }


_TEXTUAL = frozenset(
    [
        "string",
        "code",
        "uri",
        "url",
        "canonical",
        "id",
        "date",
        "dateTime",
        "instant",
        "time",
        "markdown",
    ]
)


def difference(wanted: Any, came: Any, exact: bool, path: str = "") -> Iterator[str]:
    """Yield one line for each thing missing (-) or unexpected (+)."""
    if isinstance(wanted, dict) and isinstance(came, dict):
        for key, value in wanted.items():
            here = f"{path}.{key}" if path else key
            if key in came:
                yield from difference(value, came[key], exact, here)
            else:
                yield f"- {here}: {_text(value)}"
        if exact:
            for key in came.keys() - wanted.keys():
                yield f"+ {path + '.' if path else ''}{key}: {_text(came[key])}"
    elif isinstance(wanted, list) and isinstance(came, list):
        if len(wanted) != len(came):
            yield f"- {path}: {len(wanted)} items"
            yield f"+ {path}: {len(came)} items: {_text(came)}"
            return
        for index, (one, other) in enumerate(zip(wanted, came, strict=True)):
            yield from difference(one, other, exact, f"{path}[{index}]")
    elif json.dumps(wanted) != json.dumps(came):
        yield f"- {path}: {_text(wanted)}"
        yield f"+ {path}: {_text(came)}"


def _text(value: Any) -> str:
    text = json.dumps(value).decode()
    return text if len(text) <= 200 else f"{text[:200]}..."
