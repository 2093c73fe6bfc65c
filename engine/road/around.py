"""Before a message is split: whether what stands around its resources is valid and understood."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from engine.diagnostics import Diagnostic, has_errors
from engine.message import Resource
from engine.validate import validate

_MODIFIERS = ("implicitRules", "modifierExtension")
_CONDITIONS = ("ifMatch", "ifNoneMatch")


def around(tree: Resource) -> tuple[Diagnostic, ...]:
    """Return what is wrong with a Bundle that can be split, apart from its entries' resources.

    The Bundle itself and its MessageHeader must be valid in R4 or R5, but for the Bundle's id and
    what the header contains, which nobody reads. What could turn the meaning of an entry, or should
    keep it from being written, is not understood and so refused.
    """
    if tree["resourceType"] != "Bundle":
        return ()
    return tuple(_problems(tree))


def _problems(bundle: Resource) -> Iterator[Diagnostic]:
    yield from _invalid(bundle, "", without=("id", "entry", *_MODIFIERS))
    yield from _modifiers(bundle, "Bundle")
    entries = bundle.get("entry", ())
    for index, entry in enumerate(entries):
        where, request = f"Bundle.entry[{index}]", entry.get("request")
        yield from _modifiers(entry, where)
        if isinstance(request, dict):
            yield from _modifiers(request, f"{where}.request")
            yield from _conditions(request, f"{where}.request")
    if bundle.get("type") == "message":
        yield from _header(entries[0]["resource"])


def _header(header: Resource) -> Iterator[Diagnostic]:
    where = "Bundle.entry[0].resource"
    yield from _modifiers(header, where)
    yield from _invalid(header, where, without=("contained", *_MODIFIERS))


def _invalid(whole: Resource, where: str, *, without: Container[str]) -> Iterator[Diagnostic]:
    resource = {name: part for name, part in whole.items() if name not in without}
    problems = validate(resource, "R4")
    if has_errors(problems) and has_errors(validate(resource, "R5")):
        yield from (problem.at(where) if where else problem for problem in problems)


def _modifiers(holder: Any, where: str) -> Iterator[Diagnostic]:
    for name in _MODIFIERS:
        if name in holder:
            said = "This could turn the meaning around and is not understood."
            yield Diagnostic("R021", said, path=f"{where}.{name}")


def _conditions(request: Any, where: str) -> Iterator[Diagnostic]:
    for name in _CONDITIONS:
        if name in request:
            said = "This precondition cannot be checked here."
            yield Diagnostic("R022", said, path=f"{where}.{name}")
