"""Over HTTP, with real processes: acceptance and the whole way to a sink, against a bare echo."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

from loopback import processes

Row = dict[str, Any]
SECONDS = float(os.environ.get("CARELANE_BENCH_SECONDS", "6"))
CONNECTIONS = 16
STORE = os.environ.get("CARELANE_BENCH_STORE", "")
"""Another record than a fresh SQLite file, such as an empty PostgreSQL database."""


def run() -> Iterator[Row]:
    """Yield acceptance and both ends, each against the echo measured beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield accept(folder)
        yield end_to_end(folder, "communication")
        yield end_to_end(folder, "careplan")


def accept(folder: Path) -> Row:
    """Return how fast one Communication is accepted, durably, without deliveries beside it."""
    echo = _echo(folder, "communication")
    with processes.engine(folder, _store(folder, "accept"), _NOWHERE, deliver=False) as engine:
        processes.settle(engine)
        processes.load(engine.url, "communication", 1, folder)
        told = processes.load(engine.url, "communication", SECONDS, folder, start=10_000_000)
    _only(told, "201")
    return _row("accept.http", _rate(told), echo, 0.4, told)


def end_to_end(folder: Path, kind: str) -> Row:
    """Return how fast payloads get through to a sink, from the first sent to the last arrived."""
    echo = _echo(folder, kind)
    with (
        processes.sinking(folder) as sink,
        processes.engine(folder, _store(folder, kind), sink.url) as engine,
    ):
        processes.settle(engine)
        warm = processes.load(engine.url, kind, 1, folder)
        processes.await_all(sink, len(warm["acknowledged"]))
        told = processes.load(engine.url, kind, SECONDS, folder, start=10_000_000)
        processes.await_all(sink, len(warm["acknowledged"]) + len(told["acknowledged"]))
        arrived = sink.ask("all")
    _only(told, "201")
    counts = {int(n): count for n, count in arrived["numbers"].items() if int(n) > 10_000_000}
    if counts != dict.fromkeys(told["acknowledged"], 1):
        missing = set(told["acknowledged"]) - set(counts)
        twice = sum(count > 1 for count in counts.values())
        raise AssertionError(f"{len(missing)} did not arrive, {twice} arrived twice")
    rate = len(counts) / (arrived["last"] - told["started"])
    return _row(f"end_to_end.{kind}", rate, echo, 0.12, told)


_NOWHERE = "http://127.0.0.1:9/fhir"


def _echo(folder: Path, kind: str) -> float:
    with processes.echoing(folder) as url:
        processes.load(url, kind, 0.5, folder)
        return _rate(processes.load(url, kind, max(2.0, SECONDS / 3), folder))


def _store(folder: Path, name: str) -> str:
    return STORE or f"sqlite:///{folder / name}.db"


def _rate(told: dict[str, Any]) -> float:
    return float(len(told["acknowledged"]) / told["seconds"])


def _only(told: dict[str, Any], status: str) -> None:
    """See that nothing was refused; what was put off for a while was sent again."""
    if set(told["answers"]) - {status, "429", "503"}:
        raise AssertionError(f"not everything was accepted: {told['answers']}")


def _row(name: str, rate: float, echo: float, target: float, told: dict[str, Any]) -> Row:
    return {
        "name": name,
        "ratio": round(rate / echo, 3),
        "against": f"a bare FastAPI echo, same client ({rate:.0f}/s against {echo:.0f}/s)",
        "target": target,
        "better": "higher",
        "figures": {
            "per_second": round(rate),
            "accepted_per_second": round(_rate(told)),
            "echo_per_second": round(echo),
            "median_ms": round(told["median"] * 1000, 1),
            "p99_ms": round(told["p99"] * 1000, 1),
            "put_off": told["answers"].get("503", 0) + told["answers"].get("429", 0),
        },
    }


if __name__ == "__main__":
    for row in run():
        print(row)
