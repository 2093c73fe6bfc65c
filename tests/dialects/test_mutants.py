"""Each sample of each mapping, spoilt in eight ways: every spoiling is noticed, with its path."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.diagnostics import Diagnostic, has_errors
from engine.fhir.json import loads
from engine.fhir.schema import Element, schema
from engine.transform.adapter import Adapter, Adapters, load_adapters
from engine.transform.plan import Block
from engine.transform.references import Unresolved
from engine.validate import validate

Tree = dict[str, Any]
Steps = tuple[str | int, ...]

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
EXTENSION = {"extension": [{"url": "http://a.example/said-by", "valueString": "clerk"}]}


class Stranger:
    """A crosswalk that knows nobody."""

    def to_canonical(self, reference: Tree, targets: frozenset[str]) -> Tree | Unresolved:
        return Unresolved(str(reference.get("reference", "logical")), "unknown")

    def to_dialect(self, reference: Tree, targets: frozenset[str]) -> Tree | Unresolved:
        return Unresolved(str(reference.get("reference", "logical")), "unknown")


@cache
def _adapters() -> Adapters:
    adapters, diagnostics = load_adapters(MAPPINGS)
    assert not has_errors(diagnostics), [item.text() for item in diagnostics]
    return adapters


def _samples() -> Iterator[Any]:
    for path in sorted(MAPPINGS.glob("*/samples/*.json")):
        if path.stem == "careteam-every-role":  # one participant like the other, a hundred times
            continue
        resource = loads(path.read_bytes())
        for dialect in sorted(_adapters().dialects):
            own = path.parent.parent.name
            adapter = _adapters().mapped.get((dialect, resource["resourceType"]))
            if adapter is None or not (own == dialect or _borrows(dialect, own)):
                continue
            yield pytest.param(adapter, resource, id=f"{dialect}-{own}-{path.stem}")


def _borrows(dialect: str, own: str) -> bool:
    """Say whether a dialect is tried with the samples of us-core beside its own."""
    return own == "us-core" and dialect == "hrex"


SAMPLES = list(_samples())


def _places(tree: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """Yield every object and value of a resource with the way to it; contained ones left out."""
    yield steps, tree
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name not in {"contained", "extension", "text", "meta"}:
                yield from _places(value, (*steps, name))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _places(item, (*steps, index))


def _at(tree: Any, steps: Steps) -> Any:
    for step in steps:
        tree = tree[step]
    return tree


def _path(kind: str, steps: Steps) -> str:
    return kind + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)


def _element(adapter: Adapter, steps: Steps) -> Element | None:
    names = [str(step) for step in steps if not isinstance(step, int)]
    return schema(adapter.fhir).element(".".join([adapter.resource_type, *names]))


def _noticed(adapter: Adapter, resource: Tree, path: str) -> bool:
    """Say whether validation or the adapter names the path or something within it.

    What is wrong in the sibling of a primitive (`_title`) is said of the primitive.
    """
    found: list[Diagnostic] = validate(resource, adapter.fhir)
    found.extend(adapter.to_canonical(resource).diagnostics)
    before, _, sibling = path.partition("._")
    shown = f"{before}.{sibling.partition('.')[0]}" if sibling else path
    return any((item.path or "").startswith((path, shown)) for item in found)


def _spoilt(resource: Tree, steps: Steps, change: Tree) -> Tree:
    """Return a copy with `change` laid over the object at `steps`; None takes a key away."""
    spoilt = copy.deepcopy(resource)
    target = _at(spoilt, steps)
    for name, value in change.items():
        if value is None:
            del target[name]
        else:
            target[name] = value
    return spoilt


def _coded(block: Block) -> Iterator[tuple[str, ...]]:
    """Yield the paths of what a mapping translates by a coding table."""
    for step in block.steps:
        inner = step.block
        names = step.dialect[0].names if step.dialect else ()
        if step.operation == "coding":
            yield names
        elif inner is not None and inner is not block:
            yield from ((*names, *below) for below in _coded(inner))


def _codings(adapter: Adapter, resource: Tree) -> Iterator[tuple[Steps, Tree]]:
    """Yield every coding that the mapping looks up in a table."""
    coded = set(_coded(adapter.plan.root))
    for steps, value in _places(resource):
        names = tuple(s for s in steps if isinstance(s, str) and s != "coding")
        single = isinstance(value, dict) and "code" in value and "coding" not in value
        if single and names in coded and isinstance(value["code"], str):
            yield steps, value


with_samples = pytest.mark.parametrize(("adapter", "resource"), SAMPLES)


@with_samples
def test_a_sample_is_valid_and_passes(adapter: Adapter, resource: Tree) -> None:
    """An unspoilt sample passes validation, as far as ids and narrative allow, and the adapter."""
    assert adapter.to_canonical(resource).ok


@with_samples
def test_an_unknown_code_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """A code that the table does not know is named with its path."""
    for steps, _ in _codings(adapter, resource):
        spoilt = _spoilt(resource, steps, {"code": "no-such-code", "system": "http://a.example/x"})
        others = [s for s, _ in _codings(adapter, spoilt) if s[:-1] == steps[:-1]]
        if len(others) == 1:
            path = _path(adapter.resource_type, steps).split(".coding")[0]
            assert _noticed(adapter, spoilt, path)


@with_samples
def test_an_unknown_status_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """Any code outside its required value set, the status above all, is named with its path."""
    for steps, value in _places(resource):
        element = _element(adapter, steps) if steps and isinstance(value, str) else None
        if element is None or not element.codes:
            continue
        *way, name = steps
        if isinstance(name, str):
            spoilt = _spoilt(resource, tuple(way), {name: "no-such-code"})
            assert _noticed(adapter, spoilt, _path(adapter.resource_type, steps))


@with_samples
def test_a_new_element_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """An element that FHIR does not have is named with its path, at every depth."""
    for steps, value in _places(resource):
        if isinstance(value, dict):
            spoilt = _spoilt(resource, steps, {"unheardOf": "x"})
            path = _path(adapter.resource_type, (*steps, "unheardOf"))
            assert _noticed(adapter, spoilt, path)


@with_samples
def test_another_choice_type_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """A variant of a choice that the element does not have is named with its path."""
    for steps, value in _places(resource):
        element = _element(adapter, steps) if steps else None
        if element is None or element.choice is None or isinstance(steps[-1], int):
            continue
        other = element.choice.replace("[x]", "Ratio1")
        spoilt = _spoilt(resource, steps[:-1], {str(steps[-1]): None, other: value})
        assert _noticed(adapter, spoilt, _path(adapter.resource_type, (*steps[:-1], other)))


@with_samples
def test_a_modifier_extension_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """A modifier extension on the resource or a part of it is named with its path."""
    for steps, value in _places(resource):
        backbone = not steps or (_element(adapter, steps) is not None and _is_part(adapter, steps))
        if isinstance(value, dict) and backbone and not _is_kept(adapter, steps):
            spoilt = _spoilt(resource, steps, {"modifierExtension": EXTENSION["extension"]})
            path = _path(adapter.resource_type, (*steps, "modifierExtension"))
            assert _noticed(adapter, spoilt, path), path


def _is_kept(adapter: Adapter, steps: Steps) -> bool:
    """Say whether rules see the extension: an R5 provision keeps it, and so is not evaluated."""
    return adapter.name == "r5/consent" and steps[:1] == ("provision",)


def _is_part(adapter: Adapter, steps: Steps) -> bool:
    element = _element(adapter, steps)
    known = schema(adapter.fhir)
    return (
        element is not None
        and known.has(element.type)
        and (known.type(element.type).kind == "backbone")
    )


@with_samples
def test_a_stranger_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """Each reference that the crosswalk does not know is named with its path."""
    strangers = [v for _, v in _places(resource) if isinstance(v, dict) and _is_reference(v)]
    unresolved = adapter.to_canonical(resource, Stranger()).unresolved
    assert len([item for item in unresolved if item.path]) >= len(strangers)


def _is_reference(value: Tree) -> bool:
    literal = value.get("reference")
    return isinstance(literal, str) and not literal.startswith("#")


@with_samples
def test_an_extension_beside_a_value_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """An extension of a primitive value at the top of a resource is named with its path."""
    for name, value in resource.items():
        if isinstance(value, str) and name not in {"resourceType", "id"}:
            spoilt = _spoilt(resource, (), {f"_{name}": EXTENSION})
            assert _noticed(adapter, spoilt, f"{adapter.resource_type}._{name}")


@with_samples
def test_a_coding_without_system_is_noticed(adapter: Adapter, resource: Tree) -> None:
    """A coding that a table is to translate and that has no system is named with its path."""
    for steps, coding in _codings(adapter, resource):
        if "system" in coding:
            spoilt = _spoilt(resource, steps, {"system": None})
            path = _path(adapter.resource_type, steps).split(".coding")[0]
            assert _noticed(adapter, spoilt, path)
