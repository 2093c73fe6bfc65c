"""Ids of rows: UUIDs of version 7 that ascend."""

from __future__ import annotations

import uuid

from engine.store.ids import Ids
from engine.testing import ManualClock


def test_ids_are_uuids_of_version_7() -> None:
    """Each has the version, the variant and the milliseconds of its instant (RFC 9562 5.7)."""
    clock = ManualClock()
    made = uuid.UUID(Ids(clock).new())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == int(clock.time() * 1000)


def test_ids_ascend_where_the_clock_stands_still_or_steps_back() -> None:
    """Far more than fit one draw of randomness and one millisecond: none twice, all in order."""
    clock = ManualClock()
    ids = Ids(clock)
    made = [ids.new() for _ in range(5000)]
    clock.step(-60)
    made += [ids.new() for _ in range(5000)]
    assert made == sorted(set(made))
    assert len({id[19:] for id in made}) == len(made)


def test_two_processes_make_different_ids() -> None:
    """At the same instant the random ends tell them apart."""
    clock = ManualClock()
    first, second = Ids(clock), Ids(clock)
    assert not {first.new() for _ in range(1000)} & {second.new() for _ in range(1000)}
