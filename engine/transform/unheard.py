"""Elements that FHIR does not have, and that a mapping lets pass by name (`on_unmapped:`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from engine.diagnostics import Diagnostic, did_you_mean
from engine.transform.mapping import Path, Policies
from engine.transform.plan import Block, Plan, Version
from engine.transform.resolve import Resolver
from engine.transform.types import children, names_of

UNKNOWN = "V001"
_EXTENSION = re.compile(r"\.extension\[.*")
_INDEX = re.compile(r"\[\d+\]")


def shape(path: str, type_name: str) -> str:
    """Return a path as a mapping writes it: without the Bundle around it, `[]` for each index."""
    inside = re.sub(r"^Bundle\.entry\[\d+\]\.resource\.?", "", path)
    inside = inside.removeprefix(f"{type_name}.")
    return _INDEX.sub("[]", _EXTENSION.sub("", inside)).removesuffix("[]")


def without_named(
    problems: list[Diagnostic], policies: Policies, type_name: str
) -> list[Diagnostic]:
    """Return what is wrong with a resource, less the unknown elements that its mapping takes."""
    if not problems or not (policies.unmapped or policies.on_unmapped == "carry"):
        return problems
    named = {path.names for path, _ in policies.unmapped}

    def passes(problem: Diagnostic) -> bool:
        names = shape(problem.path or "", type_name).replace("[]", "").split(".")
        return problem.code == UNKNOWN and (not named or tuple(names) in named)

    return [problem for problem in problems if not passes(problem)]


def check_unheard(checker: Resolver, root: Block) -> None:
    """Note each name under `on_unmapped:` that FHIR has, or whose object no rule takes apart."""
    blocks = dict(_blocks(root, frozenset()))
    for path, _ in checker.mapping.policies.unmapped:
        block = blocks.get(path.names[:-1])
        if block is None:
            _homeless(checker, path, root.dialect_type)
        elif path.names[-1] in names_of(checker.left, block.dialect_type):
            checker.problem(
                "M029",
                f"FHIR has the element '{path.text}'.",
                path.place,
                "elements that FHIR does not have",
                f"write `{path.text}` under `fields:`.",
            )


def _homeless(checker: Resolver, path: Path, type_name: str) -> None:
    """Say why an unknown element has no object that it could be carried in."""
    here = type_name
    for name in path.names[:-1]:
        known = children(checker.left, here)
        if name not in known:
            said = f"{here} ({checker.left}) has no element '{name}'."
            checker.problem("M006", said, path.place, remedy=did_you_mean(name, known))
            return
        here = known[name].type
    parent = ".".join(path.names[:-1])
    checker.problem(
        "M029",
        f"'{parent}' goes across whole, so nothing within it can be carried by itself.",
        path.place,
        "an object whose elements have rules of their own",
        f"write its elements under `{parent}: {{fields: ...}}`.",
    )


def _blocks(block: Block, seen: frozenset[int]) -> Iterator[tuple[tuple[str, ...], Block]]:
    if id(block) in seen:
        return
    names = tuple(block.dialect_path.replace("[]", "").split(".")[1:])
    yield names, block
    for step in block.steps:
        if step.block is not None:
            yield from _blocks(step.block, seen | {id(block)})


def lines(counted: Iterable[tuple[str, int]], plan: Plan) -> Iterator[str]:
    """Yield YAML with which a mapping takes these elements too: the most frequent first.

    The first part belongs at the top of the file; where an element lies in one that goes across
    whole, rules that take that apart follow, for `fields:`.
    """
    yield "on_unmapped:  # at the top of the file, in place of what it says there"
    for path, fate in plan.mapping.policies.unmapped:
        yield f"  {path.text}: {'carry' if fate.kind == 'carry' else f'{{drop: {fate.reason}}}'}"
    whole: dict[str, str] = {}
    for text, count in counted:
        yield f"  {text}: carry  # {'once' if count == 1 else f'{count} times'}"
        whole.update(_taken_apart(plan, tuple(text.replace("[]", "").split("."))))
    if whole:
        yield "# under `fields:`, in place of the rule that is there"
        yield from (f"{path}: {rule}" for path, rule in whole.items())


def _taken_apart(plan: Plan, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield path and rule that take apart what goes across whole around an unknown element."""
    blocks = dict(_blocks(plan.root, frozenset()))
    depth = next((n for n in range(len(names) - 1, -1, -1) if names[:n] in blocks), 0)
    if depth == len(names) - 1:
        return
    version = plan.version("to_canonical")
    path, kind = "", plan.root.dialect_type
    for index, name in enumerate(names[: depth + 1]):
        element = children(version, kind).get(name)
        if element is None:
            return
        path += f"{'.' if index else ''}{name}{'[]' if element.is_list else ''}"
        kind = element.type
    yield path, _copying(version, kind, names[depth + 1 : -1])


def _copying(version: Version, kind: str, within: tuple[str, ...]) -> str:
    """Return a rule that copies each element of a type, and takes one of them apart."""
    rules = dict.fromkeys(children(version, kind), "copy")
    if within and within[0] in rules:
        element = children(version, kind)[within[0]]
        del rules[within[0]]
        each = "[]" if element.is_list else ""
        rules[f"{within[0]}{each}"] = _copying(version, element.type, within[1:])
    return f"{{fields: {{{', '.join(f'{name}: {rule}' for name, rule in rules.items())}}}}}"
