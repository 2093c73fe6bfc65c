"""A recorded decision in plain words, for a privacy officer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.diagnostics import CODES
from engine.ledger import consents
from engine.rules.consent.explain import words_of
from engine.rules.consent.policy import DEFAULT
from engine.store import DecisionRow

_MEANS = {
    "permit": "YES, it may go",
    "deny": "NO, it may not go: a consent denies it, or none can be relied on",
    "no-consent": "NO, it may not go: no consent covers it",
}


def decision_lines(row: DecisionRow, indent: str, when: str) -> Iterator[str]:
    """Yield who asked what, the answer, and what it rests on, provision by provision."""
    code = f" ({row.code})" if row.code else ""
    yield f"{indent}Decision {when}, {row.at}: {row.decision}{code}"
    inner = f"{indent}  "
    yield from (f"{inner}{line}" for line in _answer(row))
    yield from (f"{inner}{line}" for line in _question(row.body))
    for basis in row.body.get("basis", ()):
        where = f", {basis['provision']}" if basis.get("provision") else ""
        yield f"{inner}rests on {basis.get('consent')}{where}: {basis.get('effect')}"
        if basis.get("why"):
            yield f"{inner}  because {basis['why']}"
    yield from (f"{inner}{line}" for line in _others(row))
    for obligation in row.body.get("obligations", ()):
        yield f"{inner}under the obligation {obligation.get('type')}{_detail(obligation)}"
    yield f"{inner}under the policy {policy_words(row.body.get('policy') or {})}"


def _answer(row: DecisionRow) -> Iterator[str]:
    yield _MEANS.get(row.decision, row.decision)
    known = CODES.get(row.code or "")
    if known is not None:
        yield f"the sender was told {row.code}: {known.title}"


def _question(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was asked: about whom, from whom to whom, and what for."""
    asked = body.get("asked") or {}
    if body.get("destination"):
        yield f"asked for the way to {body['destination']}"
    for name, word in (("patient", "about"), ("sender", "from"), ("recipient", "to")):
        if parties := [_party(party) for party in asked.get(name, ())]:
            yield f"{word} {', '.join(parties)}"
    if purposes := [str(one.get("code")) for one in asked.get("purpose", ())]:
        yield f"for the purpose {', '.join(purposes)}"


def _party(party: Mapping[str, Any]) -> str:
    if party.get("reference"):
        return str(party["reference"])
    identifier = party.get("identifier") or {}
    return f"{identifier.get('system', '')}|{identifier.get('value', '')}"


def _others(row: DecisionRow) -> Iterator[str]:
    """Yield each consent and provision that was looked at and is not what the answer rests on."""
    rested = {(one.get("consent"), one.get("provision")) for one in row.body.get("basis", ())}
    whole = {one.get("consent") for one in row.body.get("basis", ())}
    told: dict[str, None] = {}
    for entry in row.body.get("considered", ()):
        consent, provision = entry.get("consent"), entry.get("provision")
        if (consent, provision) in rested or (provision is None and consent in whole):
            continue
        where = f", {provision}" if provision else ""
        applied = "applies" if entry.get("applied") else "does not apply"
        told[f"also looked at {consent}{where}: {applied}, {entry.get('why', '')}".rstrip(", ")] = (
            None
        )
    named = " ".join(told)
    others = [one for one in consents(row) if one not in whole and one not in named]
    yield from told
    if others:
        yield f"also looked at {', '.join(others)}"


def _detail(obligation: Mapping[str, Any]) -> str:
    if isinstance(obligation.get("match"), Mapping):
        return f": {words_of(obligation['match'])}"
    if obligation.get("recipient"):
        return f": {_party(obligation['recipient'])}"
    return f": {obligation['citation']}" if obligation.get("citation") else ""


def policy_words(policy: Mapping[str, Any]) -> str:
    """Name a policy: its version, and every switch that is not at its default."""
    plain = DEFAULT.to_json()
    changed = [
        f"{name} {value}"
        for name, value in policy.items()
        if name != "version" and value != plain.get(name)
    ]
    version = f"version {policy['version']}, " if policy.get("version") else ""
    return version + (", ".join(changed) if changed else "as it comes, every switch at its default")
