"""Say which states a unit and a delivery can be in, and what moves them: the one table of each.

The store changes a state only along a row of these tables; `docs/states.md` is rendered from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class State:
    """Describe one state.

    `blocks`: whether it keeps later ones of the same member at the same destination waiting.
    `final`: whether nothing moves it any more.
    """

    name: str
    meaning: str
    blocks: bool = False
    final: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """Describe one row: in `state`, `event` leads to `next`, because of `reason`."""

    state: str
    event: str
    next: str
    reason: str


@dataclass(frozen=True)
class Machine:
    """Hold the states and transitions of one kind of record."""

    name: str
    states: tuple[State, ...]
    transitions: tuple[Transition, ...]

    @cached_property
    def _next(self) -> dict[tuple[str, str], str]:
        return {(row.state, row.event): row.next for row in self.transitions}

    @cached_property
    def blocking(self) -> frozenset[str]:
        """Name the states that keep later ones of the same line waiting."""
        return frozenset(state.name for state in self.states if state.blocks)

    @cached_property
    def events(self) -> frozenset[str]:
        """Name every event."""
        return frozenset(row.event for row in self.transitions)

    def after(self, state: str, event: str) -> str | None:
        """Return the state that `event` leads to, or None where it may not happen in `state`."""
        return self._next.get((state, event))

    def sources(self, event: str) -> frozenset[str]:
        """Return the states in which `event` may happen."""
        return frozenset(row.state for row in self.transitions if row.event == event)

    def markdown(self) -> str:
        """Render as two tables for the documentation."""
        return "\n".join([f"## {self.name.capitalize()}", "", *self._states(), "", *self._rows()])

    def _states(self) -> list[str]:
        rows = [
            f"| `{s.name}` | {s.meaning} | {_yes(s.blocks)} | {_yes(s.final)} |"
            for s in self.states
        ]
        return ["| state | means | blocks its line | final |", "|---|---|---|---|", *rows]

    def _rows(self) -> list[str]:
        rows = [
            f"| `{t.state}` | `{t.event}` | `{t.next}` | {t.reason} |" for t in self.transitions
        ]
        return ["| in | event | becomes | because |", "|---|---|---|---|", *rows]


def _yes(flag: bool) -> str:
    return "yes" if flag else ""


DELIVERY = Machine(
    "delivery",
    (
        State("waiting", "to be sent when it is due and the first of its line", blocks=True),
        State("leased", "one worker has it, until its lease ends", blocks=True),
        State("delivered", "the destination said that it has it", final=True),
        State("held", "withheld with a reason, such as `consent-withdrawn`; releasable"),
        State("dead", "dead letter that stops its line until someone moves it", blocks=True),
        State("skipped", "dead letter that lets its line pass"),
        State("discarded", "given up by a person, with their reason", final=True),
        State("superseded", "never sent: the destination has a newer version", final=True),
    ),
    (
        Transition("waiting", "claim", "leased", "a worker takes it, with a new fencing number"),
        Transition("leased", "claim", "leased", "the lease ended, another worker takes it over"),
        Transition("leased", "return", "waiting", "the worker gives it back without a result"),
        Transition("leased", "accept", "delivered", "the destination answered that it has it"),
        Transition("leased", "retry", "waiting", "the attempt failed in a way that may pass"),
        Transition("leased", "supersede", "superseded", "a newer version of it arrived there"),
        Transition("leased", "withhold", "held", "the decision at sending does not permit it"),
        Transition("leased", "die", "dead", "refused, or tried too often; policy `park`"),
        Transition("leased", "skip", "skipped", "refused, or tried too often; policy `skip`"),
        Transition("waiting", "withhold", "held", "a person or a rule withholds it"),
        Transition("waiting", "discard", "discarded", "a person gives it up"),
        Transition("held", "release", "waiting", "a person or a rule releases it"),
        Transition("held", "discard", "discarded", "a person gives it up"),
        Transition("dead", "requeue", "waiting", "a person has it tried again from the start"),
        Transition("dead", "skip", "skipped", "a person lets its line pass"),
        Transition("dead", "discard", "discarded", "a person gives it up"),
        Transition("skipped", "requeue", "waiting", "a person has it tried again from the start"),
        Transition("skipped", "discard", "discarded", "a person gives it up"),
    ),
)
"""What happens to one resource on its way to one destination."""

UNIT = Machine(
    "unit",
    (
        State("received", "read from its message, not judged yet; never stored by itself"),
        State("accepted", "on record, passed on nowhere because no route carries it", final=True),
        State("held", "parked with a reason, such as a reference that the crosswalk misses"),
        State("rejected", "refused with a reason", final=True),
        State("routed", "one delivery for each destination is in the outbox", final=True),
    ),
    (
        Transition("received", "accept", "accepted", "no route carries it and it is recorded only"),
        Transition("received", "hold", "held", "a stage holds it"),
        Transition("received", "reject", "rejected", "a stage rejects it"),
        Transition("received", "route", "routed", "it passed every stage"),
        Transition("held", "accept", "accepted", "released, and no route carries it"),
        Transition("held", "hold", "held", "released, and held again, perhaps for another reason"),
        Transition("held", "reject", "rejected", "released and refused, or given up by a person"),
        Transition("held", "route", "routed", "released, and it passed every stage"),
    ),
)
"""What happens to one resource of a message between its arrival and the outbox."""

MACHINES = (UNIT, DELIVERY)

PREFACE = """# States

Rendered from `engine/deliver/outbox.py` by `tests/deliver/test_outbox.py`; a record changes its
state only along a row of these tables, and each change is in the ledger.

A *line* is everything for one member at one destination, in order of acceptance. Only the first
of a line is sent; what blocks its line keeps the later ones waiting. No other line notices.
"""


def document() -> str:
    """Return the whole of `docs/states.md`."""
    return "\n".join([PREFACE, *(f"{machine.markdown()}\n" for machine in MACHINES)])
