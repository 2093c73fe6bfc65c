"""Memory of the engine under load for minutes: it must be flat. Run it by itself; it takes long.

    python benchmarks/soak.py --minutes 10

prints the resident memory of the server with the process that delivers for it, and what arrived,
once every few seconds, and at the end how much memory grew between the first and the last third.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

from loopback import processes

EVERY_SECONDS = 5.0
MOST_GROWTH = 1.1


def run() -> Iterator[dict[str, Any]]:
    """Yield nothing: `carelane bench` leaves the soak out, it takes minutes."""
    yield from ()


def soak(minutes: float, store: str | None, connections: int) -> dict[str, Any]:
    """Load the engine; return the memory over time and what arrived."""
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        address = store or f"sqlite:///{folder}/soak.db"
        with processes.sinking(folder) as sink, processes.engine(folder, address, sink.url) as it:
            processes.settle(it)
            load = threading.Thread(
                target=lambda: told.update(
                    processes.load(
                        it.url, "communication", minutes * 60, folder, connections=connections
                    )
                )
            )
            load.start()
            memory = list(_watch(it, sink, load))
            load.join()
            processes.await_all(sink, len(told["acknowledged"]))
            arrived = {int(n): c for n, c in sink.ask("all")["numbers"].items()}
    if arrived != dict.fromkeys(told["acknowledged"], 1):
        raise AssertionError("not everything that was acknowledged arrived once")
    return _figures(memory, told, minutes)


def _watch(
    engine: processes.Engine, sink: processes.Sink, load: threading.Thread
) -> Iterator[float]:
    started = time.monotonic()
    while load.is_alive():
        resident = engine.memory()
        count = sink.ask()["count"]
        print(f"{time.monotonic() - started:6.0f} s  {resident / 1e6:7.1f} MB  {count} arrived")
        yield resident / 1e6
        load.join(EVERY_SECONDS)


def _figures(memory: list[float], told: dict[str, Any], minutes: float) -> dict[str, Any]:
    third = max(1, len(memory) // 3)
    first, last = statistics.median(memory[third : 2 * third] or memory), memory[-third:]
    return {
        "name": "soak.memory",
        "ratio": round(statistics.median(last) / first, 3),
        "against": f"the second third of {minutes:g} minutes ({first:.0f} MB)",
        "target": MOST_GROWTH,
        "better": "lower",
        "figures": {
            "messages": len(told["acknowledged"]),
            "per_second": round(len(told["acknowledged"]) / told["seconds"]),
            "first_mb": round(memory[0], 1),
            "last_mb": round(memory[-1], 1),
            "most_mb": round(max(memory), 1),
        },
    }


def main() -> None:
    """Read the arguments and soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--store", help="another record than a fresh SQLite file")
    parser.add_argument("--connections", type=int, default=16)
    given = parser.parse_args()
    print(json.dumps(soak(given.minutes, given.store, given.connections), indent=1))


if __name__ == "__main__":
    main()
