"""Every function that a mapping may name; a mapping cannot bring code of its own."""

from __future__ import annotations

import html
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from engine.transform import consent_r5, people_r5, values_r5
from engine.transform.functions import Arguments, Pair, Values

OPEN_ENDS = ("2100-12-31", "9999-12-31", "2199-12-31")
ADDED = "https://carelane.example/fhir/StructureDefinition/added"


def _without_open_end(values: Values, arguments: Arguments) -> Values:
    return {name: _open(value) for name, value in values.items()}


def _open(period: Any) -> Any:
    if not isinstance(period, dict) or not str(period.get("end", "")).startswith(OPEN_ENDS):
        return period
    return {key: value for key, value in period.items() if key not in ("end", "_end")}


def _same(values: Values, arguments: Arguments) -> Values:
    return dict(values)


def _repaired(values: Values, arguments: Arguments) -> Values:
    return {name: _narrative(value) for name, value in values.items()}


def _narrative(value: Any) -> Any:
    if not isinstance(value, dict) or not isinstance(value.get("div"), str):
        return value
    div = value["div"]
    if "&lt;" not in div and "&amp;" not in div:
        return value
    once = html.unescape(div)
    is_whole = once.lstrip().startswith("<div") and once.rstrip().endswith("</div>")
    return value | {"div": once} if is_whole and not div.lstrip().startswith("<") else value


def _legal(values: Values, arguments: Arguments) -> Values:
    return {k: v.replace("_", ".5F.") if isinstance(v, str) else v for k, v in values.items()}


def _illegal(values: Values, arguments: Arguments) -> Values:
    return {k: v.replace(".5F.", "_") if isinstance(v, str) else v for k, v in values.items()}


def _ensured(values: Values, arguments: Arguments) -> Values:
    return {k: _with_coding(v, arguments) if k[0] != "_" else v for k, v in values.items()} or {}


def _with_coding(items: Any, arguments: Arguments) -> Any:
    if not isinstance(items, list) or any(_has(item, arguments) for item in items):
        return items
    return [
        *items,
        {"extension": [{"url": ADDED, "valueBoolean": True}], "coding": [dict(arguments)]},
    ]


def _has(item: Any, arguments: Arguments) -> bool:
    codings = item.get("coding", ()) if isinstance(item, dict) else ()
    wanted = (arguments.get("system"), arguments.get("code"))
    return any((coding.get("system"), coding.get("code")) == wanted for coding in codings)


def _unensured(values: Values, arguments: Arguments) -> Values:
    out = {name: _without_added(value) for name, value in values.items()}
    return {name: value for name, value in out.items() if value != []}


def _without_added(items: Any) -> Any:
    if not isinstance(items, list):
        return items
    return [item for item in items if not (isinstance(item, dict) and _is_added(item))]


def _is_added(item: Mapping[str, Any]) -> bool:
    return any(extension.get("url") == ADDED for extension in item.get("extension", ()))


def _is_ensured(values: Values, arguments: Arguments) -> bool:
    """Tell whether the coding is there, and nothing that was added for it."""
    if not values:
        return False
    for name, items in values.items():
        if name[0] == "_" or not isinstance(items, list):
            return False
        there = False
        for item in items:
            if isinstance(item, dict) and "extension" in item:
                return False
            there = there or _has(item, arguments)
        if not there:
            return False
    return True


_OWN = (
    Pair(
        "open-end",
        "A Period whose end is 2100-12-31 or another end of time is open: `end` goes away.",
        _without_open_end,
        _same,
    ),
    Pair(
        "narrative-entities",
        "A Narrative whose div was escaped once too often is unescaped.",
        _repaired,
        _same,
    ),
    Pair(
        "illegal-id",
        "An id with `_`, which FHIR does not allow, is written with `.5F.` instead.",
        _legal,
        _illegal,
    ),
    Pair(
        "ensure-coding",
        "A list of CodeableConcept towards the dialect has an item with the coding of the "
        "arguments; one that was added is marked, and taken away on the way back.",
        _unensured,
        _ensured,
        absent=True,
        settled=_is_ensured,
        needs=("system", "code"),
        takes=("display", "version"),
    ),
)

FUNCTIONS: Mapping[str, Pair] = MappingProxyType(
    {pair.name: pair for pair in (*_OWN, *consent_r5.PAIRS, *values_r5.PAIRS, *people_r5.PAIRS)}
)
"""Every registered pair by name."""
