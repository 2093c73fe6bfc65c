"""Retention: what the project keeps only for a while is removed, a step at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.clock import after
from engine.config import Config
from engine.config.operations import Retention
from engine.store import Store, TimerRow, Transaction

KIND = "prune"
STEP = 500
"""Rows that one transaction removes at most: others wait for it."""

DAY = 86_400.0
Part = Callable[[Transaction, str, int], int]

PARTS: dict[str, Part] = {
    "messages": lambda tx, before, most: tx.upkeep.forget_messages(before, most),
    "deliveries": lambda tx, before, most: tx.upkeep.forget_deliveries(before, most),
    "history": lambda tx, before, most: tx.upkeep.forget_history(before, most),
    "audit": lambda tx, before, most: tx.audit.prune(before, most),
}
"""Each setting of `retention`, and what removes one step of it."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """Say how much was removed of each part."""

    counts: dict[str, int]


def prune(store: Store, retention: Retention) -> Pruned:
    """Remove everything that is older than the project keeps it."""
    counts: Counter[str] = Counter()
    now = store.clock.now()
    for part, before in _limits(retention, now):
        while removed := store.write(_step(part, before)).result():
            counts[part] += removed
            if removed < STEP:
                break
    while store.write(lambda tx: tx.upkeep.give_back()).result():
        pass
    return Pruned({part: counts[part] for part in PARTS})


def _limits(retention: Retention, now: str) -> Iterator[tuple[str, str]]:
    for part in PARTS:
        if days := getattr(retention, part):
            yield part, after(now, -days * DAY)


def _step(part: str, before: str) -> Callable[[Transaction], int]:
    def work(tx: Transaction) -> int:
        removed = PARTS[part](tx, before, STEP)
        if removed and part != "audit":
            tx.audit.append("ledger.forgotten", {"part": part, "before": before, "rows": removed})
        if removed:
            tx.upkeep.give_back()
        return removed

    return work


def schedule(tx: Transaction) -> None:
    """Let pruning happen today, once, whatever restarts; it goes on by itself every day."""
    day = tx.now[:10]
    tx.timers.set(f"{KIND} {day}", KIND, tx.now)


def goes_off(config: Callable[[], Config]) -> Callable[[Transaction, TimerRow], None]:
    """Return what the timer means: one step of each part, then the next step or the next day."""

    def work(tx: Transaction, timer: TimerRow) -> None:
        retention = config().retention
        more = [
            part for part, before in _limits(retention, tx.now) if _step(part, before)(tx) >= STEP
        ]
        if more:
            step = int(timer.body.get("step", 0)) + 1
            day = timer.key.split()[1]
            tx.timers.set(f"{KIND} {day} {step}", KIND, tx.now, {"step": step})
        else:
            tomorrow = after(tx.now, DAY)
            tx.timers.set(f"{KIND} {tomorrow[:10]}", KIND, tomorrow)

    return work
