"""The retry policy is a value: the same question always has the same answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import after, seconds_between
from engine.deliver.retry import FEW, RetryPolicy, retry_after

NOW = "2026-05-01T10:00:00.000000Z"


def seconds(due: str | None) -> float:
    """Return how long after NOW something is due."""
    assert due is not None
    return seconds_between(NOW, due)


def test_waits_double_up_to_the_cap() -> None:
    """Without jitter the waits are first, first * factor, ... and never above the cap."""
    policy = RetryPolicy(attempts=9, first=1, factor=2, cap=20, jitter=0)
    waits = [seconds(policy.next_due(attempt, NOW, lambda: 0.5)) for attempt in range(1, 9)]
    assert waits == [1, 2, 4, 8, 16, 20, 20, 20]


def test_the_last_attempt_gives_up() -> None:
    """After the configured number of attempts there is no next one."""
    policy = RetryPolicy(attempts=3)
    assert policy.next_due(2, NOW, lambda: 0.0)
    assert policy.next_due(3, NOW, lambda: 0.0) is None


def test_answers_that_seldom_change_are_tried_few_times() -> None:
    """A conflict is given up after a few attempts, though others get more."""
    policy = RetryPolicy(attempts=8)
    assert policy.next_due(FEW, NOW, lambda: 0.0, few=True) is None
    assert policy.next_due(FEW, NOW, lambda: 0.0)


@given(
    attempt=st.integers(1, 20),
    random=st.floats(0, 1, exclude_max=True),
    jitter=st.floats(0, 1),
    asked=st.none() | st.floats(0, 10_000),
)
def test_bounds_hold_for_every_attempt(
    attempt: int, random: float, jitter: float, asked: float | None
) -> None:
    """A wait is at least what was asked (within patience), at most the cap with its jitter."""
    policy = RetryPolicy(attempts=21, cap=60, jitter=jitter, patience=600)
    wait = seconds(policy.next_due(attempt, NOW, lambda: random, asked))
    least = min(asked or 0, 600)
    assert least - 1e-5 <= wait <= max(60 * (1 + jitter), least) + 1e-5


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Fri, 01 May 2026 10:02:00 GMT", 120.0),
        ("Fri, 01 May 2026 09:00:00 GMT", 0.0),
        ("999999999999999999999", 999999999.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, expected: float | None) -> None:
    """Seconds and HTTP dates are understood; anything else counts as not said."""
    assert retry_after(header, 1_777_629_600.0) == expected


def test_retry_after_is_never_undercut_but_bounded() -> None:
    """A destination that asks for a minute gets it, one that asks for a year gets `patience`."""
    policy = RetryPolicy(first=1, jitter=0, patience=600)
    assert seconds(policy.next_due(1, NOW, lambda: 0.0, 60.0)) == 60
    assert seconds(policy.next_due(1, NOW, lambda: 0.0, 31_536_000.0)) == 600
    assert policy.next_due(1, NOW, lambda: 0.0, 0.5) == after(NOW, 1)
