"""The checks of a struct that its field types cannot say: choices, invariants, siblings."""

from __future__ import annotations

import keyword
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from msgspec import UNSET

from engine.fhir.invariants import BY_TYPE, Together, ends_before_start
from engine.fhir.schema import Element, Type


def attribute_of(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def check_of(found: Type, *, full: bool) -> Callable[[Any], None] | None:
    if not full:
        return _compiled(found)
    checks = [_choice_with_siblings(variants) for variants in found.choices().values()]
    checks += [_together(rule) for rule in _invariants_of(found)]
    if found.name == "Extension":
        checks.append(_extension(found))
    elif found.name == "Period":
        checks.append(_period)
    checks.append(_siblings(found))

    def check(struct: Any) -> None:
        for one in checks:
            one(struct)

    return check


# The checks of a plain struct run for every object of real traffic, so they are written out as
# one function per type. Its text is made of names from the schema alone. They also refuse empty
# objects and references into `contained`: both need a look at the whole tree, which the full
# decoder gives.


def _compiled(found: Type) -> Callable[[Any], None] | None:
    lines = [
        line for variants in found.choices().values() for line in _choice_lines(found, variants)
    ]
    lines += [_together_line(rule) for rule in _invariants_of(found)]
    space: dict[str, Any] = {"U": UNSET, "attrgetter": attrgetter, "period": _period}
    if found.name == "Period":
        lines.append("if s.start is not U and s.end is not U: period(s)")
    if found.name == "Reference":
        lines.append(f"if s.reference is not U and s.reference[0] == '#': {_REFUSE.format('#')}")
    if found.kind != "resource" and not any(e.required for e in found.elements.values()):
        lines.insert(0, _empty_line(found))
    if not lines:
        return None
    head = [line for line in lines if line.startswith("get_")]
    body = [f"    {line}" for line in lines if not line.startswith("get_")]
    exec("\n".join([*head, "def check(s):", *body]), space)  # noqa: S102 - names of the schema
    made: Callable[[Any], None] = space["check"]
    return made


_REFUSE = "raise ValueError({!r})"
_LATE = ("id", "extension", "modifierExtension")


def _empty_line(found: Type) -> str:
    """Return the line that refuses an object without members; what is rarely there comes last."""
    names = [name for name in found.elements if name not in _LATE]
    names += [name for name in _LATE if name in found.elements]
    absent = " and ".join(f"s.{attribute_of(name)} is U" for name in names)
    return f"if {absent}: {_REFUSE.format('empty')}"


def _choice_lines(found: Type, variants: tuple[Element, ...]) -> list[str]:
    names = [attribute_of(element.name) for element in variants]
    choice = str(variants[0].choice).removesuffix("[x]")
    refuse = _REFUSE.format("one variant of a choice")
    if len(names) <= 6:
        count = " + ".join(f"(s.{name} is not U)" for name in names)
        wrong = "!= 1" if variants[0].required else "> 1"
        return [f"if {count} {wrong}: {refuse}"] if len(names) > 1 or variants[0].required else []
    getter = f"get_{choice} = attrgetter({', '.join(map(repr, names))})"
    there = f"n = {len(names)} - get_{choice}(s).count(U)"
    if found.name == "Extension":
        wrong = "n > 1 or (n == 1) is (s.extension is not U)"
    else:
        wrong = "n != 1" if variants[0].required else "n > 1"
    return [getter, there, f"if {wrong}: {refuse}"]


def _together_line(rule: Together) -> str:
    there = [f"s.{attribute_of(name)} is not U" for name in rule.names]
    absent = [f"s.{attribute_of(name)} is U" for name in rule.names]
    if rule.how == "requires":
        wrong = " and ".join([*absent[1:], there[0]])
    elif rule.how == "any":
        wrong = " and ".join(absent)
    else:
        count = " + ".join(f"({name})" for name in there)
        wrong = f"{count} {'> 1' if rule.how == 'excludes' else '!= 1'}"
    return f"if {wrong}: {_REFUSE.format(rule.key)}"


def _choice_with_siblings(variants: tuple[Element, ...]) -> Callable[[Any], None]:
    names = [(attribute_of(element.name), element.is_primitive) for element in variants]
    required = variants[0].required

    def check(struct: Any) -> None:
        there = sum(
            getattr(struct, name) is not UNSET
            or (primitive and getattr(struct, f"{name}__") is not UNSET)
            for name, primitive in names
        )
        if there > 1 or (required and not there):
            raise ValueError("one variant of a choice")

    return check


def _siblings(found: Type) -> Callable[[Any], None]:
    singles = [
        attribute_of(element.name)
        for element in found.elements.values()
        if element.is_primitive and element.required and not element.choice and not element.is_list
    ]
    lists = [
        (attribute_of(element.name), element.required and not element.choice)
        for element in found.elements.values()
        if element.is_primitive and element.is_list
    ]

    def check(struct: Any) -> None:
        for name in singles:
            sibling = getattr(struct, f"{name}__")
            if getattr(struct, name) is UNSET and (sibling is UNSET or sibling.extension is UNSET):
                raise ValueError("a required element is missing")
        for name, required in lists:
            values, beside = getattr(struct, name), getattr(struct, f"{name}__")
            if not _aligned(values, beside) or (required and values is UNSET is beside):
                raise ValueError("values and extensions of a list do not line up")

    return check


def _aligned(values: Any, beside: Any) -> bool:
    if beside is UNSET:
        return values is UNSET or None not in values
    if values is UNSET:
        return None not in beside
    return len(values) == len(beside) and all(
        value is not None or extra is not None for value, extra in zip(values, beside, strict=True)
    )


def _invariants_of(found: Type) -> list[Together]:
    rules = BY_TYPE.get(found.name, ())
    return [rule for rule in rules if all(name in found.elements for name in rule.names)]


def _together(rule: Together) -> Callable[[Any], None]:
    def check(struct: Any) -> None:
        if not rule.holds(lambda name: _present(struct, attribute_of(name))):
            raise ValueError(rule.key)

    return check


def _present(struct: Any, attribute: str) -> bool:
    return (
        getattr(struct, attribute) is not UNSET
        or getattr(struct, f"{attribute}__", UNSET) is not UNSET
    )


def _extension(found: Type) -> Callable[[Any], None]:
    """Return the check that an extension has either a value or extensions (ext-1)."""
    values = [attribute_of(element.name) for element in next(iter(found.choices().values()))]

    def check(struct: Any) -> None:
        there = any(_present(struct, name) for name in values)
        if there == (struct.extension is not UNSET):
            raise ValueError("ext-1")

    return check


def _period(struct: Any) -> None:
    """Refuse a period that ends before it starts (per-1)."""
    start, end = struct.start, struct.end
    if start is UNSET or end is UNSET:
        return
    if ends_before_start(start, end):
        raise ValueError("per-1")
