"""What an adapter copied is not validated again: the short look passes nothing that is invalid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from shipped_adapters import shipped_adapters
from strategies import resources

from engine.diagnostics import has_errors
from engine.fhir.json import dumps, loads
from engine.parse import parse
from engine.transform.adapter import Adapter
from engine.transform.holding import has_extensions
from engine.transform.references import Crosswalk, Unresolved
from engine.transform.result import Result
from engine.validate import still_valid, validate

Tree = dict[str, Any]
Take = Callable[..., Result]

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
DRAWN = 40
WRONG = ([], {}, [{}], [None], "", 7, [{"coding": [{"code": " a"}]}], {"x": 1}, "#gone")


class Anyhow(Crosswalk):
    """A crosswalk that answers in every way that one can, also in ways that FHIR does not allow."""

    def __init__(self, shift: int) -> None:
        self.shift = shift

    def to_canonical(self, reference: Tree, targets: frozenset[str]) -> Tree | Unresolved:
        rest = {name: part for name, part in reference.items() if name != "reference"}
        logical = {**rest, "type": "Patient", "identifier": {"system": "a b", "value": "x"}}
        answers: tuple[Tree, ...] = (
            {**reference, "reference": "Patient/1"},
            dict(reference),
            {**reference, "reference": ""},
            {**reference, "reference": "#gone"},
            logical,
            {**rest, "type": "Patient", "identifier": {"system": "urn:a", "value": "x"}},
            {**reference, "reference": "Patient/1", "display": ""},
        )
        return answers[(len(str(reference)) * self.shift) % len(answers)] if self.shift else rest

    def to_dialect(self, reference: Tree, targets: frozenset[str]) -> Tree | Unresolved:
        return self.to_canonical(reference, targets)


class Elsewhere(Anyhow):
    """A crosswalk that gives every literal another target, and changes nothing else."""

    def to_canonical(self, reference: Tree, targets: frozenset[str]) -> Tree | Unresolved:
        moved = {"reference": "Patient/elsewhere"} if "reference" in reference else {}
        return {**reference, **moved}


@cache
def _generated(kind: str) -> tuple[Tree, ...]:
    drawn: list[Tree] = []

    @settings(max_examples=DRAWN, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(resources(kind, "R4"))
    def collect(resource: Tree) -> None:
        drawn.append(resource)

    collect()
    samples = (loads(path.read_bytes()) for path in sorted(MAPPINGS.glob("*/samples/*.json")))
    mine = [one for one in samples if one["resourceType"] == kind]
    return tuple(one for one in (*drawn, *mine) if _is_valid(one))


def _is_valid(resource: Tree) -> bool:
    return not has_errors(validate(resource))


def _cases() -> Iterator[Any]:
    for (dialect, kind), adapter in sorted(shipped_adapters().mapped.items()):
        if adapter.fhir == "R4":
            yield pytest.param(adapter, kind, "to_canonical", id=f"{dialect}-{kind}-in")
            yield pytest.param(adapter, kind, "to_dialect", id=f"{dialect}-{kind}-out")


CASES = list(_cases())
with_mappings = pytest.mark.parametrize(("adapter", "kind", "way"), CASES)


def _made(
    adapter: Adapter, kind: str, way: str, crosswalk: Anyhow
) -> Iterator[tuple[Tree, frozenset[str]]]:
    take: Take = getattr(adapter, way)
    for resource in _generated(kind):
        result = take(resource, crosswalk)
        if result.resource is not None and result.written is not None:
            yield result.resource, result.written


@with_mappings
def test_nothing_invalid_passes_the_short_look(adapter: Adapter, kind: str, way: str) -> None:
    """Whatever the crosswalk answers, what the short look accepts is valid for the long one."""
    for shift in (1, 2):
        for made, written in _made(adapter, kind, way, Anyhow(shift)):
            if still_valid(made, written):
                assert _is_valid(made)


@with_mappings
def test_what_an_adapter_spoils_is_refused(adapter: Adapter, kind: str, way: str) -> None:
    """An element that the adapter writes is spoilt in many ways: the two looks agree on each."""
    for made, written in list(_made(adapter, kind, way, Elsewhere(0)))[:15]:
        for name in ("id", *sorted(written)):
            less = {key: value for key, value in made.items() if key != name}
            spoilt = [less, *({**less, name: wrong} for wrong in WRONG)]
            for tree in spoilt:
                if still_valid(tree, written):
                    assert _is_valid(tree)


@pytest.mark.parametrize(
    ("dialect", "kind"), [("us-core", "CarePlan"), ("hrex", "Communication"), ("hrex", "Consent")]
)
def test_most_takes_the_short_look(dialect: str, kind: str) -> None:
    """A plain resource with all its references moved is accepted by the short look, both ways."""
    adapter = shipped_adapters().mapped[dialect, kind]
    plain = [one for one in _generated(kind) if not has_extensions(dumps(one))]
    plain = [one for one in plain if "contained" not in one and b'"_' not in dumps(one)]
    assert plain
    for resource in plain:
        result = adapter.to_canonical(resource, Elsewhere(0))
        if result.resource is not None:
            assert result.written is not None
            assert still_valid(result.resource, result.written)


@with_mappings
def test_what_is_left_out_of_the_look_is_what_it_was(adapter: Adapter, kind: str, way: str) -> None:
    """Nothing counts as changed just where each element that the adapter may write is as before."""
    take: Take = getattr(adapter, way)
    for resource in _generated(kind):
        result = take(resource, Elsewhere(0))
        may = result.written
        if result.resource is None or not may:
            continue
        before = {name: dumps(resource[name]) for name in may if name in resource}
        after = {name: dumps(result.resource[name]) for name in may if name in result.resource}
        assert (before == after) is (result.changed(resource) == frozenset())


@with_mappings
def test_what_holds_no_extension_is_taken_alike(adapter: Adapter, kind: str, way: str) -> None:
    """To say that a resource holds no extension changes nothing about what is made of it."""
    take: Take = getattr(adapter, way)
    for resource in _generated(kind):
        if not has_extensions(dumps(resource)):
            told = take(resource, Elsewhere(0), extended=False)
            assert told == take(resource, Elsewhere(0))
            if told.resource is not None and has_extensions(dumps(told.resource)):
                assert told.may_extend()


@pytest.mark.parametrize(
    ("text", "extended"),
    [
        ('{"resourceType": "Patient", "active": true}', False),
        ('{"resourceType": "Patient", "language": "Fran\\u00e7ais"}', False),
        ('{"resourceType": "Patient", "extension": []}', True),
        ('{"resourceType": "Patient", "extension" : []}', True),
        ('{"resourceType": "Patient", "e\\u0078tension": []}', True),
        ('{"resourceType": "Patient", "extensio\\u006e": []}', True),
        ('{"resourceType": "Patient", "modifierExtension": []}', True),
    ],
)
def test_extensions_are_noticed_however_they_are_written(text: str, extended: bool) -> None:
    """A body that may hold an extension says so, also where its key is written with escapes."""
    assert parse(text.encode()).extended is extended
