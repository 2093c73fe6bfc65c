"""Over HTTP, with real processes: acceptance and the whole way to a sink, against a bare echo."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

from loopback import processes

Row = dict[str, Any]
Told = dict[str, Any]
SECONDS = float(os.environ.get("CARELANE_BENCH_SECONDS", "6"))
ROUNDS = 5
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
    with (
        processes.echoing(folder) as echo,
        processes.engine(folder, _store(folder, "accept"), _NOWHERE, deliver=False) as engine,
    ):
        processes.settle(engine)
        rounds = _rounds(folder, "communication", echo, engine.url)
        return _row("accept.http", rounds, [_taken(told) for told in rounds.engine], 0.4)


def end_to_end(folder: Path, kind: str) -> Row:
    """Return how fast payloads get through to a sink, from the first sent to the last arrived."""
    with (
        processes.echoing(folder) as echo,
        processes.sinking(folder) as sink,
        processes.engine(folder, _store(folder, kind), sink.url) as engine,
    ):
        processes.settle(engine)
        taken: list[float] = []
        sent: list[int] = []

        def arrived(told: Told) -> None:
            sent.extend(told["acknowledged"])
            processes.await_all(sink, len(sent))
            taken.append(sink.ask("all")["last"] - told["started"])

        rounds = _rounds(folder, kind, echo, engine.url, arrived)
        counts = {int(n): count for n, count in sink.ask("all")["numbers"].items()}
    if counts != dict.fromkeys(sent, 1):
        twice = sum(count > 1 for count in counts.values())
        raise AssertionError(
            f"{len(set(sent) - set(counts))} did not arrive, {twice} arrived twice"
        )
    return _row(f"end_to_end.{kind}", rounds, taken[1:], 0.12)


_NOWHERE = "http://127.0.0.1:9/fhir"


@dataclass(frozen=True, slots=True)
class Rounds:
    """Hold what the client was told, round by round, by the echo and by the engine."""

    echo: list[Told]
    engine: list[Told]


def _rounds(
    folder: Path,
    kind: str,
    echo: str,
    engine: str,
    after_each: Callable[[Told], None] = lambda told: None,
) -> Rounds:
    """Load the echo and the engine in turns, so that a slow minute of the machine meets both.

    The first round of each warms it and is left out.
    """
    rounds = Rounds([], [])
    for number in range(ROUNDS + 1):
        seconds = SECONDS / ROUNDS if number else 1.0
        rounds.echo.append(processes.load(echo, kind, seconds / 2, folder))
        told = processes.load(engine, kind, seconds, folder, start=number * 10_000_000)
        _only(told, "201")
        after_each(told)
        rounds.engine.append(told)
    return Rounds(rounds.echo[1:], rounds.engine[1:])


def _store(folder: Path, name: str) -> str:
    return STORE or f"sqlite:///{folder / name}.db"


def _taken(told: Told) -> float:
    return float(told["seconds"])


def _rate(told: Sequence[Told], seconds: Sequence[float]) -> float:
    return sum(len(one["acknowledged"]) for one in told) / sum(seconds)


def _only(told: Told, status: str) -> None:
    """See that nothing was refused; what was put off for a while was sent again."""
    if set(told["answers"]) - {status, "429", "503"}:
        raise AssertionError(f"not everything was accepted: {told['answers']}")


def _row(name: str, rounds: Rounds, taken: Sequence[float], target: float) -> Row:
    echo = _rate(rounds.echo, [_taken(told) for told in rounds.echo])
    rate = _rate(rounds.engine, taken)
    return {
        "name": name,
        "ratio": round(rate / echo, 3),
        "against": f"a bare FastAPI echo, same client ({rate:.0f}/s against {echo:.0f}/s)",
        "target": target,
        "better": "higher",
        "figures": {
            "per_second": round(rate),
            "accepted_per_second": round(
                _rate(rounds.engine, [_taken(told) for told in rounds.engine])
            ),
            "echo_per_second": round(echo),
            "median_ms": round(median(told["median"] for told in rounds.engine) * 1000, 1),
            "p99_ms": round(max(told["p99"] for told in rounds.engine) * 1000, 1),
            "put_off": sum(
                told["answers"].get(later, 0) for told in rounds.engine for later in ("429", "503")
            ),
        },
    }


if __name__ == "__main__":
    for row in run():
        print(row)
