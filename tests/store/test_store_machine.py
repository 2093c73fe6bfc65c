"""The outbox against a plain model: whatever workers and people do, order and fencing hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

from desk import Desk
from empty_record import empty_record
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.clock import after
from engine.store import DeliveryRow, Store
from engine.testing import ManualClock

MEMBERS = st.sampled_from(["m1", "m2"])
DESTINATIONS = st.sampled_from(["hub", "mercy"])
REPORTS = st.sampled_from(["complete", "retry", "give_back", "hold", "park", "skip"])
PICK = st.integers(0, 10)


class Outbox(RuleBasedStateMachine):
    """Claim, report late or in time, stall, hold, kill, release: checked against a list."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "store.db"
        self.store = Store.open(empty_record(path), clock=self.clock)
        self.desk = Desk(self.store)
        self.states: dict[str, str] = {}
        self.rows: dict[str, DeliveryRow] = {}
        self.leases: dict[str, tuple[int, str]] = {}
        self.claims: list[tuple[str, int]] = []

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def line(self, id: str) -> list[str]:
        """Return what stands in the line of `id`, in order of acceptance."""
        mine = self.rows[id]
        return [
            other
            for other, row in self.rows.items()
            if (row.destination, row.member) == (mine.destination, mine.member)
            and self.states[other] in ("waiting", "leased", "dead")
        ]

    @rule(member=MEMBERS, destination=DESTINATIONS)
    def enqueue(self, member: str, destination: str) -> None:
        row = self.desk.enqueue(member, destination)
        self.rows[row.id], self.states[row.id] = row, "waiting"

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        before = {id: self.states[id] for id in self.states}
        for row in self.desk.claim(limit, hub=3, mercy=3):
            ahead = [id for id in self.line(row.id) if id < row.id]
            if before[row.id] == "waiting":  # what is under way goes on, whoever takes it over
                assert not any(before[id] in ("waiting", "dead") for id in ahead), "out of order"
            under_way = [id for id in self.line(row.id) if before[id] == "leased" and id != row.id]
            assert all(self.leases[id][1] > self.clock.now() for id in under_way) or not under_way
            assert not under_way, "two of one line under way"
            if before[row.id] == "leased":
                assert self.leases[row.id][1] <= self.clock.now(), "lease was still running"
                assert row.fence > self.leases[row.id][0], "fence did not rise"
            self.states[row.id] = "leased"
            self.leases[row.id] = (row.fence, after(self.clock.now(), 30))
            self.claims.append((row.id, row.fence))

    @precondition(lambda self: self.claims)
    @rule(
        pick=PICK, how=st.sampled_from(["complete", "retry", "give_back", "hold", "park", "skip"])
    )
    def report(self, pick: int, how: str) -> None:
        id, fence = self.claims[pick % len(self.claims)]
        ours = self.states[id] == "leased" and self.leases[id][0] == fence
        assert self.desk.write(lambda tx: self._send(tx.deliveries, id, fence, how)) is ours
        if ours:
            self.states[id] = {
                "complete": "delivered",
                "retry": "waiting",
                "give_back": "waiting",
                "hold": "held",
                "park": "dead",
                "skip": "skipped",
            }[how]

    def _send(self, deliveries, id: str, fence: int, how: str) -> bool:
        if how == "complete":
            return deliveries.complete(id, fence)
        if how == "retry":
            return deliveries.retry(id, fence, after(self.clock.now(), 10), "again")
        if how == "give_back":
            return deliveries.give_back(id, fence)
        if how == "hold":
            return deliveries.hold(id, fence, "consent-withdrawn")
        return deliveries.dead(id, fence, "refused", how)

    @precondition(lambda self: self.rows)
    @rule(pick=PICK, move=st.sampled_from(["release", "requeue", "skip", "discard", "withhold"]))
    def move(self, pick: int, move: str) -> None:
        id = list(self.rows)[pick % len(self.rows)]
        allowed = {
            "release": {"held": "waiting"},
            "requeue": {"dead": "waiting", "skipped": "waiting"},
            "skip": {"dead": "skipped"},
            "discard": dict.fromkeys(("waiting", "held", "dead", "skipped"), "discarded"),
            "withhold": {"waiting": "held"},
        }[move]
        more = ("reason", "ann") if move in ("discard", "withhold") else ("ann",)
        moved = self.desk.write(lambda tx: getattr(tx.deliveries, move)(id, *more))
        assert moved is (self.states[id] in allowed)
        self.states[id] = allowed.get(self.states[id], self.states[id])

    @rule(seconds=st.sampled_from([5, 31]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @invariant()
    def states_agree(self) -> None:
        rows = self.store.read(lambda tx: tx.deliveries.search(limit=1000))
        assert {row.id: row.state for row in rows} == self.states

    @invariant()
    def nothing_is_stuck(self) -> None:
        """A line whose first may go can be claimed, now or later."""
        for id in self.rows:
            line = self.line(id)
            if line and self.states[line[0]] == "waiting":
                fronts = self.store.read(
                    lambda tx, row=self.rows[id]: tx.deliveries.fronts([row.destination])
                )
                assert fronts.next_due() is not None


QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
Outbox.TestCase.settings = settings(max_examples=60, stateful_step_count=30, phases=QUICK)
TestOutbox = Outbox.TestCase
