"""The stage of the analysts' rules: what a rule holds or rejects before any decision is taken."""

from __future__ import annotations

from engine.diagnostics import Diagnostic
from engine.message import Hold, Next, Outcome, Reject, Unit
from engine.road.trip import Trip
from engine.rules.rulebook import FAILED, MET, Rule

HELD = "rule-hold"
"""Why a unit is held that a rule asks a person to look at."""


def rules(unit: Unit, trip: Trip) -> Outcome:
    """Ask every rule about the unit's type; a rule that cannot be computed holds it."""
    asked = trip.project.rules.on_the_road(unit.type)
    if not asked or unit.canonical is None:
        return Next(unit)
    verdicts = [(rule, rule.ask(unit.canonical)) for rule in asked]
    failed = [_uncomputed(rule, unit) for rule, verdict in verdicts if verdict == FAILED]
    broken = [rule for rule, verdict in verdicts if verdict not in (MET, FAILED)]
    refusing = [rule for rule in broken if rule.outcome == "reject"]
    if refusing:
        return Reject(unit, 422, tuple(_broken(rule, unit, "A020") for rule in refusing))
    if broken or failed:
        holding = [_broken(rule, unit, "A021") for rule in broken]
        return Hold(unit, HELD, (*holding, *failed))
    return Next(unit)


def _broken(rule: Rule, unit: Unit, code: str) -> Diagnostic:
    return Diagnostic(code, f"{rule.name}: {rule.message}", path=unit.where)


def _uncomputed(rule: Rule, unit: Unit) -> Diagnostic:
    said = f"The rule '{rule.name}' could not be computed."
    return Diagnostic("A022", said, path=unit.where)
