"""Say when a failed delivery is tried again, and when it is given up: a value that never sleeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

from tenacity import RetryCallState, Retrying
from tenacity.stop import stop_after_attempt, stop_base
from tenacity.wait import wait_base, wait_exponential

from engine.clock import after

Random = Callable[[], float]
"""Return a number from 0 up to, not including, 1."""

Poison = Literal["park", "skip", "block"]
"""What a dead letter does.

`park`: its member's later deliveries to that destination wait until someone moves it. `skip`: they
pass. `block`: the whole destination stops.
"""

FEW = 3
"""How often an answer that seldom changes (a conflict, a refusal of access) is tried at all."""


class wait_spread(wait_base):  # noqa: N801 - named as tenacity names its strategies
    """Lengthen another strategy's wait by up to `jitter` of it, so that retries do not meet."""

    def __init__(self, wait: wait_base, jitter: float, random: Random) -> None:
        self.wait = wait
        self.jitter = jitter
        self.random = random

    def __call__(self, retry_state: RetryCallState) -> float:
        """Return the seconds to wait after `retry_state.attempt_number`."""
        return self.wait(retry_state) * (1 + self.jitter * self.random())


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Say how often and when one destination is tried again.

    Waits are in seconds: `first` after the first attempt, `factor` times more after each further
    one, at most `cap`, each longer by up to `jitter` of itself. `Retry-After` is honoured up to
    `patience`. `attempts` counts the first one.
    """

    attempts: int = 8
    first: float = 1.0
    factor: float = 2.0
    cap: float = 300.0
    jitter: float = 0.2
    patience: float = 3600.0
    poison: Poison = "park"

    def stop(self, few: bool = False) -> stop_base:
        """Return the strategy that gives up; `few` for answers that seldom change."""
        return stop_after_attempt(min(FEW, self.attempts) if few else self.attempts)

    def wait(self, random: Random) -> wait_base:
        """Return the strategy that spaces attempts."""
        backoff = wait_exponential(multiplier=self.first, exp_base=self.factor, max=self.cap)
        return wait_spread(backoff, self.jitter, random)

    def next_due(
        self,
        attempt: int,
        now: str,
        random: Random,
        retry_after: float | None = None,
        few: bool = False,
    ) -> str | None:
        """Return the instant of the attempt after `attempt` (from 1), or None to give up.

        `retry_after` is what the destination asked for, in seconds; it is never undercut, save
        by `patience`.
        """
        state = _state(attempt)
        if self.stop(few)(state):
            return None
        asked = min(retry_after or 0.0, self.patience)
        return after(now, max(self.wait(random)(state), asked))


_RETRYING = Retrying()


def _state(attempt: int) -> RetryCallState:
    state = RetryCallState(_RETRYING, None, (), {})
    state.attempt_number = attempt
    return state


def retry_after(header: str | None, now: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None where it says nothing usable.

    `now` is in seconds since 1970. Both forms of RFC 9110 section 10.2.3 are read: seconds, or an
    HTTP date (a past one means 0).
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now)
