"""What plans and requests ask for, one shape for all: an order with its codes, rate and amount."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.fhir.dates import Interval, period
from engine.message import Resource
from engine.rules.quantity import Amount, amount_of
from engine.rules.timing import Rate, Span, course_of, rate_of, session_of

REQUESTS = frozenset({"ServiceRequest", "MedicationRequest", "NutritionOrder", "DeviceRequest"})
"""The types that ask for a service or medication."""

OVER = frozenset(
    {"completed", "cancelled", "stopped", "revoked", "entered-in-error", "ended", "rejected"}
)
"""Statuses of what asks for nothing any more."""

_ASKING = frozenset({"proposal", "option"})
_LONGEST_NAME = 80

Code = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """Hold one thing that is asked for.

    `holder` is the reference of the plan or request that asks, `identity` that of the request
    itself where there is one, `name` what to call it, `words` the same to compare by, `tree` the
    request that it stands for, as rules read it. `plans` are the plans that it is part of.
    """

    holder: str
    name: str
    words: str
    codes: frozenset[Code]
    tree: Resource
    status: str
    identity: str | None = None
    plans: frozenset[str] = frozenset()
    prohibited: bool = False
    rate: Rate | None = None
    session: Span | None = None
    course: Span | None = None
    amount: Amount | None = None
    lasts: Interval | None = None
    goals: tuple[str, ...] = ()
    seen: bool = False

    @property
    def type(self) -> str:
        return str(self.tree["resourceType"])

    def same_thing(self, other: Order) -> bool:
        """Tell whether both ask for the same: a code in common, or else the same words."""
        if self.codes and other.codes:
            return bool(self.codes & other.codes)
        return bool(self.words) and self.words == other.words

    def label(self, other: Order) -> str:
        """Return what tells this pair of orders from other pairs: a code, else words."""
        shared = sorted(self.codes & other.codes)
        return f"{shared[0][0]}|{shared[0][1]}" if shared else self.words


class Shelf:
    """Find the member's resources by their canonical references."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.by_reference = {reference_to(each): each for each in resources}

    def find(self, reference: Any, inside: Resource | None = None) -> Resource | None:
        """Return what a Reference leads to; `inside` is the resource that may contain it."""
        target = target_of(reference)
        if target.startswith("#") and inside is not None:
            contained = inside.get("contained") or ()
            return next((each for each in contained if f"#{each.get('id')}" == target), None)
        return self.by_reference.get(target)


def reference_to(resource: Mapping[str, Any]) -> str:
    """Return the canonical reference of a resource."""
    return f"{resource.get('resourceType')}/{resource.get('id')}"


def target_of(reference: Any) -> str:
    """Return what a Reference says literally, without version; empty where it says nothing."""
    target = reference.get("reference") if isinstance(reference, Mapping) else None
    return target.partition("/_history/")[0] if isinstance(target, str) else ""


def is_current(resource: Mapping[str, Any]) -> bool:
    """Tell whether a plan, team or request is in force."""
    return resource.get("status") == "active" and resource.get("intent") not in _ASKING


def orders(plans: Sequence[Resource], shelf: Shelf) -> list[Order]:
    """Return everything that the active plans, and active requests beside them, ask for."""
    asked = [order for plan in plans if is_current(plan) for order in _of_plan(plan, shelf)]
    named = {order.identity for order in asked}
    for reference, resource in sorted(shelf.by_reference.items()):
        alone = resource.get("resourceType") in REQUESTS and reference not in named
        if alone and is_current(resource):
            asked.append(_of_request(resource, reference, reference))
    return asked


def _of_plan(plan: Resource, shelf: Shelf) -> Iterator[Order]:
    holder = reference_to(plan)
    for activity in plan.get("activity") or ():
        target = shelf.find(activity.get("reference"), plan)
        if target is not None and target.get("resourceType") in REQUESTS:
            if is_current(target):
                literal = target_of(activity["reference"])
                identity = f"{holder}{literal}" if literal.startswith("#") else literal
                seen = bool(activity.get("outcomeReference") or activity.get("progress"))
                yield _of_request(target, holder, identity, plan=holder, seen=seen)
        elif isinstance(activity.get("detail"), Mapping):
            order = _of_detail(activity, plan, holder)
            if order.status not in OVER:
                yield order


def _of_detail(activity: Mapping[str, Any], plan: Resource, holder: str) -> Order:
    detail = activity["detail"]
    concept = detail.get("code") or detail.get("productCodeableConcept") or {}
    timing = detail.get("scheduledTiming") or detail.get("scheduledString")
    name = _name(concept, detail.get("description"))
    return Order(
        holder=holder,
        name=name,
        words=_folded(name),
        codes=_codes(concept),
        tree=_as_request(detail, concept, plan),
        status=str(detail.get("status", "unknown")),
        plans=frozenset({holder}),
        prohibited=detail.get("doNotPerform") is True,
        rate=rate_of(timing),
        session=session_of(timing),
        course=course_of(timing),
        amount=amount_of(detail.get("quantity")) or _of_a_day(amount_of(detail.get("dailyAmount"))),
        lasts=period(detail.get("scheduledPeriod")) or period(plan.get("period")),
        goals=tuple(filter(None, map(target_of, detail.get("goal") or ()))),
        seen=bool(activity.get("outcomeReference") or activity.get("progress"))
        or detail.get("status") in ("scheduled", "in-progress")
        or bool(detail.get("scheduledPeriod")),
    )


def _as_request(detail: Mapping[str, Any], concept: Any, plan: Resource) -> Resource:
    """Return the request that an activity without one of its own stands for."""
    kind = detail.get("kind")
    medication = kind == "MedicationRequest" or "productCodeableConcept" in detail
    tree: Resource = {
        "resourceType": "MedicationRequest" if medication else "ServiceRequest",
        "status": "active",
        "intent": plan.get("intent", "plan"),
        ("medicationCodeableConcept" if medication else "code"): concept
        or {"text": str(detail.get("description", ""))},
    }
    for name in ("doNotPerform", "reasonCode", "performer", "quantity", "description"):
        if name in detail:
            tree[name] = detail[name]
    return tree


def _of_request(
    request: Resource,
    holder: str,
    identity: str,
    *,
    plan: str | None = None,
    seen: bool = False,
) -> Order:
    concept = request.get("code") or request.get("medicationCodeableConcept") or {}
    dosage = _only(request.get("dosageInstruction"))
    timing = (
        request.get("occurrenceTiming")
        or dosage.get("timing")
        or (dosage.get("text") if "timing" not in dosage else None)
    )
    rate = rate_of(timing)
    name = _name(concept, request.get("medicationReference", {}).get("display"))
    based_on = {target_of(reference) for reference in request.get("basedOn") or ()}
    return Order(
        holder=holder,
        name=name,
        words=_folded(name),
        codes=_codes(concept),
        tree=request,
        status=str(request.get("status")),
        identity=identity,
        plans=frozenset(based_on | ({plan} if plan else set())),
        prohibited=request.get("doNotPerform") is True,
        rate=rate,
        session=session_of(timing),
        course=course_of(timing),
        amount=_amount(request, dosage, rate),
        lasts=period(request.get("occurrencePeriod")),
        seen=seen,
    )


def _amount(request: Resource, dosage: Mapping[str, Any], rate: Rate | None) -> Amount | None:
    """Return the daily amount of a medication where it is known, else one dose or the quantity."""
    dose = amount_of(_only(dosage.get("doseAndRate")).get("doseQuantity"))
    if dose is None:
        return amount_of(request.get("quantityQuantity"))
    if rate is None or rate.least != rate.most:
        return dose
    return _of_a_day(dose.times(float(rate.least / 7), f"{dose.said}, {rate.said}"))


def _of_a_day(amount: Amount | None) -> Amount | None:
    return amount and Amount(amount.value, f"{amount.dimension} per day", amount.said)


def _only(listed: Any) -> Mapping[str, Any]:
    """Return the one entry of a list; of several none says it all, so nothing is read of them."""
    one: Mapping[str, Any] = listed[0] if isinstance(listed, list) and len(listed) == 1 else {}
    return one


def daily(order: Order) -> bool:
    """Tell whether the amount of an order is one of a day, so that its rate is in it already."""
    return order.amount is not None and order.amount.dimension.endswith(" per day")


def _codes(concept: Mapping[str, Any]) -> frozenset[Code]:
    return frozenset(
        (str(coding["system"]), str(coding["code"]))
        for coding in concept.get("coding") or ()
        if coding.get("system") and coding.get("code")
    )


def _name(concept: Mapping[str, Any], other: Any) -> str:
    codings = concept.get("coding") or ()
    displays = (coding.get("display") for coding in codings)
    codes = (coding.get("code") for coding in codings)
    found = next(filter(None, (concept.get("text"), *displays, other, *codes)), "")
    return short(str(found))


def short(text: str, most: int = _LONGEST_NAME) -> str:
    """Return a text on one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def _folded(name: str) -> str:
    return name.casefold()
