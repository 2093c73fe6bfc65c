"""What sets a timer to react to a message, and what is left alone without one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from town import environment

from engine.coordination.reactions import react, reaction_key
from engine.intake import Arrival, Intake
from engine.project import load
from engine.samples.bundles import sample
from engine.store import Store, TimerRow, Transaction
from engine.testing import ManualClock

REPOSITORY = Path(__file__).resolve().parent.parent.parent
DAY = (
    "01-who-is-who",
    "02-team-and-plan",
    "04-signed-consent",
    "05-outreach",
    "08-revocation",
    "14-plan-revised",
)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Yield project and store after the messages of a day, and their ids in order."""
    folder = tmp_path_factory.mktemp("day")
    project = load(REPOSITORY / "config.yaml", environment(f"sqlite:///{folder}/day.db"))
    clock = ManualClock()
    with Store.open(project.config.store, clock=clock) as store:
        intake = Intake(project, store, clock)
        accepted = [intake.submit(_arrival(name)).result() for name in DAY]
        assert {one.state for one in accepted} == {"accepted"}
        yield project, store, [str(one.message) for one in accepted]


def _arrival(name: str) -> Arrival:
    body = sample(name)
    single = name == "05-outreach"
    return Arrival("mercy", "create Communication" if single else "bundle", body)


def _timer(message: str) -> TimerRow:
    return TimerRow(
        reaction_key(message), "react", "", "waiting", 0, None, {"message": message}, "", ""
    )


def _written(tx: Transaction) -> tuple[int, int, int]:
    """Return how much is on record: of the ledger, of timers and of deliveries."""
    timers = sum(len(tx.timers.of_kind(kind)) for kind in ("react", "outreach", "notice"))
    return tx.audit.ends().last, timers, sum(depth.count for depth in tx.deliveries.depth())


def test_a_told_communication_sets_no_timer(day: Any) -> None:
    """Nobody is to be told of what was told already, so nothing is looked at later."""
    _, store, messages = day
    told = messages[DAY.index("05-outreach")]
    assert not _is_set(store, told)


@pytest.mark.parametrize("name", ["02-team-and-plan", "08-revocation", "14-plan-revised"])
def test_a_team_a_plan_or_a_revocation_sets_one(day: Any, name: str) -> None:
    """A new team or plan is reviewed, and a revocation takes back what waits to be told."""
    _, store, messages = day
    message = messages[DAY.index(name)]
    assert _is_set(store, message)


def test_what_concerns_no_reaction_is_left_alone_by_all(day: Any) -> None:
    """Where no reaction says that a message concerns it, running them all writes nothing."""
    project, store, messages = day
    quiet = [message for message in messages if not _is_set(store, message)]
    assert quiet
    for message in quiet:
        before = store.read(_written)
        store.write(partial(react, project=project, timer=_timer(message))).result()
        assert store.read(_written) == before


def _is_set(store: Store, message: str) -> bool:
    return store.read(lambda tx: tx.timers.get(reaction_key(message))) is not None
