"""A worker's turn on a database with several writers, which may ask for all of it again."""

from __future__ import annotations

from typing import Any

import pytest
from desk import Desk as Making

from engine.deliver.destination import Destination
from engine.deliver.ports import Judge, Permit, Ready, nothing_more, nothing_to_read
from engine.deliver.turn import Desk, Turned
from engine.store import DeliveryRow, Store, Transaction

BOTH_WRITE = pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
PLACES = {"hub": Destination("hub", "http://hub.example/fhir")}


class Deadlock:
    """Have the database say, the first time only, that two wait for each other."""

    def __init__(self) -> None:
        self.asked = 0

    def ready(self, tx: Transaction, _deliveries: Any) -> None:
        self.asked += 1
        if self.asked == 1:
            raising = "RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'"
            tx.connection.exec_driver_sql(f"DO $$ BEGIN {raising}; END $$")

    def judge(self, tx: Transaction, _delivery: Any) -> Permit:
        self.ready(tx, ())
        return Permit()


def permit(_tx: Any, _delivery: Any) -> Permit:
    return Permit()


def turned(store: Store, judge: Judge, ready: Ready) -> Turned:
    """Do one turn that claims what there is."""
    desk = Desk("w", judge, nothing_more, PLACES, lambda: 0.0, 10.0, 64, ready=ready)
    return store.write(desk.turn([], {"hub": 4})).result(30)


@BOTH_WRITE
def test_a_deadlock_while_reading_together_repeats_the_turn(desk: Making) -> None:
    """All of it is done again, and what was claimed leaves."""
    making = Deadlock()
    delivery = desk.enqueue()
    found = turned(desk.store, permit, making.ready)
    assert [(task.delivery.id, task.delivery.fence) for task in found.tasks] == [(delivery.id, 1)]
    assert making.asked == 2


@BOTH_WRITE
def test_a_deadlock_while_judging_repeats_the_turn(desk: Making) -> None:
    """No delivery is put off for it."""
    making = Deadlock()
    delivery = desk.enqueue()
    found = turned(desk.store, making.judge, nothing_to_read)
    assert [(task.delivery.id, task.delivery.fence) for task in found.tasks] == [(delivery.id, 1)]


def test_what_cannot_even_be_asked_puts_off_one_delivery(desk: Making) -> None:
    """A question with a NUL never leaves the driver; the others of the turn are sent."""
    bad, good = desk.enqueue("m1"), desk.enqueue("m2")

    def judge(tx: Transaction, delivery: DeliveryRow) -> Permit:
        if delivery.id == bad.id:
            tx.deliveries.was_delivered("hub", "CareTeam/\x00")
            raise ValueError
        return Permit()

    found = turned(desk.store, judge, nothing_to_read)
    assert [task.delivery.id for task in found.tasks] == [good.id]
    row = desk.store.read(lambda tx: tx.deliveries.get(bad.id))
    assert row is not None
    assert (row.state, row.reason) == ("waiting", "D011")


def test_what_cannot_be_read_together_is_judged_all_the_same(desk: Making) -> None:
    """An error that is none of the database spoils nothing of a turn."""

    def ready(_tx: Any, _deliveries: Any) -> None:
        raise ValueError

    desk.enqueue()
    assert len(turned(desk.store, permit, ready).tasks) == 1
