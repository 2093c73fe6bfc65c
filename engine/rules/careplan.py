"""The review of plans: what several active plans of one member say that does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from engine.fhir.dates import Interval, interval, moment, overlaps, period
from engine.message import Resource
from engine.rules.agreement import disagreements
from engine.rules.finding import Finding, found
from engine.rules.orders import (
    Order,
    Shelf,
    is_current,
    orders,
    reference_to,
    short,
    target_of,
)
from engine.rules.rulebook import EMPTY, RuleBook, Sides

_GENERIC = frozenset({"assess-plan", "38717003", "734163000"})
"""Category codes that every plan may carry and that tell nothing (US Core's, `care plan`)."""

_EVIDENCE = ("Appointment", "Encounter", "Procedure", "Task", "DiagnosticReport", "Observation")
_NOT_HAPPENING = frozenset(
    {"cancelled", "noshow", "entered-in-error", "not-done", "rejected", "failed", "waitlist"}
)
_DAY = 86_400_000_000
MOST_ORDERS = 200
"""How many orders of one member are compared with each other; a record with more is a mistake."""

MOST_PLANS = 200
"""How many active plans of one member are compared with each other."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what configuration says about a review.

    `grace` is for how many days a prescribed service may be without a sign of being scheduled,
    `titles` names the system that each resource (`CarePlan/1`) came from.
    """

    grace: int = 14
    titles: Mapping[str, str] = field(default_factory=dict)


def review(
    plans: Sequence[Resource],
    related: Sequence[Resource],
    at: str,
    *,
    book: RuleBook = EMPTY,
    settings: Settings | None = None,
) -> list[Finding]:
    """Return what a person should look at in the plans of one member, the same way each time.

    `plans` are the member's canonical CarePlans, `related` the Goals, requests, appointments and
    what else is known; `at` is the instant of the review (RFC 3339).
    """
    return _Review(plans, related, at, book, settings or Settings()).findings()


class _Review:
    """Hold what all checks of one review look at."""

    def __init__(
        self,
        plans: Sequence[Resource],
        related: Sequence[Resource],
        at: str,
        book: RuleBook,
        settings: Settings,
    ) -> None:
        self.at = moment(at)
        self.book = book
        self.settings = settings
        self.related = sorted(related, key=reference_to)
        self.plans = sorted((p for p in plans if self._in_force(p)), key=reference_to)
        self.shelf = Shelf([*related, *plans])
        self.names = {reference_to(plan): _title(plan) for plan in self.plans}
        self.orders = orders(self.plans, self.shelf)
        self.compared_plans = self.plans[:MOST_PLANS]
        self.compared_orders = self.orders[:MOST_ORDERS]

    def findings(self) -> list[Finding]:
        checks = (
            self.overlapping,
            self.compared,
            self.contradicting,
            self.unscheduled,
            self.goals_alone,
            self.activities_alone,
            self.left_out,
        )
        every = (finding for check in checks for finding in check())
        unique = {finding.identity: finding for finding in every}
        return [unique[identity] for identity in sorted(unique)]

    def _in_force(self, plan: Resource) -> bool:
        if not is_current(plan):
            return False
        lasts = period(plan.get("period"))
        return lasts is None or self.at is None or lasts[1] is None or lasts[1] > self.at[0]

    # --- plans ---------------------------------------------------------------------------------

    def overlapping(self) -> Iterator[Finding]:
        read = [
            (plan, _subjects(plan, self.shelf), period(plan.get("period")))
            for plan in self.compared_plans
        ]
        for (one, subjects, lasts), (other, others, lasts_too) in combinations(read, 2):
            shared = subjects.keys() & others.keys()
            if not shared or not _meet_in_time(lasts, lasts_too) or _belong_together(one, other):
                continue
            about = min(shared)
            kind = "of the category" if about.startswith("category") else "for"
            what = f"{kind} “{subjects[about]}”"
            references = (reference_to(one), reference_to(other))
            first, second = (self.where(reference) for reference in references)
            replaced = _replaces(one, other) or _replaces(other, one)
            more = (
                " One says that it replaces the other, which is still active." if replaced else ""
            )
            yield found(
                "plan-overlap",
                f"Two active plans {what} run at the same time: {first} and {second}.{more}",
                references,
                about="" if about.startswith("category") else about,
            )

    def where(self, reference: str) -> str:
        """Return what a person would call a resource, and whose it is."""
        name = self.names.get(reference) or _KINDS.get(reference.partition("/")[0], "a request")
        title = self.settings.titles.get(reference)
        return f"{name} ({title})" if title else name

    # --- orders --------------------------------------------------------------------------------

    def compared(self) -> Iterator[Finding]:
        for one, other in self._same():
            if one.prohibited or other.prohibited:
                if one.prohibited != other.prohibited:
                    yield self._forbidden(one, other)
                continue
            differing = list(self._differing(one, other))
            yield from differing
            if not differing and not _one_for_the_other(one, other):
                yield self._twice(one, other)

    def _same(self) -> Iterator[tuple[Order, Order]]:
        for one, other in combinations(self.compared_orders, 2):
            if one.identity is not None and one.identity == other.identity:
                continue
            if one.same_thing(other) and _meet_in_time(one.lasts, other.lasts):
                yield one, other

    def _differing(self, one: Order, other: Order) -> Iterator[Finding]:
        if one.holder == other.holder:
            return
        for code, first, second in disagreements(one, other):
            yield found(
                code,
                f"{one.name}: {first} in {self.where(one.holder)}, "
                f"{second} in {self.where(other.holder)}.",
                self._evidence(one, other),
                about=one.label(other),
            )

    def _twice(self, one: Order, other: Order) -> Finding:
        places = f"in {self.where(one.holder)} and in {self.where(other.holder)}"
        if one.holder == other.holder:
            places = f"twice in {self.where(one.holder)}"
        reason = f"{one.name} stands {places}."
        evidence = self._evidence(one, other)
        return found("activity-duplicate", reason, evidence, about=one.label(other))

    def _forbidden(self, one: Order, other: Order) -> Finding:
        no, yes = (one, other) if one.prohibited else (other, one)
        return found(
            "activity-contradiction",
            f"{yes.name} is asked for in {self.where(yes.holder)}, and must not be done according "
            f"to {self.where(no.holder)}.",
            self._evidence(one, other),
            about=f"prohibited {one.label(other)}",
        )

    def _evidence(self, *sides: Order) -> list[str]:
        identities = (side.identity for side in sides)
        own = [each for each in identities if each and "#" not in each]
        return [*(side.holder for side in sides), *own]

    def contradicting(self) -> Iterator[Finding]:
        asked = [order for order in self.compared_orders if not order.prohibited]
        for rule in self.book.contradictions:
            sides = [rule.sides(order.tree) for order in asked]
            for order, side in zip(asked, sides, strict=True):
                if side is None:
                    yield _uncomputed(rule.name, self._evidence(order))
            for (one, first), (other, second) in combinations(zip(asked, sides, strict=True), 2):
                if not _against(first, second) or not _meet_in_time(one.lasts, other.lasts):
                    continue
                yield found(
                    "activity-contradiction",
                    f"{rule.message} ({one.name} in {self.where(one.holder)}, {other.name} in "
                    f"{self.where(other.holder)}.)",
                    self._evidence(one, other),
                    about=f"rule {rule.name} {' '.join(sorted((one.words, other.words)))}",
                    gravity=rule.gravity,
                    outcome=rule.outcome,
                )

    def left_out(self) -> Iterator[Finding]:
        """Tell of what is more than is compared: of that nobody knows whether it goes together."""
        holders = [order.holder for order in self.orders[MOST_ORDERS:]]
        left = {*holders, *map(reference_to, self.plans[MOST_PLANS:])}
        if left:
            yield found(
                "not-compared",
                f"There are more than {MOST_PLANS} active plans, or {MOST_ORDERS} activities and "
                "requests. What is implicated here was not compared with all others, or only in "
                "part: too much is active, or records of several people were taken for one's.",
                left,
                grows=True,
            )

    # --- scheduling ----------------------------------------------------------------------------

    def unscheduled(self) -> Iterator[Finding]:
        done = self._happening()
        codes = {code for resource in self._signs() for code in _coded(resource)}
        for order in self.orders:
            if order.type != "ServiceRequest" or order.prohibited or order.seen:
                continue
            started = self._asked_at(order)
            if started is None or self.at is None or self.at[0] - started < self._grace:
                continue
            if {order.identity} & done or order.codes & codes:
                continue
            yield found(
                "not-scheduled",
                f"{order.name} was prescribed in {self.where(order.holder)} more than "
                f"{self.settings.grace} days ago, and nothing shows that it was scheduled.",
                self._evidence(order),
                about=min((f"{s}|{c}" for s, c in order.codes), default=order.words),
            )

    @property
    def _grace(self) -> int:
        return self.settings.grace * _DAY

    def _signs(self) -> Iterator[Resource]:
        for resource in self.related:
            happening = resource.get("status") not in _NOT_HAPPENING
            if happening and resource.get("resourceType") in _EVIDENCE:
                yield resource

    def _happening(self) -> set[str | None]:
        """Return the requests that an appointment, visit, procedure or task answers."""
        return {
            target_of(reference)
            for resource in self._signs()
            for element in ("basedOn", "focus")
            for reference in _references(resource.get(element))
        }

    def _asked_at(self, order: Order) -> int | None:
        """Return when an order was given; what gives no date is taken for old by nobody."""
        holder = self.shelf.by_reference.get(order.holder, {})
        plan_start = (holder.get("period") or {}).get("start")
        for text in (order.tree.get("authoredOn"), plan_start, holder.get("created")):
            if isinstance(text, str) and (known := interval(text)):
                return known[0]
        return None

    # --- goals ---------------------------------------------------------------------------------

    def goals_alone(self) -> Iterator[Finding]:
        served = {goal for order in self.orders for goal in order.goals}
        aimless = {order.holder for order in self.orders if not order.goals}
        listed = {target_of(r): plan for plan in self.plans for r in plan.get("goal") or ()}
        for reference, plan in sorted(listed.items(), key=lambda pair: pair[0]):
            goal = self.shelf.find({"reference": reference}, plan)
            if reference in served or not reference or not _pursued(goal):
                continue
            if reference_to(plan) in aimless:
                continue  # this plan does not say which activity serves which goal
            yield _goal_alone(goal, reference, [reference_to(plan)], self.where(reference_to(plan)))
        goals = (each for each in self.related if each.get("resourceType") == "Goal")
        for goal in goals if self.plans else ():
            reference = reference_to(goal)
            if reference not in listed and reference not in served and _pursued(goal):
                yield _goal_alone(goal, reference, [], "any plan")

    def activities_alone(self) -> Iterator[Finding]:
        held: dict[str, list[Order]] = {}
        for order in self.orders:
            held.setdefault(order.holder, []).append(order)
        for plan in self.plans:
            reference = reference_to(plan)
            own = held.get(reference, [])
            linked = any(order.goals for order in own)
            aimless = [order for order in own if not order.goals] if linked else own
            if aimless and (linked or not plan.get("goal")):
                named = ", ".join(dict.fromkeys(order.name for order in aimless[:5]))
                yield found(
                    "activity-without-goal",
                    f"{self.where(reference)} has activities that serve no stated goal: {named}.",
                    [reference],
                )


_KINDS = {
    "CarePlan": "a plan",
    "ServiceRequest": "a service request",
    "MedicationRequest": "a medication request",
    "NutritionOrder": "a nutrition order",
    "DeviceRequest": "a device request",
}


def _title(plan: Resource) -> str:
    named = plan.get("title") or plan.get("description")
    return f"“{short(str(named), 60)}”" if named else ""


def _subjects(plan: Resource, shelf: Shelf) -> dict[str, str]:
    """Return what a plan is for, by key: its categories, and the conditions that it addresses."""
    found_: dict[str, str] = {}
    for category in plan.get("category") or ():
        _add(found_, "category", category)
    for reference in plan.get("addresses") or ():
        target = target_of(reference)
        condition = shelf.find(reference, plan)
        if condition is not None:
            _add(found_, "condition", condition.get("code") or {})
        elif target and not target.startswith("#"):
            found_[f"condition {target}"] = short(str(reference.get("display") or "one condition"))
    return found_


def _add(into: dict[str, str], kind: str, concept: Mapping[str, Any]) -> None:
    codings = [c for c in concept.get("coding") or () if c.get("code") not in _GENERIC]
    name = concept.get("text") or next((c["display"] for c in codings if c.get("display")), None)
    for coding in codings:
        key = f"{kind} {coding.get('system', '')}|{coding.get('code', '')}"
        into[key] = short(str(name or coding.get("code")))
    if not concept.get("coding") and name:
        into[f"{kind} {str(name).casefold()}"] = short(str(name))


def _meet_in_time(one: Interval | None, other: Interval | None) -> bool:
    """Tell whether two periods have a moment in common; what has none lasts for ever."""
    return one is None or other is None or overlaps(one, other)


def _belong_together(one: Resource, other: Resource) -> bool:
    """Tell whether one plan is part of the other."""
    parts = (one, "partOf", other), (other, "partOf", one), (one, "basedOn", other)
    return any(_points(*each) for each in (*parts, (other, "basedOn", one)))


def _replaces(one: Resource, other: Resource) -> bool:
    return _points(one, "replaces", other)


def _points(one: Resource, element: str, other: Resource) -> bool:
    return any(target_of(r) == reference_to(other) for r in one.get(element) or ())


def _one_for_the_other(one: Order, other: Order) -> bool:
    """Tell whether one order carries out the other: a request based on a plan, and its activity."""
    return one.holder != other.holder and (one.holder in other.plans or other.holder in one.plans)


def _against(first: Sides | None, second: Sides | None) -> bool:
    """Tell whether one order is what a rule calls one side, and the other its other side."""
    if first is None or second is None:
        return False
    return (first[0] and second[1]) or (first[1] and second[0])


def _references(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _coded(resource: Resource) -> Iterator[tuple[str, str]]:
    concepts = [*_references(resource.get("serviceType")), *_references(resource.get("code"))]
    for concept in concepts:
        for coding in (concept or {}).get("coding") or ():
            if coding.get("system") and coding.get("code"):
                yield str(coding["system"]), str(coding["code"])


def _pursued(goal: Resource | None) -> bool:
    return goal is not None and goal.get("lifecycleStatus") in (
        "planned", "accepted", "active", "on-hold",
    )  # fmt: skip


def _goal_alone(goal: Resource | None, reference: str, plans: Sequence[str], where: str) -> Finding:
    said = ((goal or {}).get("description") or {}).get("text") or "A goal"
    reason = f"“{short(str(said))}” is a goal that no activity of {where} serves."
    own = [] if reference.startswith("#") else [reference]
    about = reference if reference.startswith("#") else ""
    return found("goal-without-activity", reason, [*plans, *own], about=about)


def _uncomputed(name: str, evidence: Sequence[str]) -> Finding:
    return found(
        "rule",
        f"The rule “{name}” could not be computed here; a person has to look instead.",
        evidence,
        about=f"failed {name}",
        outcome="hold",
    )
