"""The rules that analysts wrote, checked and compiled: what each says, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from engine.diagnostics import Place
from engine.rules.expression import BudgetSpent, Expression
from engine.rules.finding import Gravity

Sides = tuple[bool, bool]
"""Whether an order is the one, and whether it is the other, of a contradiction."""

Outcome = Literal["warn", "hold", "reject", "task"]

GROUPS = (
    "behavioral health",
    "physical health",
    "specialty",
    "therapy",
    "educational and community supports",
    "family",
)
"""The guide's six groups of people who coordinate care."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Say how a rule turned out: met, broken, or failed (it could not be computed)."""

    state: Literal["met", "broken", "failed"]


MET, BROKEN, FAILED = Verdict("met"), Verdict("broken"), Verdict("failed")


@dataclass(frozen=True, slots=True)
class Rule:
    """Check one resource: where `when` holds, `check` must be true."""

    name: str
    place: Place
    types: tuple[str, ...]
    when: Expression | None
    check: Expression
    outcome: Outcome
    message: str
    gravity: Gravity = "moderate"

    @property
    def on_the_road(self) -> bool:
        """Tell whether the rule stops a resource, rather than telling about it afterwards."""
        return self.outcome in ("hold", "reject")

    def ask(self, resource: Mapping[str, Any]) -> Verdict:
        """Judge one resource; a rule that crashes or takes too long has failed, and met nothing."""
        try:
            if self.when is not None and not self.when.holds(resource):
                return MET
            return MET if self.check.holds(resource) else BROKEN
        except (Exception, BudgetSpent):  # whatever the library raises, the rule fails safe
            return FAILED


@dataclass(frozen=True, slots=True)
class Side:
    """Describe one of two orders that do not go together."""

    types: tuple[str, ...]
    path: Expression

    def fits(self, order: Mapping[str, Any]) -> bool:
        return order["resourceType"] in self.types and self.path.held(order)


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Say which two orders of one member work against each other."""

    name: str
    place: Place
    one: Side
    other: Side
    message: str
    outcome: Outcome | None = None
    gravity: Gravity = "high"

    def sides(self, order: Mapping[str, Any]) -> Sides | None:
        """Tell whether an order is the one, the other, or neither; None where that fails."""
        try:
            return self.one.fits(order), self.other.fits(order)
        except (Exception, BudgetSpent):  # as in Rule.ask
            return None


@dataclass(frozen=True, slots=True)
class Need:
    """Say which group of the team an order calls for."""

    name: str
    place: Place
    group: str
    types: tuple[str, ...]
    when: Expression
    message: str
    outcome: Outcome | None = None

    def ask(self, resource: Mapping[str, Any]) -> Verdict:
        """Judge one plan or order: BROKEN means that it does need the group."""
        try:
            fits = resource["resourceType"] in self.types and self.when.held(resource)
        except (Exception, BudgetSpent):  # as in Rule.ask
            return FAILED
        return BROKEN if fits else MET


@dataclass(frozen=True, slots=True)
class RuleBook:
    """Hold every rule of a project."""

    rules: Sequence[Rule] = ()
    contradictions: Sequence[Contradiction] = ()
    needs: Sequence[Need] = ()
    _road: Mapping[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)
    _watch: Mapping[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_road", _by_type(r for r in self.rules if r.on_the_road))
        object.__setattr__(self, "_watch", _by_type(r for r in self.rules if not r.on_the_road))

    def on_the_road(self, type_name: str) -> tuple[Rule, ...]:
        """Return the rules that may hold or reject a resource of this type."""
        return self._road.get(type_name, ())

    def watching(self, type_name: str) -> tuple[Rule, ...]:
        """Return the rules that tell about a resource of this type after it was accepted."""
        return self._watch.get(type_name, ())

    @property
    def watched_types(self) -> frozenset[str]:
        return frozenset(self._watch)

    @property
    def everything(self) -> tuple[Rule | Contradiction | Need, ...]:
        return (*self.rules, *self.contradictions, *self.needs)


def _by_type(rules: Any) -> dict[str, tuple[Rule, ...]]:
    found: dict[str, tuple[Rule, ...]] = {}
    for rule in rules:
        for type_name in rule.types:
            found[type_name] = (*found.get(type_name, ()), rule)
    return found


EMPTY = RuleBook()
"""No rules at all."""
