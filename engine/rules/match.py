"""Whether a part of content falls under the match of an obligation: yes, no, or untold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from engine.fhir.dates import Interval, covers, overlaps, period
from engine.fhir.references import split_reference
from engine.rules.consent.codings import ACT_CODE, CONFIDENTIALITY, RESOURCE_TYPES
from engine.rules.consent.policy import DEFAULT, Policy
from engine.rules.content import Part
from engine.rules.elements import Age, reference_names
from engine.rules.security_label import (
    RANK,
    Label,
    ancestors,
    confidentiality,
    label_of,
)

Truth = bool | None
"""Matches, does not match, or None: nothing says."""

Side = Literal["remove", "keep"]
"""What a match does to what it covers; inside `not` the two change places."""


def matches(part: Part, match: Mapping[str, Any], side: Side, policy: Policy = DEFAULT) -> Truth:
    """Tell whether a part falls under a match (the grammar of `engine.rules.decision`).

    All criteria must hold, one value of each is enough. What cannot be told is None, so that it
    is removed by a `redact` and not kept by a `permit-only`; only where content has no label and
    `policy.unlabelled` is `pass` does it count as what keeps it.
    """
    return _every(_criterion(part, key, value, side, policy) for key, value in match.items())


def _criterion(part: Part, key: str, value: Any, side: Side, policy: Policy) -> Truth:
    match key:
        case "securityLabel":
            return _labels(part, _pairs(value), side, policy, exact=False)
        case "securityLabelIn":
            return _labels(part, _pairs(value), side, policy, exact=True)
        case "class":
            return _some(_class(part, one, side) for one in _pairs(value))
        case "code":
            return _some(_code(part, one) for one in _pairs(value))
        case "dataPeriod":
            return _age(part, value, policy.zone)
        case "data":
            return _some(_data(part, one, side) for one in _listed(value))
        case "any":
            return _some(matches(part, one, side, policy) for one in value)
        case "all":
            return _every(matches(part, one, side, policy) for one in value)
        case "not":
            other: Side = "keep" if side == "remove" else "remove"
            return _negated(_some(matches(part, one, other, policy) for one in value))
    return None


def _some(truths: Iterable[Truth]) -> Truth:
    found = list(truths)
    if True in found:
        return True
    return None if None in found else False


def _every(truths: Iterable[Truth]) -> Truth:
    return _negated(_some(_negated(truth) for truth in truths))


def _negated(truth: Truth) -> Truth:
    return None if truth is None else not truth


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]


def _pairs(value: Any) -> list[Label]:
    """Return codings, given as Coding, CodeableConcept or lists of either."""
    pairs: list[Label] = []
    for one in _listed(value):
        if isinstance(one, Mapping) and isinstance(one.get("coding"), Sequence):
            pairs.extend(_pairs(one["coding"]))
        elif isinstance(one, Mapping):
            pairs.append(label_of(one))
    return pairs


def _labels(
    part: Part, asked: Sequence[Label], side: Side, policy: Policy, *, exact: bool
) -> Truth:
    levels = [code for system, code in asked if system == CONFIDENTIALITY]
    kinds = [label for label in asked if label[0] != CONFIDENTIALITY]
    truths = [_level(part, levels, side, exact=exact)] if levels else []
    if kinds:
        truths.append(_kinds(part, kinds, side))
    truth = _some(truths)
    if truth is None and policy.unlabelled == "pass":
        return side == "keep"
    return truth


def _level(part: Part, asked: Sequence[str], side: Side, *, exact: bool) -> Truth:
    highest = confidentiality(part.labels)
    if highest is None or any(code not in RANK for code in asked):
        return None
    if exact:
        return highest in asked
    ranks = [RANK[code] for code in asked]
    return RANK[highest] >= min(ranks) if side == "remove" else RANK[highest] <= max(ranks)


def _kinds(part: Part, asked: Sequence[Label], side: Side) -> Truth:
    if not part.labels:
        return None
    own = [label for label in part.labels if label[0] != CONFIDENTIALITY]
    truths = [_some(_is_kind(label, one) for one in asked) for label in own]
    if side == "remove":
        return _some(truths)
    return bool(own) and _every(truths)


def _is_kind(own: Label, asked: Label) -> Truth:
    covered = asked[1] in ancestors(own[1])
    if own[0] == asked[0]:
        return covered if asked[0] == ACT_CODE else own[1] == asked[1]
    return None if covered and not (own[0] and asked[0]) else False


def _class(part: Part, asked: Label, side: Side) -> Truth:
    """Tell whether content is of a class; a class of its carrier removes, and does not keep it."""
    classes = part.classes | part.envelope if side == "remove" else part.classes
    system, code = asked
    if asked in classes:
        return True
    if not system:
        return None if any(code == name for _, name in classes) else False
    return system.startswith("http://hl7.org/fhir/") and (RESOURCE_TYPES, code) in classes


def _code(part: Part, asked: Label) -> Truth:
    if asked in part.codes:
        return True
    system, code = asked
    if any(name == code and (not own or not system) for own, name in part.codes):
        return None
    return False if part.codes else None


def _data(part: Part, asked: Any, side: Side) -> Truth:
    reference = asked.get("reference") if isinstance(asked, Mapping) else None
    if not isinstance(reference, Mapping):
        return None
    names = frozenset(reference_names(reference))
    if not names:
        return None
    match asked.get("meaning"):
        case "instance":
            return _meet(names, part.names, side)
        case "authoredby":
            return _meet(names, part.authors, side) if part.authors else None
        case "related" | "dependents":
            if _meet(names, part.names | part.links, side):
                return True
            return None if side == "remove" and part.opaque and part.links else False
    return None


def _meet(asked: frozenset[str], known: frozenset[str], side: Side) -> bool:
    """Tell whether two sets of names name one thing.

    A relative and an absolute reference that end alike may do so: enough to remove, not to keep.
    """
    if side == "keep":
        return not asked.isdisjoint(known)
    return not set(map(_tail, asked)).isdisjoint(map(_tail, known))


def _tail(name: str) -> str | tuple[str, str]:
    return name if "|" in name else split_reference(name) or name


def _age(part: Part, asked: Any, zone: str) -> Truth:
    """Tell whether content is of a period: all of it is, none of it is, or it cannot be told."""
    wanted = period(asked, zone)
    if wanted is None or not part.ages:
        return None
    truths = {_within(age, wanted, zone) for age in part.ages}
    return truths.pop() if len(truths) == 1 else None


def _within(age: Age, wanted: Interval, zone: str) -> Truth:
    start, end = age
    content = period({"start": start, "end": end}, zone)
    if content is None:
        return None
    if not overlaps(content, wanted):
        return False
    return True if covers(wanted, content) else None
