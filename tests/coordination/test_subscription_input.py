"""Whatever is sent as Subscription or notification: it is understood or refused, never a crash."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lane import subscription

from engine.diagnostics import Diagnostic
from engine.subscriptions.asked import MASK, Asked, allowed, kept, masked, read
from engine.subscriptions.hearing import Heard, understood

AT = "2026-05-01T10:00:00.000000Z"
HOOK = "https://hub.example/hooks"

plain = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
    | st.sampled_from(["", "active", "history", "Subscription/1", "event-notification", "-1", "1e9",
                       "https://hub.example/hooks/x", "Task?status=a", f"X: {MASK}",
                       "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00+14:00"])
)  # fmt: skip
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner,
                                                                       max_size=3), max_leaves=6
)  # fmt: skip

NOTIFICATION: dict[str, Any] = {
    "resourceType": "Bundle", "type": "history", "timestamp": "2026-05-01T10:00:00Z",
    "entry": [{
        "fullUrl": "urn:uuid:1",
        "resource": {"resourceType": "Parameters", "parameter": [
            {"name": "subscription", "valueReference": {"reference": "Subscription/1"}},
            {"name": "status", "valueCode": "active"},
            {"name": "type", "valueCode": "event-notification"},
            {"name": "events-since-subscription-start", "valueString": "2"},
            {"name": "notification-event", "part": [
                {"name": "event-number", "valueString": "2"},
                {"name": "focus", "valueReference": {"reference": "https://x.example/Task/7"}},
            ]},
        ]},
    }],
}  # fmt: skip


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a tree."""
    inner = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    found = [(*path, name) for name, _ in inner]
    for name, value in inner:
        if isinstance(value, dict | list):
            found += places(value, (*path, name))
    return found


@st.composite
def spoilt(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """Return a tree of which some values are replaced by anything, or gone."""
    tree = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(tree)))
        holder: Any = tree
        for name in way:
            holder = holder[name]
        if draw(st.booleans()) and isinstance(holder, dict):
            del holder[last]
        else:
            holder[last] = draw(anything)
        if not places(tree):
            break
    return tree


WANTED = subscription("hub", filters=["Task?status=completed"], heartbeat=60, timeout=5)


@settings(max_examples=250)
@given(spoilt({**WANTED, "end": "2026-06-01T00:00:00Z"}))
def test_a_subscription_is_understood_or_refused(resource: dict[str, Any]) -> None:
    """What is taken has a good endpoint and is read from the record as it was asked for; all else
    has a reason, without any value of what was sent."""
    if not isinstance(resource.get("resourceType"), str):
        return  # the parser refuses it before
    found = read(resource, [HOOK], at=AT)
    if isinstance(found, Asked):
        assert allowed(found.endpoint, [HOOK])
        assert found.topic.type == "Task"
        hidden = masked(resource)
        assert "dont-tell-anybody" not in str(hidden)
        assert kept(hidden, found.headers) == found
    else:
        assert found
        assert all("dont-tell-anybody" not in str(problem.to_json()) for problem in found)


@settings(max_examples=250)
@given(spoilt(NOTIFICATION))
def test_a_notification_is_understood_or_refused(bundle: dict[str, Any]) -> None:
    """What is taken names a subscription and bounded numbers; all else has a reason."""
    found = understood(bundle)
    if isinstance(found, Heard):
        assert found.subscription
        assert all(0 <= number < 10**16 for number in found.events)
    else:
        assert isinstance(found, Diagnostic)
        assert found.code == "S021"


@pytest.mark.parametrize("name", ["status", "criteria"])
def test_a_value_that_is_absent_for_a_reason_is_refused(name: str) -> None:
    """An extension in place of a required value makes the resource valid, not the request."""
    absent = {"extension": [{"url": "http://x.example/why", "valueCode": "unknown"}]}
    asked = {**subscription("hub"), f"_{name}": absent}
    del asked[name]
    found = read(asked, [HOOK], at=AT)
    assert isinstance(found, list)
    assert f"Subscription.{name}" in [problem.path for problem in found]


def test_the_whole_notification_is_understood() -> None:
    """The example that the others are made of says what it says."""
    assert understood(NOTIFICATION) == Heard("event-notification", "1", "active", 2, {2: "Task/7"})
