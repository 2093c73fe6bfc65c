"""The tables of states: closed, without dead ends, and the same in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.deliver.outbox import DELIVERY, MACHINES, UNIT, Machine, document

machines = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


@machines
def test_every_row_names_known_states(machine: Machine) -> None:
    """A transition leads from a known state to a known state."""
    names = {state.name for state in machine.states}
    assert {row.state for row in machine.transitions} | {
        row.next for row in machine.transitions
    } == names


@machines
def test_one_answer_per_state_and_event(machine: Machine) -> None:
    """The same event in the same state never leads to two places."""
    pairs = [(row.state, row.event) for row in machine.transitions]
    assert len(pairs) == len(set(pairs))


@machines
def test_final_states_are_those_that_nothing_leaves(machine: Machine) -> None:
    """What is called final has no way out, and everything else has one."""
    leaves = {row.state for row in machine.transitions}
    assert {state.name for state in machine.states if state.final} == {
        state.name for state in machine.states
    } - leaves


@machines
def test_no_final_state_blocks_its_line(machine: Machine) -> None:
    """A line is never stopped by something that nobody can move."""
    assert not [state for state in machine.states if state.final and state.blocks]


@machines
def test_every_state_can_come_to_rest(machine: Machine) -> None:
    """From each state some path leads to a final one, so nothing is stuck for ever."""
    resting = {state.name for state in machine.states if state.final}
    while more := {row.state for row in machine.transitions if row.next in resting} - resting:
        resting |= more
    assert resting == {state.name for state in machine.states}


def test_a_lease_can_only_be_ended_by_a_named_event() -> None:
    """Only the listed results end a lease; an unknown event moves nothing."""
    assert DELIVERY.after("leased", "accept") == "delivered"
    assert DELIVERY.after("delivered", "retry") is None
    assert DELIVERY.sources("claim") == {"waiting", "leased"}
    assert UNIT.after("rejected", "route") is None


def test_what_blocks_a_line() -> None:
    """A held or skipped delivery lets its member's later ones pass; a dead letter does not."""
    assert DELIVERY.blocking == {"waiting", "leased", "dead"}


def test_the_document_shows_these_tables(repository: Path) -> None:
    """docs/states.md is what the tables say; write `document()` into it after a change."""
    assert (repository / "docs" / "states.md").read_text("utf-8") == document()
