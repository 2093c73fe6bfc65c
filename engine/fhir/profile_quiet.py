"""Whether a profile has anything to say of a resource: mostly not, and that is told much faster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.fhir.profile_checks import (
    Matcher,
    Node,
    Scope,
    among,
    both,
    json_names,
    matching,
    slices_of,
    targets_of,
)
from engine.fhir.references import reference_type


def compile_quiet(node: Node, scope: Scope) -> Matcher:
    """Return what tells that the check of a node would report nothing, must-support left aside.

    It is compiled on first use and kept. Where it says no, only the check knows whether there is
    anything to report: what is rare is not looked at here.
    """
    if node.quiet is None:
        node.quiet = both(*_looks(node, scope))
    return node.quiet


def _looks(node: Node, scope: Scope, is_told: bool = False) -> Iterator[Matcher]:
    """Yield what looks at a value of a node; `is_told`: it is known to be what the node fixes."""
    fixed, pattern = node.starting("fixed"), node.starting("pattern")
    if fixed is not None and not is_told:
        yield lambda value: bool(value == fixed)
    if pattern is not None and not is_told:
        yield matching(pattern)
    codes, targets = scope.bound(node), targets_of(node, scope)
    if codes is not None:
        yield among(codes)
    if targets:
        yield _pointing_to(targets)
    if any(isinstance(one, dict) for one in node.definition.get("constraint", ())):
        yield _unknown
    for child in node.children:
        look = _member(child, scope)
        if look is not None:
            yield look


def _unknown(value: Any) -> bool:
    """Be the look at what only the check can tell."""
    return False


def _pointing_to(targets: frozenset[str]) -> Matcher:
    def is_quiet(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        literal = value.get("reference")
        if isinstance(literal, str) and "type" not in value:
            head, slash, _ = literal.partition("/")
            if slash and head in targets:
                return True
        return reference_type(value) in (None, *targets)

    return is_quiet


def _member(node: Node, scope: Scope) -> Matcher | None:
    """Return the look at one element of an object, or None where nothing is asked of it."""
    names = json_names(node, scope)
    looks = tuple(_looks(node, scope))
    sliced = tuple(slices_of(node, scope))
    slices = tuple(_slice(*found, scope) for found in sliced)
    of_slices = both(*slices)
    least, most = node.min, node.max
    if not (looks or slices or least) and most is None:
        return None
    inner = both(*looks)
    may_be_absent = not least and not any(found.min for found, _, _ in sliced)
    if len(names) > 1:
        every = frozenset(names) | {f"_{name}" for name in names}
        return lambda value: may_be_absent and isinstance(value, dict) and every.isdisjoint(value)
    closed = bool(slices) and (node.definition.get("slicing") or {}).get("rules") == "closed"
    name, beside = names[0], f"_{names[0]}"

    def is_quiet(value: Any) -> bool:
        if not isinstance(value, dict) or beside in value:
            return False
        found = value.get(name)
        if found is None:
            return may_be_absent
        items = found if isinstance(found, list) else (found,)
        if closed or not items or len(items) < least or (most is not None and len(items) > most):
            return False
        for item in items:
            if item is None or not inner(item):
                return False
        return of_slices(items)

    return is_quiet


def _slice(node: Node, is_in: Matcher, is_told: bool, scope: Scope) -> Matcher:
    """Return the look at all values of a sliced element, for one of its slices."""
    inner = both(*_looks(node, scope, is_told))
    least, most = node.min, node.max

    def is_quiet(items: Any) -> bool:
        taken = 0
        for item in items:
            if is_in(item):
                taken += 1
                if not inner(item):
                    return False
        return taken >= least and (most is None or taken <= most)

    return is_quiet
