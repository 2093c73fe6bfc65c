"""The laws of the consent decision, held against generated consents and requests."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.rules.consent import decide
from engine.rules.consent.criteria import LabelCriterion, Stated, labels_of
from engine.rules.decision import Decision

LEVEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
AT = "2026-05-01T10:00:00Z"
CLASSES = ("CarePlan", "Condition")
PIECES = [
    (labels, kind, age)
    for labels in (("N",), ("R",), ("V",), ("N", "HIV"), ("R", "OPIOIDUD"), ("HIV",), ())
    for kind in CLASSES
    for age in ("2020", "2024")
]
"""Pieces of content on which two decisions are compared: labels, class, year."""

EXAMPLES = settings(max_examples=2000)


def labels(*codes: str) -> list[dict[str, str]]:
    return [{"system": LEVEL if code in "UMLNRV" else ACT, "code": code} for code in codes]


class Generator:
    """Make consents, requests and policies from one seed; much faster than nested strategies."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *values: Any) -> Any:
        return self.random.choice(values)

    def some(self, *values: Any) -> list[Any]:
        return self.random.sample(values, self.one(1, 1, 2))

    def provision(self, kinds: Sequence[str | None], depth: int) -> dict[str, Any]:
        """Make a provision whose type is one of `kinds`, with nested ones to a depth."""
        made: dict[str, Any] = {"type": kind} if (kind := self.one(*kinds)) else {}
        criteria = {
            "purpose": [{"code": one} for one in self.some("TREAT", "COC", "HPAYMT", "BTG")],
            "securityLabel": labels(*self.some("N", "R", "V", "HIV", "SUD")),
            "class": [{"code": one} for one in self.some(*CLASSES)],
            "actor": [
                {"role": {"coding": [{"code": "IRCP"}]}, "reference": {"reference": one}}
                for one in self.some("Organization/plan", "Organization/x", "Group/g")
            ],
            "period": self.one(
                {"start": "2026"}, {"end": "2026"}, {"end": "2025"}, {"start": "2027"}
            ),
            "dataPeriod": self.one({"start": "2020", "end": "2022"}, {"start": "2023"}),
        }
        made |= {name: said for name, said in criteria.items() if self.random.random() < 0.3}
        if depth and self.random.random() < 0.6:
            nested = ("permit", "deny", None)
            made["provision"] = [self.provision(nested, depth - 1) for _ in self.some(1, 2)]
        return made

    def consent(self, kinds: Sequence[str | None] = ("permit", "permit", "deny")) -> dict[str, Any]:
        """Make a consent of one of two kinds of policy, dated in one of three years."""
        made: dict[str, Any] = {
            "resourceType": "Consent",
            "status": self.one("active", "active", "active", "active", "inactive", "rejected"),
            "patient": {"reference": "Patient/1"},
            "performer": [{"reference": "Patient/1"}],
            "dateTime": self.one("2023-01-01", "2024-01-01", "2025-01-01"),
            "policy": [{"uri": self.one("urn:a", "urn:b")}],
            "provision": self.provision(kinds, 2),
        }
        if self.random.random() < 0.8:
            made["sourceReference"] = {"reference": "DocumentReference/form"}
        return made

    def consents(self) -> list[dict[str, Any]]:
        return [self.consent() for _ in range(self.one(1, 2, 3))]

    def policy(self) -> dict[str, str]:
        return {name: self.one(*values) for name, values in SWITCHES.items()}

    def request(self) -> dict[str, Any]:
        made: dict[str, Any] = {"patient": "Patient/1"}
        stated = {
            "purpose": self.one("TREAT", "COC", "BTG", "HMARKT"),
            "recipient": self.one("Organization/plan", "Organization/y", "Patient/1"),
            "securityLabel": labels(self.one("N", "R", "HIV")),
            "class": self.one(*CLASSES),
        }
        for name, chance in (
            ("purpose", 0.8),
            ("recipient", 0.8),
            ("securityLabel", 0.2),
            ("class", 0.2),
        ):
            if self.random.random() < chance:
                made[name] = stated[name]
        return made


SWITCHES = {
    "combine": ("deny-overrides", "deny-overrides", "newest", "any-permit"),
    "nested_type": ("explicit", "invert"),
    "nested_purpose": ("own", "within_root"),
    "signature": ("required", "ignored"),
    "absent_purpose": ("no-match", "match"),
    "default": ("deny", "permit"),
}
GENERATED = st.integers(0, 2**32).map(Generator)


def let_out(decision: Decision) -> set[int]:
    """Return which pieces of content leave under a decision."""
    if not decision.permitted:
        return set()
    return {
        index
        for index, piece in enumerate(PIECES)
        if all(_survives(one, piece) for one in decision.obligations)
    }


def _survives(obligation: Any, piece: Any) -> bool:
    if obligation["type"] == "redact":
        return not _matches(obligation["match"], piece, True)
    if obligation["type"] == "permit-only":
        return _matches(obligation["match"], piece, False)
    return True


def _matches(match: dict[str, Any], piece: Any, removing: bool) -> bool:
    return all(_criterion(name, stated, piece, removing) for name, stated in match.items())


def _criterion(name: str, stated: Any, piece: Any, removing: bool) -> bool:
    codes, kind, age = piece
    match name:
        case "any":
            return any(_matches(one, piece, removing) for one in stated)
        case "all":
            return all(_matches(one, piece, removing) for one in stated)
        case "not":
            return not any(_matches(one, piece, not removing) for one in stated)
        case "class":
            return any(one["code"] == kind for one in stated)
        case "dataPeriod":
            return stated.get("start", "0") <= age <= stated.get("end", "9")
        case "securityLabelIn":
            return any(one["code"] in codes for one in stated)
    rule = LabelCriterion("securityLabel", stated, labels_of(stated))
    if not codes:
        return removing
    return bool(rule.holds(Stated(labels=labels_of(labels(*codes))), removing))


def asked(consents: Any, request: Any, policy: Any) -> Decision:
    return decide(request, consents, at=AT, policy=policy)


@EXAMPLES
@given(GENERATED)
@example(Generator(1594))
@example(Generator(7022571))
def test_consent_law_adding_a_deny_never_widens(make: Generator) -> None:
    """One more document that only denies lets out nothing that stayed in without it."""
    consents, request, policy = make.consents(), make.request(), make.policy()
    deny = {**make.consent(), "status": "active", "provision": make.provision(("deny",), 0)}
    before = let_out(asked(consents, request, policy))
    assert let_out(asked([*consents, deny], request, policy)) <= before


@EXAMPLES
@given(GENERATED)
def test_consent_law_adding_a_nested_deny_never_widens(make: Generator) -> None:
    """One more deny inside a consent lets out nothing that stayed in without it."""
    consents, request = make.consents(), make.request()
    policy = {**make.policy(), "nested_type": "explicit"}
    before = let_out(asked(consents, request, policy))
    changed = copy.deepcopy(consents)
    inside = make.one(*changed)["provision"].setdefault("provision", [])
    inside.append(make.provision(("deny",), 0))
    assert let_out(asked(changed, request, policy)) <= before


@EXAMPLES
@given(GENERATED)
def test_consent_law_what_obligations_leave_is_permitted_where_asked(make: Generator) -> None:
    """What obligations let out is permitted too where the request speaks of that very content."""
    consents, request, policy = make.consents(), make.request(), make.policy()
    number, (codes, kind, age) = make.one(*[piece for piece in enumerate(PIECES) if piece[1][0]])
    exact = {
        "class": kind,
        "securityLabel": labels(*codes),
        "dataPeriod": {"start": age, "end": age},
    }
    about_all = {name: said for name, said in request.items() if name not in exact}
    if number in let_out(asked(consents, about_all, policy)):
        assert number in let_out(asked(consents, {**request, **exact}, policy))


@EXAMPLES
@given(GENERATED)
def test_consent_law_another_patients_consent_changes_nothing(make: Generator) -> None:
    """Whatever somebody else consents to or refuses, the answer stays the same."""
    consents, request, policy = make.consents(), make.request(), make.policy()
    theirs = {**make.consent(), "patient": {"reference": "Patient/2"}}
    same(asked(consents, request, policy), asked([*consents, theirs], request, policy))


@EXAMPLES
@given(GENERATED)
def test_consent_law_order_never_matters(make: Generator) -> None:
    """Shuffled consents give the same decision, code and obligations."""
    consents, request, policy = make.consents(), make.request(), make.policy()
    consents.append(make.consent())
    shuffled = make.random.sample(consents, len(consents))
    same(asked(consents, request, policy), asked(shuffled, request, policy))


@EXAMPLES
@given(GENERATED)
def test_consent_law_shortening_a_period_never_widens(make: Generator) -> None:
    """A consent that permits lets out no more when it starts later or ends earlier."""
    others, request = make.consents()[1:], make.request()
    policy = {**make.policy(), "combine": "deny-overrides", "default": "deny"}
    mine = {**make.consent(), "status": "active", "provision": make.provision(("permit",), 0)}
    mine["provision"].pop("period", None)
    mine["provision"] |= make.one({}, {"period": {"start": "2026"}}, {"period": {"end": "2027"}})
    shorter = copy.deepcopy(mine)
    period = shorter["provision"].setdefault("period", {})
    period |= make.one(
        {"start": "2026-03"}, {"start": "2026-06"}, {"end": "2026-04"}, {"end": "2026"}
    )
    before = let_out(asked([mine, *others], request, policy))
    assert let_out(asked([shorter, *others], request, policy)) <= before


@EXAMPLES
@given(GENERATED)
def test_consent_law_never_depends_on_the_wall_clock(make: Generator) -> None:
    """The same instant, written in another zone and asked later, gives the same answer."""
    consents, request, policy = make.consents(), make.request(), make.policy()
    later = decide(request, consents, at="2026-05-01T12:00:00+02:00", policy=policy)
    same(asked(consents, request, policy), later)


def same(one: Decision, other: Decision) -> None:
    assert (one.decision, one.code, one.obligations) == (
        other.decision,
        other.code,
        other.obligations,
    )


REQUEST_ELEMENTS = (
    *("patient", "sender", "recipient", "purpose", "action", "scope", "category", "class", "code"),
    *("securityLabel", "dataPeriod", "data", "sent"),
)
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "x", "permit", "Patient/1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *[
                        "resourceType",
                        "status",
                        "patient",
                        "provision",
                        "type",
                        "actor",
                        "reference",
                    ],
                    *[
                        "purpose",
                        "coding",
                        "code",
                        "system",
                        "period",
                        "start",
                        "securityLabel",
                        "data",
                    ],
                    *[
                        "performer",
                        "dateTime",
                        "policy",
                        "uri",
                        "scope",
                        "category",
                        "verification",
                    ],
                    *[
                        "meta",
                        "contained",
                        "identifier",
                        "value",
                        "class",
                        "action",
                        "role",
                        "recipient",
                    ],
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=1000)
@given(JUNK, JUNK, st.dictionaries(st.sampled_from(REQUEST_ELEMENTS), JUNK))
def test_consent_law_junk_never_permits_and_never_raises(
    consents: Any, supporting: Any, request: Any
) -> None:
    """Whatever stands in place of a consent, the answer is a decision, and it is no permit."""
    decision = decide(request, [consents], [supporting], at=AT)
    assert not decision.permitted
    assert decision.to_json()["decision"] in ("deny", "no-consent")
