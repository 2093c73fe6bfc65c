"""Rotation of keys: every payload is sealed with the active key, a page at a time."""

from __future__ import annotations

from typing import Any

from engine.store import Store, Transaction
from engine.store.upkeep import SEALED, Resealed, Sealed

PAGE = 200


def rekey(store: Store) -> dict[str, int]:
    """Seal anew what is sealed with another key than the active one; return rows by table."""
    counts = {str(kind.table.name): _all_of(store, kind) for kind in SEALED}
    store.write(lambda tx: tx.audit.append("store.rekeyed", dict(counts))).result()
    return counts


def _all_of(store: Store, kind: Sealed) -> int:
    done, after = 0, None
    while True:
        page: Resealed = store.write(_page(kind, after)).result()
        done, after = done + page.done, page.last
        if after is None:
            return done


def _page(kind: Sealed, after: tuple[Any, ...] | None) -> Any:
    def work(tx: Transaction) -> Resealed:
        return tx.upkeep.reseal(kind, after, PAGE)

    return work
