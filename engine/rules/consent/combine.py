"""Several consents together: which of their permits and denies hold, and what is left to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.rules.consent.evaluate import Deny, Finding, Match, Permit
from engine.rules.decision import Obligation

_MERGED = frozenset({"securityLabel", "class", "code", "data"})


class Ground:
    """Hold the permits and denies that hold together: kept is what one permits and none denies.

    `refused` says that something denies everything; a deny that is wholly excepted denies nothing.
    """

    __slots__ = ("denies", "findings", "permits", "refused")

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        self.permits: list[Permit] = [permit for finding in findings for permit in finding.permits]
        self.denies: list[Deny] = [
            deny for one in findings for deny in one.denies if {} not in deny.exceptions
        ]
        self.refused = any(deny.total for deny in self.denies)


def grounds(findings: Sequence[Finding], combine: str) -> list[Ground]:
    """Return the alternatives on which a permit may rest, by the policy's `combine`."""
    applying = [finding for finding in findings if finding.applies]
    if combine == "newest":
        return [Ground(_newest(applying))]
    if combine == "any-permit":
        alone = [Ground([finding]) for finding in applying]
        able = [ground for ground in alone if ground.permits and not ground.refused]
        return able or [Ground(applying)]
    return [Ground(applying)]


def _newest(applying: Sequence[Finding]) -> list[Finding]:
    """Return the findings that no other is certainly later than; without date only denies hold."""
    dates = [finding.consent.signed for finding in applying]
    latest = max((date[0] for date in dates if date), default=None)
    found = []
    for finding in applying:
        signed = finding.consent.signed
        if signed is None:
            if len(applying) > 1:
                finding.permits = []
            found.append(finding)
        elif latest is not None and latest < signed[1]:
            found.append(finding)
    return found


def obligations(ground: Sequence[Ground]) -> list[Obligation]:
    """Return what must be taken out of content so that only the permitted leaves."""
    if len(ground) == 1:
        return _of_one(ground[0])
    kept = _unique(_expression(one) for one in ground)
    if {} in kept:
        return []
    return [{"type": "permit-only", "match": _any(kept)}]


def _of_one(ground: Ground) -> list[Obligation]:
    found: list[Obligation] = []
    kept = _kept(ground)
    if {} not in kept:
        found += _keep(kept)
    for deny in ground.denies:
        if deny.exceptions and not deny.match:
            found += _keep(_unique(_merge(deny.exceptions)))
        else:
            found.append({"type": "redact", "match": _denied(deny)})
    return _in_order(found)


def _keep(kept: Sequence[Match]) -> list[Obligation]:
    """Write "only these"; a single "all but those" is written as a redaction."""
    if len(kept) == 1 and "not" in kept[0]:
        rest = {name: stated for name, stated in kept[0].items() if name != "not"}
        removed: list[Obligation] = [{"type": "redact", "match": match} for match in kept[0]["not"]]
        return [*([{"type": "permit-only", "match": rest}] if rest else []), *removed]
    return [{"type": "permit-only", "match": _any(kept)}]


def _kept(ground: Ground) -> list[Match]:
    """Return what is permitted, consent by consent: two halves are never joined to a whole."""
    return _unique(
        match
        for finding in ground.findings
        for match in _merge([permit.match for permit in finding.permits])
    )


def _expression(ground: Ground) -> Match:
    kept = _kept(ground)
    match: Match = {} if {} in kept else _any(kept)
    removed = [_denied(deny) for deny in ground.denies]
    return _and_not(match, removed) if removed else match


def _denied(deny: Deny) -> Match:
    return _and_not(deny.match, _merge(deny.exceptions)) if deny.exceptions else deny.match


def _and_not(match: Match, removed: Sequence[Match]) -> Match:
    return {**match, "not": [*match.get("not", ()), *removed]}


def _any(kept: Sequence[Match]) -> Match:
    return kept[0] if len(kept) == 1 else {"any": list(kept)}


def _merge(matches: Iterable[Match]) -> list[Match]:
    """Join what states one and the same criterion: its values are alternatives anyway."""
    matches = list(matches)
    if len(matches) == 1:
        return matches
    merged: dict[str, list[Any]] = {}
    rest: list[Match] = []
    for match in matches:
        name = next(iter(match), "")
        if len(match) == 1 and name in _MERGED:
            values = merged.setdefault(name, [])
            values += [value for value in match[name] if value not in values]
        else:
            rest.append(match)
    return [*({name: values} for name, values in merged.items()), *rest]


def _unique(matches: Iterable[Match]) -> list[Match]:
    found: list[Match] = []
    for match in matches:
        if match not in found:
            found.append(match)
    return sorted(found, key=_text) if len(found) > 1 else found


def _in_order(found: Sequence[Obligation]) -> list[Obligation]:
    """Put "only" before "not", each kind in an order that arrival does not change."""
    if len(found) < 2:
        return list(found)
    unique: list[Obligation] = []
    for one in found:
        if one not in unique:
            unique.append(one)
    return sorted(unique, key=lambda one: (one["type"] != "permit-only", _text(one)))


def _text(value: Any) -> str:
    return repr(value)
