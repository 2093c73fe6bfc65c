"""The states of a records request: one table over Task.status, for tracking and for docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Stage = Literal[
    "draft", "requested", "accepted", "answered", "refused", "withdrawn", "reviewed"
]  # fmt: skip

WAITING: frozenset[Stage] = frozenset({"requested", "accepted"})
"""The stages in which an answer is waited for: reminders go out, and the due date counts."""

REVIEWABLE: frozenset[Stage] = frozenset({"answered", "refused"})
"""The stages that end with a review by the asker."""


@dataclass(frozen=True, slots=True)
class State:
    """Say what one Task.status means for a request, and which statuses may follow it."""

    status: str
    stage: Stage
    meaning: str
    follows: frozenset[str]


def _state(status: str, stage: Stage, meaning: str, follows: str) -> State:
    return State(status, stage, meaning, frozenset(follows.split()))


_ALWAYS = "cancelled entered-in-error"
_WORK = "accepted ready in-progress on-hold"
_GOING_ON = f"{_WORK} completed failed rejected {_ALWAYS}"

STATES: Mapping[str, State] = MappingProxyType(
    {
        state.status: state
        for state in (
            _state("draft", "draft", "written, not asked yet", f"requested {_ALWAYS}"),
            _state(
                "requested",
                "requested",
                "asked, no word yet",
                f"received {_GOING_ON}",
            ),
            _state("received", "requested", "arrived, not decided yet", _GOING_ON),
            _state("accepted", "accepted", "will be answered", _GOING_ON),
            _state("ready", "accepted", "will be answered", _GOING_ON),
            _state("in-progress", "accepted", "records are gathered", _GOING_ON),
            _state("on-hold", "accepted", "paused by the provider", _GOING_ON),
            _state("completed", "answered", "the answer is here", "entered-in-error"),
            _state("failed", "refused", "could not be answered", f"{_WORK} completed {_ALWAYS}"),
            _state("rejected", "refused", "will not be answered", f"{_WORK} completed {_ALWAYS}"),
            _state("cancelled", "withdrawn", "taken back by the asker", "entered-in-error"),
            _state("entered-in-error", "withdrawn", "never meant", ""),
        )
    }
)
"""Every Task.status of R4; HRex uses seven of them (requested, accepted, rejected, in-progress,
failed, completed, on-hold)."""


def in_order(before: str, now: str) -> bool:
    """Tell whether `now` may follow the status `before`."""
    return before == now or now in STATES[before].follows


def as_markdown() -> str:
    """Return the table as docs/records.md shows it."""
    rows = [
        f"| `{state.status}` | {state.stage} | {state.meaning} | "
        f"{', '.join(name for name in STATES if name in state.follows) or 'nothing'} |"
        for state in STATES.values()
    ]
    return "\n".join(["| Task.status | stage | meaning | may be followed by |", "|---|---|---|---|",
                      *rows])  # fmt: skip
