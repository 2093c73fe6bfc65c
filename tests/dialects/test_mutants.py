"""Each example of each mapping, spoilt in eight ways: every spoiling is noticed, with its path.

Examples are the samples of a dialect and what its cases take in; a mapping whose own hold no
reference borrows those of the one that it extends, and of `us-core`. The number of mutants is
printed, kind by kind.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from shipped_adapters import shipped_adapters

from engine.diagnostics import Diagnostic, has_errors
from engine.document import read
from engine.fhir.json import dumps, loads
from engine.fhir.schema import Element, schema
from engine.transform.adapter import Adapter
from engine.transform.cases import typed
from engine.transform.normalise import as_lawful
from engine.transform.plan import Block
from engine.transform.references import Crosswalk, Unresolved
from engine.validate import validate

Tree = dict[str, Any]
Steps = tuple[str | int, ...]
Mutant = tuple[Tree, str]
"""A spoilt example, and the path that has to be named."""

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
EXTENSION = {"extension": [{"url": "http://a.example/said-by", "valueString": "clerk"}]}
UNKNOWN = {"system": "http://a.example/x", "code": "no-such-code"}


class Stranger(Crosswalk):
    """A crosswalk that knows nobody."""

    def to_canonical(self, reference: Tree, targets: frozenset[str]) -> Tree | Unresolved:
        return Unresolved(str(reference.get("reference", "logical")), "unknown")

    def to_dialect(self, reference: Tree, targets: frozenset[str]) -> Tree | Unresolved:
        return Unresolved(str(reference.get("reference", "logical")), "unknown")


# --- examples --------------------------------------------------------------------------------


def _samples(folder: Path, kind: str) -> Iterator[Tree]:
    for path in sorted(folder.glob("samples/*.json")):
        resource = loads(path.read_bytes())
        if resource.get("resourceType") == kind:
            yield resource


def _taken_in(adapter: Adapter, path: Path) -> Iterator[Tree]:
    """Yield what the cases beside a mapping take in on the dialect's side."""
    root, _ = read(path)
    for case in root.plain().get("cases", ()) if root is not None else ():
        first = case["direction"] == "to_canonical" or (
            case["direction"] == "round_trip" and case.get("start") != "canonical"
        )
        given = case.get("input")
        if not first or not isinstance(given, dict):
            continue
        if "file" in given:
            yield loads((path.parent / given["file"]).read_bytes())
        else:
            yield typed(given, adapter.fhir, adapter.resource_type)


def _parents(adapter: Adapter) -> Iterator[Path]:
    """Yield the mapping's file, and then those that it extends."""
    path = adapter.path
    while True:
        yield path
        root, _ = read(path)
        named = root.plain().get("extends") if root is not None else None
        if named is None:
            return
        path = MAPPINGS / f"{named}.yaml"


@cache
def _examples(name: str) -> tuple[Tree, ...]:
    """Return the examples of a mapping that are valid and pass, each once."""
    adapter = next(one for one in shipped_adapters().mapped.values() if one.name == name)
    found: dict[bytes, Tree] = {}
    for path in (*_parents(adapter), MAPPINGS / "us-core" / f"{adapter.path.stem}.yaml"):
        beside = path.with_name(f"{path.stem}.test.yaml")
        given = [*_samples(path.parent, adapter.resource_type), *_taken_in(adapter, beside)]
        found |= {dumps(one): one for one in given if _passes(adapter, one)}
        if any(True for one in found.values() for _ in _strangers(adapter, one)):
            break
    return tuple(found.values())


def _passes(adapter: Adapter, resource: Tree) -> bool:
    if resource.get("resourceType") != adapter.resource_type:
        return False
    lawful = as_lawful(resource, adapter.normalise)
    return adapter.to_canonical(resource).ok and not has_errors(validate(lawful, adapter.fhir))


# --- where to spoil --------------------------------------------------------------------------


def _places(tree: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """Yield every object, list and value of a resource with the way to it."""
    yield steps, tree
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _places(value, (*steps, name))
    elif isinstance(tree, list):
        for index, item in enumerate(tree):
            yield from _places(item, (*steps, index))


def _path(kind: str, steps: Steps) -> str:
    return kind + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps)


def _names(steps: Steps) -> tuple[str, ...]:
    return tuple(step for step in steps if isinstance(step, str))


def _element(adapter: Adapter, resource: Tree, steps: Steps) -> Element | None:
    """Return what FHIR has at a place, also inside contained resources."""
    kind, names = adapter.resource_type, _names(steps)
    if names[:1] == ("contained",) and len(steps) > 1:
        kind, names = resource["contained"][steps[1]]["resourceType"], names[1:]
    return schema(adapter.fhir).element(".".join((kind, *names))) if names else None


def _changed(tree: Any, steps: Steps, change: Callable[[Any], Any]) -> Any:
    """Return a tree with one place changed; all else is shared with the old one."""
    if not steps:
        return change(tree)
    made = tree.copy()
    made[steps[0]] = _changed(tree[steps[0]], steps[1:], change)
    return made


def _blocks(block: Block, seen: tuple[Block, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every object whose elements have rules of their own."""
    yield tuple(block.dialect_path.replace("[]", "").split(".")[1:])
    for step in block.steps:
        if step.block is not None and step.block not in (*seen, block):
            yield from _blocks(step.block, (*seen, block))


def _coded(block: Block, operation: str) -> Iterator[tuple[str, ...]]:
    """Yield the paths of what a mapping translates by tables."""
    for step in block.steps:
        names = step.dialect[0].names if step.dialect else ()
        if step.operation == operation:
            yield names
        elif step.block is not None and step.block is not block:
            yield from ((*names, *below) for below in _coded(step.block, operation))


def _concepts(adapter: Adapter, resource: Tree) -> Iterator[tuple[Steps, Tree]]:
    """Yield each concept or coding that the mapping looks up in a table."""
    coded = set(_coded(adapter.plan.root, "coding"))
    for steps, value in _places(resource):
        if isinstance(value, dict) and _names(steps) in coded and steps[-1:] != ("coding",):
            codings = value.get("coding", [value])
            if any("code" in coding for coding in codings):
                yield steps, value


# --- the eight ways --------------------------------------------------------------------------


def unknown_code(adapter: Adapter, resource: Tree) -> Iterator[Mutant]:
    """A code that the table does not know."""
    for steps, _ in _concepts(adapter, resource):

        def spoil(concept: Tree) -> Tree:
            return {**concept, "coding": [UNKNOWN]} if "coding" in concept else UNKNOWN

        yield _changed(resource, steps, spoil), _path(adapter.resource_type, steps)
    for names in _coded(adapter.plan.root, "table"):
        for steps, _ in _places(resource):
            if _names(steps) == names:
                spoilt = _changed(resource, steps, lambda code: "no-such-code")
                yield spoilt, _path(adapter.resource_type, steps)


def unknown_status(adapter: Adapter, resource: Tree) -> Iterator[Mutant]:
    """A code outside its required value set, the status above all."""
    for steps, value in _places(resource):
        element = _element(adapter, resource, steps) if isinstance(value, str) else None
        if element is not None and element.codes:
            spoilt = _changed(resource, steps, lambda code: "no-such-code")
            yield spoilt, _path(adapter.resource_type, steps)


def new_element(adapter: Adapter, resource: Tree) -> Iterator[Mutant]:
    """An element that FHIR does not have, at every depth."""
    for steps, value in _places(resource):
        if isinstance(value, dict):
            spoilt = _changed(resource, steps, lambda tree: {**tree, "unheardOf": "x"})
            yield spoilt, _path(adapter.resource_type, (*steps, "unheardOf"))


def other_choice(adapter: Adapter, resource: Tree) -> Iterator[Mutant]:
    """A variant of a choice that the element does not have, or that has another form."""
    for steps, value in _places(resource):
        element = _element(adapter, resource, steps)
        if element is None or element.choice is None or not isinstance(steps[-1], str):
            continue
        for other in (f"{element.choice[:-3]}Ratio1", _unlike(adapter, resource, steps, element)):
            if other is None or steps[-1].startswith("_"):
                continue

            def spoil(tree: Tree, name: str = steps[-1], other: str = other) -> Tree:
                return {**{k: v for k, v in tree.items() if k != name}, other: value}  # noqa: B023

            yield (
                _changed(resource, steps[:-1], spoil),
                _path(adapter.resource_type, (*steps[:-1], other)),
            )


def _unlike(adapter: Adapter, resource: Tree, steps: Steps, element: Element) -> str | None:
    """Return another variant of a choice whose values have another shape in JSON."""
    around = _element(adapter, resource, tuple(s for s in steps[:-1] if isinstance(s, str)))
    kind = around.type if around is not None else adapter.resource_type
    known = schema(adapter.fhir).type(kind).choices()[str(element.choice)]
    others = (v.name for v in known if v.is_primitive != element.is_primitive)
    return next(others, None)


def modifier_extension(adapter: Adapter, resource: Tree) -> Iterator[Mutant]:
    """A modifier extension on the resource, a part of it, or a contained resource."""
    for steps, value in _places(resource):
        if isinstance(value, dict) and _may_modify(adapter, resource, steps):
            extra = {"modifierExtension": EXTENSION["extension"]}
            spoilt = _changed(resource, steps, lambda tree, extra=extra: {**tree, **extra})
            yield spoilt, _path(adapter.resource_type, (*steps, "modifierExtension"))


def _may_modify(adapter: Adapter, resource: Tree, steps: Steps) -> bool:
    if adapter.name == "r5/consent" and steps[:1] == ("provision",):
        return False  # rules see it: an R5 provision keeps it, and so is not evaluated
    if not steps or (steps[0] == "contained" and len(steps) == 2):
        return True
    element = _element(adapter, resource, steps)
    known = schema(adapter.fhir)
    return (
        element is not None
        and known.has(element.type)
        and known.type(element.type).kind == "backbone"
    )


def title_extension(adapter: Adapter, resource: Tree) -> Iterator[Mutant]:
    """An extension of a primitive value, wherever a mapping has rules for the elements."""
    blocks = set(_blocks(adapter.plan.root))
    for steps, value in _places(resource):
        name = steps[-1] if steps else ""
        if not isinstance(name, str) or _names(steps[:-1]) not in blocks:
            continue
        element = _element(adapter, resource, steps)
        if element is None or not element.is_primitive or element.is_list or name == "id":
            continue
        if isinstance(value, str | int | float | bool):
            beside = {f"_{name}": EXTENSION}
            spoilt = _changed(resource, steps[:-1], lambda tree, b=beside: {**tree, **b})
            yield spoilt, _path(adapter.resource_type, (*steps[:-1], f"_{name}"))


def without_system(adapter: Adapter, resource: Tree) -> Iterator[Mutant]:
    """A coding that a table is to translate, without its system."""
    for steps, concept in _concepts(adapter, resource):
        codings = concept.get("coding", [concept])
        for index, coding in enumerate(codings):
            if "system" not in coding or "code" not in coding:
                continue
            way = (*steps, "coding", index) if "coding" in concept else steps
            spoilt = _changed(
                resource, way, lambda tree: {k: v for k, v in tree.items() if k != "system"}
            )
            yield spoilt, _path(adapter.resource_type, steps)


KINDS = (
    unknown_code,
    unknown_status,
    new_element,
    other_choice,
    modifier_extension,
    title_extension,
    without_system,
)
"""All but the eighth: references that the crosswalk does not know need no spoiling."""


def _noticed(adapter: Adapter, resource: Tree, path: str) -> bool:
    """Say whether the adapter or validation names the path or something within it.

    What is wrong in the sibling of a primitive (`_title`) is said of the primitive.
    """
    before, _, sibling = path.partition("._")
    paths = (path, f"{before}.{sibling.partition('.')[0]}" if sibling else path)

    def names(found: list[Diagnostic]) -> bool:
        return any((item.path or "").startswith(paths) for item in found)

    adapted = adapter.to_canonical(resource)
    return names(list(adapted.diagnostics)) or names(validate(resource, adapter.fhir))


@pytest.mark.parametrize("name", sorted(one.name for one in shipped_adapters().mapped.values()))
def test_every_mutant_of_every_example_is_noticed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is spoilt in an example is named with its path, all of it, and counted."""
    adapter = next(one for one in shipped_adapters().mapped.values() if one.name == name)
    examples = _examples(name)
    tried: Counter[str] = Counter()
    unseen: list[str] = []
    for resource in examples:
        for kind in KINDS:
            for spoilt, path in kind(adapter, resource):
                tried[kind.__name__] += 1
                if not _noticed(adapter, spoilt, path):
                    unseen.append(f"{kind.__name__} {path}")
        found = adapter.to_canonical(resource, Stranger()).unresolved
        named = {item.path for item in found}
        moved = {item.key for item in found if item.path}
        for path, literal in _strangers(adapter, resource):
            tried["stranger"] += 1
            if path not in named and literal not in moved:
                unseen.append(f"stranger {path}")
    with capsys.disabled():
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(tried.items()))
        print(f"\n  mutants: {name}: {len(examples)} examples; {counts}", end="")
    assert not unseen, json.dumps(unseen[:20], indent=1)
    assert examples
    assert min(tried[kind] for kind in ("new_element", "modifier_extension", "stranger")) > 0


def _strangers(adapter: Adapter, resource: Tree) -> Iterator[tuple[str, str]]:
    """Yield path and literal of each reference; where a function moves it, it lands elsewhere."""
    for steps, value in _places(resource):
        literal = value.get("reference") if isinstance(value, dict) else None
        if isinstance(literal, str) and not literal.startswith("#"):
            yield _path(adapter.resource_type, steps), literal
