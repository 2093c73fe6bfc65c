"""A decision's obligations in the form of IHE Privacy Consent on FHIR: ordered residual rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.rules.consent.codings import key_of
from engine.rules.decision import Decision, Obligation

Rule = dict[str, Any]


def residual_rules(decision: Decision) -> list[Rule]:
    """Return the rules left to apply to content, as IHE PCF writes them.

    `permit-only` becomes `{"type": "forbid"}` (everything) followed by a `permit` for each
    alternative, labels of different code systems apart; `redact` becomes a `forbid`. Rules are
    applied in order, the last that matches decides. What content alone cannot express
    (notices, dropped recipients) is left out.
    """
    return [rule for obligation in decision.obligations for rule in _rules(obligation)]


def _rules(obligation: Obligation) -> Iterator[Rule]:
    if obligation["type"] == "redact":
        for match in _alternatives(obligation["match"]):
            yield {"type": "forbid", **match}
    elif obligation["type"] == "permit-only":
        yield {"type": "forbid"}
        for match in _alternatives(obligation["match"]):
            yield {"type": "permit", **match}


def _alternatives(match: Mapping[str, Any]) -> Iterator[Rule]:
    if list(match) == ["any"]:
        for one in match["any"]:
            yield from _alternatives(one)
    elif list(match) == ["securityLabel"]:
        for labels in _by_system(match["securityLabel"]):
            yield {"securityLabel": labels}
    else:
        yield dict(match)


def _by_system(labels: list[Any]) -> list[list[Any]]:
    found: dict[str, list[Any]] = {}
    for label in labels:
        key = key_of(label)
        found.setdefault(key.system if key else "", []).append(label)
    return list(found.values())
