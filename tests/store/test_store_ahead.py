"""What a write worked out ahead of its turn counts only if it would be worked out again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from empty_record import empty_record

from engine.store import Ahead, Store, Transaction
from engine.testing import ManualClock
from engine.transform.crosswalk import Key

KEY = Key("mercy", "reference", "CarePlan/7")
PERSON = Key("mercy", "reference", "Patient/7")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(empty_record(tmp_path / "x.db"))


def _asking(
    store: Store, key: Key, meanwhile: Callable[[Transaction], object] | None = None
) -> tuple[bool, str | None]:
    """Resolve a key ahead, let something happen, and tell whether the answer still counted."""
    ahead = Ahead(lambda tx: (tx.crosswalk.resolve([key]).get(key),))

    def work(tx: Transaction) -> tuple[bool, str | None]:
        if meanwhile is not None:
            meanwhile(tx)
        found = ahead.still(tx)
        return found is not None, found[0] if found else None

    with store:
        return store.write(work, ahead).result(30)


def _linking(key: Key) -> Callable[[Transaction], object]:
    return lambda tx: tx.crosswalk.link({key: "entity-7"}, source="test")


def test_what_reads_the_same_counts(store: Store) -> None:
    """Nothing changed: what was found on the snapshot is what the turn would find."""
    store.write(_linking(KEY)).result(30)
    assert _asking(store, KEY) == (True, "entity-7")


@pytest.mark.parametrize("key", [KEY, PERSON])
def test_what_changed_meanwhile_is_worked_out_again(store: Store, key: Key) -> None:
    """Who comes before in the same turn changes what was read: then it does not count."""
    assert _asking(store, key, _linking(key)) == (False, None)


def test_what_another_process_changed_is_worked_out_again(tmp_path: Path) -> None:
    """A person linked by another process, after the snapshot, is not overlooked."""
    url = f"sqlite:///{tmp_path}/x.db"
    with Store.open(url) as store, Store.open(url) as other:

        def look(tx: Transaction) -> tuple[str | None]:
            found = tx.crosswalk.resolve([PERSON]).get(PERSON)
            other.write(_linking(PERSON)).result(30)
            return (found,)

        ahead = Ahead(look)
        assert store.write(ahead.still, ahead).result(30) is None


def test_failing_look_is_left_to_the_turn(store: Store) -> None:
    """What fails on the snapshot fails, or not, in its turn; the writer goes on."""

    def look(_tx: Transaction) -> str:
        raise ValueError("a bug")

    ahead = Ahead(look)
    with store:
        assert store.write(ahead.still, ahead).result(30) is None
        assert store.write(lambda tx: 7).result(30) == 7


def test_what_cannot_be_compared_does_not_count(store: Store) -> None:
    """A query that is built on the way is not asked again, so what rests on it does not count."""
    ahead = Ahead(lambda tx: (tx.deliveries.depth(),))
    with store:
        assert store.write(ahead.still, ahead).result(30) is None


def test_what_is_older_than_a_moment_does_not_count(tmp_path: Path) -> None:
    """A Consent may end while a write waits for its turn: then it is decided again."""
    clock = ManualClock()
    with Store.open(f"sqlite:///{tmp_path}/x.db", clock=clock) as store:
        for waited, counts in ((0.9, True), (1.1, False), (-3600.0, False)):
            ahead = Ahead(lambda tx: (tx.crosswalk.resolve([KEY]),))

            def work(tx: Transaction, ahead: Ahead[Any] = ahead, waited: float = waited) -> bool:
                clock.step(waited)
                return ahead.still(tx) is not None

            assert store.write(work, ahead).result(30) is counts


def test_what_writes_is_left_to_the_turn(store: Store) -> None:
    """Looking ahead writes nothing, and what would have to write does not count."""
    ahead = Ahead(_linking(KEY))
    with store:
        assert store.write(ahead.still, ahead).result(30) is None
        assert store.read(lambda tx: tx.crosswalk.resolve([KEY])) == {}
