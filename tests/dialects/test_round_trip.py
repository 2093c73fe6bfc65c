"""Generated resources through every mapping, both ways: what comes back is what went."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from shipped_adapters import shipped_adapters
from strategies import resources

from engine.diagnostics import has_errors
from engine.fhir.json import dumps
from engine.fhir.references import iter_references
from engine.fhir.schema import Version, schema
from engine.transform.adapter import Adapter
from engine.transform.references import Crosswalk, Reference
from engine.transform.result import Result
from engine.validate import validate

Resource = dict[str, Any]
Take = Callable[..., Result]

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
DRAWN, MADE, WANTED = 100, 1300, 1000
"""Drawn by Hypothesis, made with crossings of these, and how many have to come back."""
REFUSALS = {"T010", "T019"}
"""What a mapping may refuse in a valid resource: a target or a value that R4 cannot hold."""


@cache
def _generated(kind: str, version: Version) -> tuple[Resource, ...]:
    """Return resources that Hypothesis drew, and crossings of them."""
    drawn: list[Resource] = []

    @settings(max_examples=DRAWN, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(resources(kind, version))
    def collect(resource: Resource) -> None:
        drawn.append(resource)

    collect()
    chance = random.Random(len(drawn))
    pairs = (chance.choices(drawn, k=2) for _ in range(MADE - len(drawn)))
    crossed = [_crossed(chance, version, one, two) for one, two in pairs]
    return (*drawn, *crossed)


def _crossed(chance: random.Random, version: Version, one: Resource, two: Resource) -> Resource:
    """Take each element with its sibling and the variants of its choice from one of two parents."""
    elements = schema(version).type(one["resourceType"]).elements
    parents: dict[str, Resource] = {}
    child: Resource = {"resourceType": one["resourceType"]}
    for name in sorted({*one, *two} - {"resourceType"}):
        plain = name.removeprefix("_")
        parent = parents.setdefault(elements[plain].choice or plain, chance.choice((one, two)))
        if name in parent:
            child[name] = parent[name]
    return child


def _cases() -> Iterator[Any]:
    for (dialect, kind), adapter in sorted(shipped_adapters().mapped.items()):
        for start in ("dialect", "canonical"):
            yield pytest.param(adapter, kind, start, id=f"{dialect}-{kind}-{start}")


def _ways(adapter: Adapter, start: str) -> tuple[Take, Take, Version]:
    if start == "dialect":
        return adapter.to_canonical, adapter.to_dialect, adapter.fhir
    return adapter.to_dialect, adapter.to_canonical, "R4"


@pytest.mark.parametrize(("adapter", "kind", "start"), list(_cases()))
def test_what_went_comes_back(adapter: Adapter, kind: str, start: str) -> None:
    """A thousand valid resources come back equal; one that does not is refused for its reason.

    What an adapter is given stays as it is: what it says of its own writing rests on that.
    """
    there, back, version = _ways(adapter, start)
    came = 0
    for resource in _generated(kind, version):
        before = dumps(resource)
        gone = there(resource)
        assert dumps(resource) == before
        if gone.resource is None:
            assert {item.code for item in gone.diagnostics if has_errors([item])} <= REFUSALS
            continue
        made = dumps(gone.resource)
        returned = back(gone.resource)
        assert dumps(gone.resource) == made
        assert returned.ok, [item.text() for item in returned.diagnostics]
        assert returned.resource == resource
        came += 1
        if came == WANTED:
            break
    assert came == WANTED


@pytest.mark.parametrize(("adapter", "kind", "start"), list(_cases()))
def test_what_goes_out_is_valid(adapter: Adapter, kind: str, start: str) -> None:
    """A valid resource becomes a valid resource of the other side's FHIR version."""
    there, _, version = _ways(adapter, start)
    target: Version = "R4" if start == "dialect" else adapter.fhir
    for resource in _generated(kind, version)[:DRAWN]:
        gone = there(resource)
        if gone.resource is not None and not has_errors(validate(resource, version)):
            problems = [item for item in validate(gone.resource, target) if has_errors([item])]
            assert not [item.text() for item in problems]


class _Elsewhere(Crosswalk):
    """A crosswalk in which everything is called otherwise on the other side."""

    def to_canonical(self, reference: Reference, targets: frozenset[str]) -> Reference:
        return {**reference, "reference": ELSEWHERE} if "reference" in reference else reference

    to_dialect = to_canonical


ELSEWHERE = "Elsewhere/1"


@pytest.mark.parametrize(("adapter", "kind", "start"), list(_cases()))
def test_every_reference_goes_through_the_crosswalk(
    adapter: Adapter, kind: str, start: str
) -> None:
    """Wherever a reference stands, also in identifiers and notes, it is crossed, or stays local."""
    there, _, version = _ways(adapter, start)
    crossed = 0
    for resource in _generated(kind, version)[:DRAWN]:
        for source in (resource, _unextended(resource)):
            gone = there(source, _Elsewhere())
            for path, reference in iter_references(gone.resource or {}):
                literal = reference.get("reference", ELSEWHERE)
                assert literal == ELSEWHERE or literal.startswith("#"), path
                crossed += literal == ELSEWHERE
    assert crossed > 0


def _unextended(node: Any) -> Any:
    if isinstance(node, dict):
        kept = ((name, part) for name, part in node.items() if not name.endswith("xtension"))
        return {name: _unextended(part) for name, part in kept}
    return [_unextended(part) for part in node] if isinstance(node, list) else node
