"""The laws of the consent decision, held against generated consents and requests."""

from __future__ import annotations

import copy
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.rules.consent import decide
from engine.rules.consent.criteria import Content, LabelCriterion, labels_of
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


def _some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)


PURPOSE = _some(["TREAT", "COC", "HPAYMT", "BTG"]).map(lambda codes: [{"code": c} for c in codes])
LABEL = _some(["N", "R", "V", "HIV", "SUD"]).map(lambda codes: labels(*codes))
CLASS = _some(list(CLASSES)).map(lambda codes: [{"code": code} for code in codes])
ACTOR = _some(["Organization/plan", "Organization/x", "Group/g"]).map(
    lambda names: [
        {"role": {"coding": [{"code": "IRCP"}]}, "reference": {"reference": name}} for name in names
    ]
)
PERIOD = st.sampled_from([{"start": "2026"}, {"end": "2026"}, {"end": "2025"}, {"start": "2027"}])
AGE = st.sampled_from([{"start": "2020", "end": "2022"}, {"start": "2023"}])


def provision(kinds: list[str | None], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Generate a provision whose type is one of `kinds`, with nested ones to a depth."""
    optional: dict[str, Any] = {
        "purpose": PURPOSE,
        "securityLabel": LABEL,
        "class": CLASS,
        "actor": ACTOR,
        "period": PERIOD,
        "dataPeriod": AGE,
    }
    if depth:
        nested = provision(["permit", "deny", None], depth - 1)
        optional["provision"] = st.lists(nested, min_size=1, max_size=2)
    typed = [
        st.fixed_dictionaries({"type": st.just(one)} if one else {}, optional=optional)
        for one in kinds
    ]
    return st.one_of(typed)


@st.composite
def consent(draw: st.DrawFn, kinds: tuple[str | None, ...] = ("permit", "deny")) -> dict[str, Any]:
    """Generate a signed consent of one of two kinds of policy, dated in one of three years."""
    made: dict[str, Any] = {
        "resourceType": "Consent",
        "status": draw(st.sampled_from(["active", "active", "active", "inactive", "rejected"])),
        "patient": {"reference": "Patient/1"},
        "performer": [{"reference": "Patient/1"}],
        "sourceReference": {"reference": "DocumentReference/form"},
        "dateTime": draw(st.sampled_from(["2023-01-01", "2024-01-01", "2025-01-01"])),
        "policy": [{"uri": draw(st.sampled_from(["urn:a", "urn:b"]))}],
        "provision": draw(provision(list(kinds), 2)),
    }
    if draw(st.booleans()):
        del made["sourceReference"]
    return made


CONSENTS = st.lists(consent(), min_size=1, max_size=3)
POLICY = st.fixed_dictionaries(
    {},
    optional={
        "combine": st.sampled_from(["deny-overrides", "newest", "any-permit"]),
        "nested_type": st.sampled_from(["explicit", "invert"]),
        "nested_purpose": st.sampled_from(["own", "within_root"]),
        "signature": st.sampled_from(["required", "ignored"]),
        "absent_purpose": st.sampled_from(["no-match", "match"]),
        "default": st.sampled_from(["deny", "permit"]),
    },
)
REQUEST = st.fixed_dictionaries(
    {"patient": st.just("Patient/1")},
    optional={
        "purpose": st.sampled_from(["TREAT", "COC", "BTG", "HMARKT"]),
        "recipient": st.sampled_from(["Organization/plan", "Organization/y", "Patient/1"]),
        "securityLabel": st.sampled_from([labels("N"), labels("R"), labels("HIV")]),
        "class": st.sampled_from(CLASSES),
    },
)


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
    return bool(rule.holds(Content(labels=labels_of(labels(*codes))), removing))


def asked(consents: Any, request: Any, policy: Any) -> Decision:
    return decide(request, consents, at=AT, policy=policy)


@EXAMPLES
@given(CONSENTS, consent(("deny",)), REQUEST, POLICY)
def test_consent_law_adding_a_deny_never_widens(
    consents: list[Any], deny: dict[str, Any], request: Any, policy: Any
) -> None:
    """One more document that only denies lets out nothing that stayed in without it."""
    deny["status"] = "active"
    deny["provision"].pop("provision", None)
    if policy.get("combine") == "any-permit":
        policy = {**policy, "default": "deny"}
    before = let_out(asked(consents, request, policy))
    assert let_out(asked([*consents, deny], request, policy)) <= before


@EXAMPLES
@given(CONSENTS, provision(["deny"], 0), st.integers(0, 2), REQUEST, POLICY)
def test_consent_law_adding_a_nested_deny_never_widens(
    consents: list[Any], deny: dict[str, Any], where: int, request: Any, policy: Any
) -> None:
    """One more deny inside a consent lets out nothing that stayed in without it."""
    policy = {**policy, "nested_type": "explicit", "default": "deny"}
    before = let_out(asked(consents, request, policy))
    changed = copy.deepcopy(consents)
    changed[where % len(changed)]["provision"].setdefault("provision", []).append(deny)
    assert let_out(asked(changed, request, policy)) <= before


@EXAMPLES
@given(CONSENTS, consent(), REQUEST, POLICY)
def test_consent_law_another_patients_consent_changes_nothing(
    consents: list[Any], theirs: dict[str, Any], request: Any, policy: Any
) -> None:
    """Whatever somebody else consents to or refuses, the answer stays the same."""
    theirs["patient"] = {"reference": "Patient/2"}
    before, after = asked(consents, request, policy), asked([*consents, theirs], request, policy)
    assert (before.decision, before.code) == (after.decision, after.code)
    assert before.obligations == after.obligations


@EXAMPLES
@given(st.lists(consent(), min_size=2, max_size=4), st.integers(), REQUEST, POLICY)
def test_consent_law_order_never_matters(
    consents: list[Any], seed: int, request: Any, policy: Any
) -> None:
    """Shuffled consents give the same decision, code and obligations."""
    shuffled = list(consents)
    random.Random(seed).shuffle(shuffled)
    before, after = asked(consents, request, policy), asked(shuffled, request, policy)
    assert (before.decision, before.code, before.obligations) == (
        *(after.decision, after.code, after.obligations),
    )


def _only_permits(stated: dict[str, Any]) -> bool:
    return stated.get("type") == "permit" and all(map(_only_permits, stated.get("provision", ())))


@EXAMPLES
@given(CONSENTS, provision(["permit"], 0), st.booleans(), REQUEST, POLICY)
def test_consent_law_shortening_a_period_never_widens(
    consents: list[Any], permit: dict[str, Any], late: bool, request: Any, policy: Any
) -> None:
    """A consent that permits lets out no more when it starts later or ends earlier."""
    policy = {**policy, "combine": "deny-overrides", "default": "deny"}
    mine = {**copy.deepcopy(consents[0]), "status": "active", "provision": permit}
    shorter = copy.deepcopy(mine)
    shorter["provision"]["period"] = {"start": "2026-06" if late else "2026", "end": "2026-06"}
    if "period" in permit and not late:
        shorter["provision"]["period"] = {**permit["period"], "end": "2025"}
    before = let_out(asked([mine, *consents[1:]], request, policy))
    assert let_out(asked([shorter, *consents[1:]], request, policy)) <= before


@EXAMPLES
@given(CONSENTS, REQUEST, POLICY)
def test_consent_law_same_instant_same_answer(
    consents: list[Any], request: Any, policy: Any
) -> None:
    """The instant in any zone's writing gives the same answer: nothing else tells the time."""
    before = asked(consents, request, policy)
    after = decide(
        copy.deepcopy(request),
        copy.deepcopy(consents),
        at="2026-05-01T12:00:00+02:00",
        policy=policy,
    )
    assert (before.decision, before.code, before.obligations) == (
        *(after.decision, after.code, after.obligations),
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
    max_leaves=12,
)


@EXAMPLES
@given(
    JUNK, JUNK, st.dictionaries(st.sampled_from(["patient", "recipient", "purpose", "data"]), JUNK)
)
def test_consent_law_junk_never_permits_and_never_raises(
    consents: Any, supporting: Any, request: Any
) -> None:
    """Whatever stands in place of a consent, the answer is a decision, and it is no permit."""
    decision = decide(request, [consents], [supporting], at=AT)
    assert not decision.permitted
    assert decision.to_json()["decision"] in ("deny", "no-consent")
