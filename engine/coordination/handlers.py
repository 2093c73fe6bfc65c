"""What each kind of timer means: one table, handed to the runner with the project in force."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from engine.coordination import (
    consent_end,
    notification,
    outreach,
    outreach_id,
    reactions,
    records_timers,
    records_watch,
)
from engine.project import Project
from engine.store import TimerRow, Transaction
from engine.subscriptions import lifecycle
from engine.timers import Foresee, Handler

Meaning = Callable[[Transaction, Project, TimerRow], None]
Foreseeing = Callable[[Transaction, Project, Sequence[TimerRow]], None]

MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        reactions.KIND: reactions.react,
        outreach_id.PLAN: outreach.set_out,
        consent_end.KIND: consent_end.ended,
        notification.KIND: notification.send_notice,
        records_timers.REMIND: records_watch.remind,
        records_timers.DUE: records_watch.escalate,
        records_timers.OVERDUE: records_watch.look_again,
        lifecycle.HEARTBEAT: lifecycle.goes_on,
        lifecycle.ENDING: lifecycle.comes_to_its_end,
    }
)
"""Every kind of timer, and what happens when one goes off."""

FORESIGHTS: Mapping[str, Foreseeing] = MappingProxyType({reactions.KIND: reactions.foresee})
"""What of it can be worked out before, on a snapshot (`engine.timers`)."""


def handlers(project: Callable[[], Project]) -> Mapping[str, Handler]:
    """Return the handlers for a runner; `project` gives the one in force at that moment."""
    return {kind: partial(_go_off, meaning, project) for kind, meaning in MEANINGS.items()}


def foresights(project: Callable[[], Project]) -> Mapping[str, Foresee]:
    """Return what looks ahead for a runner, as `handlers` does what is meant."""
    return {kind: partial(_look, foreseeing, project) for kind, foreseeing in FORESIGHTS.items()}


def _go_off(
    meaning: Meaning, project: Callable[[], Project], tx: Transaction, timer: TimerRow
) -> None:
    meaning(tx, project(), timer)


def _look(
    foreseeing: Foreseeing,
    project: Callable[[], Project],
    tx: Transaction,
    timers: Sequence[TimerRow],
) -> None:
    foreseeing(tx, project(), timers)
