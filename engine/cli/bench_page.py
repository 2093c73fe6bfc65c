"""The page that says in the open what the benchmarks showed, what was missed included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]

_HEAD = """\
# Benchmarks

Written by `{command}` on {day}: carelane {carelane}, Python {python}, {system}, {processors}
processors. Each ratio is held against something measured beside it in the same run, and holds for
that machine and that hour; another run differs. `benchmarks/` has the code of all of them.

| benchmark | ratio | target | | held against |
|---|---|---|---|---|
"""


def page(rows: Iterable[Row], skipped: Iterable[Row], machine: Row, command: str) -> str:
    """Return the page as Markdown; `machine` is what `carelane bench --json` says of it."""
    lines = [*map(_line, rows), *_skipped(skipped)]
    return _HEAD.format(command=command, **machine) + "\n".join(lines) + "\n"


def met(row: Row) -> bool:
    """Tell whether a row reaches its target."""
    ratio, target = row["ratio"], row["target"]
    return bool(ratio <= target if row["better"] == "lower" else ratio >= target)


def bound(row: Row) -> str:
    """Return the target as it is written: `<= 3` or `>= 0.5`."""
    sign = "<=" if row["better"] == "lower" else ">="
    return f"{sign} {row['target']:g}"


def _line(row: Row) -> str:
    sign = "met" if met(row) else "**missed**"
    cells = (f"`{row['name']}`", f"{row['ratio']:g}", bound(row), sign, row["against"])
    return f"| {' | '.join(cells)} |"


def _skipped(rows: Iterable[Row]) -> Iterator[str]:
    found = [f"- `{row['name']}`: {row['skipped']}" for row in rows]
    if found:
        yield from ("", "Not measured:", "", *found)
