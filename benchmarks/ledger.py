"""Measure a search of the ledger at a million messages: each way to narrow it, by index."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

from store import OLD, seed

from engine import ledger
from engine.store import Store
from engine.transform.crosswalk import Key

SIZE = int(os.environ.get("CARELANE_BENCH_MESSAGES", "1000000"))
TARGET_SECONDS = 0.05
ROUNDS = 5


def run() -> Iterator[dict[str, Any]]:
    """Yield the slowest search as a share of what it may take, with each one's time."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/large.db"
        Store.open(url).close()
        seed(Path(folder) / "large.db", SIZE)
        with Store.open(url) as store:
            links = {Key("", "identifier", "Patient|http://mercy.example/mrn|A7"): "m7"}
            store.write(lambda tx: tx.crosswalk.link(links, source="mercy")).result()
            seconds = {name: _seconds(store, question) for name, question in QUESTIONS.items()}
    slowest = max(seconds, key=lambda name: seconds[name])
    yield {
        "name": "ledger.search",
        "ratio": round(seconds[slowest] / TARGET_SECONDS, 3),
        "against": f"{TARGET_SECONDS * 1000:.0f} ms for the slowest ({slowest}); {SIZE} messages",
        "target": 1.0,
        "better": "lower",
        "figures": {name: f"{found * 1000:.1f} ms" for name, found in seconds.items()},
    }


QUESTIONS = {
    "newest": ledger.Question(),
    "member": ledger.Question(member="m7"),
    "identifier": ledger.Question(member="http://mercy.example/mrn|A7"),
    "correlation": ledger.Question(correlation="c-500"),
    "system": ledger.Question(system="old"),
    "rejected": ledger.Question(state="rejected"),
    "held": ledger.Question(state="held"),
    "waiting": ledger.Question(state="waiting"),
    "delivered": ledger.Question(state="delivered"),
    "dead": ledger.Question(state="dead"),
    "time": ledger.Question(since=OLD, until="2021"),
    "member and state": ledger.Question(member="m7", state="waiting"),
    "system and time": ledger.Question(system="old", since=OLD),
}
"""Every way in which `carelane ledger list` narrows."""


def _seconds(store: Store, question: ledger.Question) -> float:
    """Return the median time of one search."""
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        store.read(lambda tx: ledger.lines(tx, question))
        taken.append(time.perf_counter() - started)
    return sorted(taken)[ROUNDS // 2]


if __name__ == "__main__":
    for row in run():
        print(row)
