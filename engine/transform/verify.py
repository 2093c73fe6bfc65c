"""Check one step: do the two ends fit in number and type, and may the codes stand there."""

from __future__ import annotations

from collections.abc import Iterable

from engine.diagnostics import did_you_mean
from engine.fhir.schema import Element, schema
from engine.transform.mapping import DIRECTIONS, Miss
from engine.transform.plan import Block, Step
from engine.transform.resolve import Resolver
from engine.transform.types import differences, same_type

_PAIRED = frozenset({"copy", "table", "coding", "ref", "identifier", "fields"})
_CODE_TYPES = frozenset({"code", "string", "uri", "url", "canonical", "id", "oid"})


def verify_step(checker: Resolver, block: Block, step: Step, item: bool = False) -> None:
    """Note what does not fit between the ends of a step; `item` is a case of a split."""
    if step.operation not in _PAIRED:
        return
    dialect, canonical = step.dialect[0].element, step.canonical[0].element
    if len(step.dialect) > 1 or len(step.canonical) > 1:
        said = f"{step.operation} reads one element and writes one."
        checker.problem("M029", said, step.rule.place, "one path in `to:`")
    if not item:
        _numbers(checker, step, dialect, canonical)
    match step.operation:
        case "copy":
            _copy(checker, step, dialect, canonical)
        case "table":
            _table(checker, step, dialect, canonical)
        case "coding":
            _typed(checker, step, dialect, canonical, ("CodeableConcept", "Coding"))
            _systems(checker, step)
        case "ref":
            _typed(checker, step, dialect, canonical, ("Reference",))
            _targets(checker, step, dialect)
        case "identifier":
            _typed(checker, step, dialect, canonical, ("Identifier",))
            _renaming(checker, step)


def _numbers(checker: Resolver, step: Step, dialect: Element, canonical: Element) -> None:
    rule = step.rule
    if dialect.is_list == canonical.is_list:
        if rule.first:
            said = "`first:` is not needed: both sides repeat, or neither does."
            checker.problem("M029", said, rule.place)
        return
    if rule.first:
        return
    one, many = (dialect, canonical) if canonical.is_list else (canonical, dialect)
    side = "dialect" if canonical.is_list else "canonical"
    checker.problem(
        "M010",
        f"'{many.name}' repeats, and '{one.name}' on the {side} side does not.",
        rule.place,
        "first: true, with rest: carry | reject | {drop: why}",
        "add `first: true, rest: carry`.",
    )


def _copy(checker: Resolver, step: Step, dialect: Element, canonical: Element) -> None:
    if same_type(dialect, canonical, checker.left, checker.right):
        return
    said = f"'{dialect.name}' ({dialect.type}) is no '{canonical.name}' ({canonical.type})"
    expected, remedy = f"{dialect.type} on both sides", None
    if dialect.is_primitive and dialect.type == canonical.type:
        said = f"'{dialect.name}' and '{canonical.name}' have different required codes"
        remedy = "use `table:`."
    elif dialect.type == canonical.type or ("." in dialect.type and "." in canonical.type):
        unlike = ", ".join(
            differences((checker.left, dialect.type), (checker.right, canonical.type))
        )
        if unlike:
            said = f"{dialect.type} differs between {checker.left} and {checker.right}: {unlike}"
        remedy = "map its inner elements with `fields:`, or carry it."
    checker.problem("M011", f"{said}.", step.rule.place, expected, remedy)


def _typed(
    checker: Resolver, step: Step, dialect: Element, canonical: Element, types: tuple[str, ...]
) -> None:
    if dialect.type in types and dialect.type == canonical.type:
        return
    checker.problem(
        "M011",
        f"`{step.operation}:` goes from {dialect.type} '{dialect.name}' to "
        f"{canonical.type} '{canonical.name}'.",
        step.rule.place,
        f"{' or '.join(types)} on both sides",
    )


def _table(checker: Resolver, step: Step, dialect: Element, canonical: Element) -> None:
    for element in (dialect, canonical):
        if element.type not in _CODE_TYPES:
            said = f"`table:` is for codes, and '{element.name}' is a {element.type}."
            checker.problem("M011", said, step.rule.place, "code", "use `coding:`.")
            return
    if dialect.is_list or canonical.is_list:
        said = f"`table:` is for a single code, and '{dialect.name}' repeats."
        checker.problem("M011", said, step.rule.place, "a single code")
    for direction in DIRECTIONS:
        element = canonical if direction == "to_canonical" else dialect
        rows = step.table.ways[direction].values() if step.table else ()
        bad = sorted({row.target(direction)[1] for row in rows} - (element.codes or set()))
        if element.codes and bad:
            checker.problem(
                "M038",
                f"The table gives {', '.join(bad)}, which '{element.name}' does not allow.",
                step.rule.place,
                ", ".join(sorted(element.codes)),
                did_you_mean(bad[0], element.codes),
            )
        miss = step.rule.on_miss.get(direction)
        if miss is not None and element.codes and isinstance(miss.default, str):
            _default(checker, miss, element, element.codes)


def _default(checker: Resolver, miss: Miss, element: Element, codes: frozenset[str]) -> None:
    if miss.default not in codes:
        said = f"The default '{miss.default}' is no code that '{element.name}' allows."
        remedy = did_you_mean(str(miss.default), codes)
        checker.problem("M038", said, miss.place, ", ".join(sorted(codes)), remedy)


def _systems(checker: Resolver, step: Step) -> None:
    for row in step.table.rows if step.table else ():
        if row.dialect[0] is None or row.canonical[0] is None:
            checker.problem(
                "M021",
                f"A row of the table '{step.table.name if step.table else ''}' has no system, "
                "and `coding:` uses it.",
                row.place,
                "`dialect:` and `canonical:` systems at the top of the table",
            )
            return


def _targets(checker: Resolver, step: Step, dialect: Element) -> None:
    for name in step.rule.targets:
        if name.text == "any":
            continue
        known: Iterable[str] = dialect.targets or schema(checker.left).resources
        if "Resource" in dialect.targets:
            known = schema(checker.left).resources
        if name.text not in known:
            checker.problem(
                "M030",
                f"'{dialect.name}' does not point to '{name.text}'.",
                name.place,
                ", ".join(sorted(known)) if dialect.targets else "a resource type, or any",
                did_you_mean(name.text, known),
            )


def _renaming(checker: Resolver, step: Step) -> None:
    systems = step.rule.systems
    if len(set(systems.values())) != len(systems):
        said = "Two identifier systems become one, so the way back cannot tell them apart."
        checker.problem("M022", said, step.rule.place, "each system on the right once")
