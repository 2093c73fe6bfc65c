"""Check what a mapping says of siblings: every element of canonical has its way into the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.diagnostics import did_you_mean
from engine.fhir.schema import Element, schema
from engine.transform.comparing import typed
from engine.transform.fixed import Fixing
from engine.transform.mapping import Clause, Merging, Path, SiblingRule
from engine.transform.plan import Block, End, SiblingPlan, Step
from engine.transform.types import resolve

_ITSELF = ("id",)
_PAIRED = ("copy", "ref")
_INSTANTS = frozenset({"date", "dateTime", "instant"})


def check_siblings(checker: Fixing, root: Block) -> SiblingPlan | None:
    """Return the checked declaration of siblings; None where there is none, or it is wrong."""
    rule = checker.mapping.siblings
    if rule is None:
        return None
    before = len(checker.problems)
    one = _one(checker, rule, root)
    same = tuple(_same(checker, rule, root))
    others = {merging.path.text: merging for merging in rule.others}
    for clause in (rule.left, rule.ended):
        _clause(checker, clause, root)
    if one is not None:
        for path in rule.by:
            _name(checker, path, one.type)
        _until(checker, rule, one)
    _others(checker, rule, root, (rule.one.text, *(path.text for path in rule.same)))
    closing = dict(_closing(checker, rule, root))
    if one is None or len(checker.problems) > before:
        return None
    return SiblingPlan(
        place=rule.place,
        one=one.name,
        by=tuple(path.names[0] for path in rule.by),
        same=same,
        others=others,
        left=rule.left,
        ended=rule.ended,
        until=rule.until.names if rule.until else (),
        closing=closing,
    )


def _name(checker: Fixing, path: Path, type_name: str) -> Element | None:
    """Return the element that a single name means, or note that there is none."""
    end = resolve(checker.right, type_name, path.names[:1])
    if isinstance(end, End) and len(path.names) == 1:
        return end.element
    shown = path if len(path.names) == 1 else Path((path.text,), False, path.place)
    checker.unknown("M007", shown, checker.right, type_name, shown.names[0].removesuffix("[]"))
    return None


def _one(checker: Fixing, rule: SiblingRule, root: Block) -> Element | None:
    element = _name(checker, rule.one, root.canonical_type)
    if element is None:
        return None
    if not element.is_list or element.is_primitive:
        said = f"'{element.name}' does not repeat, or its items have no elements."
        checker.problem("M040", said, rule.one.place, "a list of backbone elements")
        return None
    if _writer(root, element.name, ("fields", "copy")) is None:
        said = f"No field produces '{element.name}' whole, so siblings cannot be told by it."
        checker.problem("M040", said, rule.one.place, f"{element.name}[]: {{fields: ...}}")
        return None
    return element


def _writer(root: Block, name: str, operations: Sequence[str]) -> Step | None:
    """Return the step from one element of the dialect to a whole element of canonical."""
    for step in root.steps:
        single = len(step.dialect) == 1 and len(step.dialect[0].names) == 1
        if single and [end.names for end in step.canonical] == [(name,)]:
            return step if step.operation in operations else None
    return None


def _same(checker: Fixing, rule: SiblingRule, root: Block) -> Iterator[tuple[str, str]]:
    if not rule.same:
        said = "`same:` names nothing: every resource of the sender would be one."
        checker.problem("M040", said, rule.place, "same: subject")
    for path in rule.same:
        element = _name(checker, path, root.canonical_type)
        if element is None:
            continue
        step = _writer(root, element.name, _PAIRED)
        if element.is_list or step is None:
            said = f"'{element.name}' repeats, or no field copies or refers it as it is."
            checker.problem("M040", said, path.place, "a single element, copied or referred")
            continue
        yield element.name, step.dialect[0].name


def _clause(checker: Fixing, clause: Clause | None, root: Block) -> None:
    if clause is not None:
        checker.condition(
            clause.condition, clause.place, checker.right, root.canonical_type, "M007"
        )


def _until(checker: Fixing, rule: SiblingRule, one: Element) -> None:
    if rule.until is None:
        return
    ends = checker.ends("M007", (rule.until,), checker.right, one.type)
    if ends and ends[0].element.type not in _INSTANTS:
        said = f"'{rule.until.text}' is a {ends[0].element.type}, and says no instant."
        checker.problem("M040", said, rule.until.place, "a date or dateTime")


def _closing(checker: Fixing, rule: SiblingRule, root: Block) -> Iterator[tuple[str, Any]]:
    for value in rule.closing:
        element = _name(checker, value.path, root.canonical_type)
        if element is not None and checker.shape(checker.right, element, value.value):
            yield element.name, typed(value.value.plain(), checker.right, element.type)


def _others(checker: Fixing, rule: SiblingRule, root: Block, taken: Sequence[str]) -> None:
    """Note what `others:` does not say, says twice over, or says in a word that does not fit."""
    elements = schema(checker.right).type(root.canonical_type).elements
    said = {merging.path.text for merging in rule.others}
    for merging in rule.others:
        element = _name(checker, merging.path, root.canonical_type)
        if element is None:
            continue
        if element.name in (*taken, *_ITSELF):
            about = f"'{element.name}' has its own place among siblings."
            checker.problem("M040", about, merging.place, "every other element")
            continue
        _fits(checker, merging, element)
    missing = [e for n, e in elements.items() if n not in (*taken, *_ITSELF, *said)]
    if missing:
        lines = "".join(f"\n  {element.name}: {_proposed(element)}" for element in missing)
        checker.problem(
            "M039",
            f"`siblings:` does not say what becomes of: {', '.join(e.name for e in missing)}.",
            rule.others_place,
            "each element that siblings may say differently",
            f"paste under `others:`, then change what should be otherwise:{lines}",
        )


def _proposed(element: Element) -> str:
    if element.name in ("implicitRules", "modifierExtension"):
        return "agree"
    if element.name == "contained":
        return "collect"
    if element.type == "Narrative":
        return "own"
    if element.type in ("Meta", "Period"):
        return "labels" if element.type == "Meta" else "widest"
    if element.codes and not element.is_list:
        return f"{{first: [{', '.join(sorted(element.codes))}]}}"
    return "union" if element.is_list else "common"


def _fits(checker: Fixing, merging: Merging, element: Element) -> None:
    wanted = {
        "union": (element.is_list and not element.is_primitive, "a list of objects"),
        "collect": (element.is_list and not element.is_primitive, "a list of objects"),
        "widest": (element.type == "Period" and not element.is_list, "a Period"),
        "labels": (element.type == "Meta", "meta"),
        "first": (bool(element.codes) and not element.is_list, "a code of a closed list"),
    }.get(merging.word)
    if wanted is not None and not wanted[0]:
        said = f"`{merging.word}` does not fit '{element.name}'."
        checker.problem("M040", said, merging.place, wanted[1], f"for example `{element.name}: "
                        f"{_proposed(element)}`.")  # fmt: skip
        return
    if element.name == "contained" and merging.word not in ("collect", "agree"):
        said = "What items refer to inside their resource goes with them."
        checker.problem("M040", said, merging.place, "collect", "write `contained: collect`.")
    if merging.word == "first":
        _ranked(checker, merging, element)


def _ranked(checker: Fixing, merging: Merging, element: Element) -> None:
    codes = element.codes or frozenset()
    allowed = ", ".join(sorted(codes))
    for name in merging.codes:
        if name.text not in codes:
            said = f"'{name.text}' is no code that '{element.name}' allows."
            remedy = did_you_mean(name.text, codes)
            checker.problem("M038", said, name.place, allowed, remedy)
    missing = sorted(codes - {name.text for name in merging.codes})
    if missing:
        said = f"`first:` does not rank {', '.join(missing)}."
        checker.problem("M040", said, merging.place, f"each of {allowed}, the strongest first")
