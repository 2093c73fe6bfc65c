"""`carelane bench`: the budgets of the design as ratios, both sides measured in one run."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from engine.cli.loading import MISUSE

Row = dict[str, Any]


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these benchmarks, such as `validate`.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="The folder of benchmarks (in a checkout of Carelane).")
    ] = Path("benchmarks"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the benchmarks; each prints a ratio against something measured in the same run."""
    files = sorted(file for file in folder.glob("*.py") if not names or file.stem in names)
    if not files:
        typer.echo(f"There is no benchmark of that name in {folder}/.", err=True)
        raise typer.Exit(MISUSE)
    made = list(_rows(files))
    rows = [row for row in made if "skipped" not in row]
    skipped = [row for row in made if "skipped" in row]
    if as_json:
        report = {"machine": _machine(), "results": rows, "skipped": skipped}
        print(json.dumps(report, indent=1))
    else:
        _print(rows)
        for row in skipped:
            print(f"{row['name']} was skipped: {row['skipped']}")


def _rows(files: list[Path]) -> Iterator[Row]:
    for file in files:
        spec = importlib.util.spec_from_file_location(f"benchmarks.{file.stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield from module.run()


def _machine() -> Row:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processors": os.cpu_count(),
    }


def _print(rows: list[Row]) -> None:
    table = Table("benchmark", "ratio", "target", "against")
    for row in rows:
        sign = "<=" if row["better"] == "lower" else ">="
        met = row["ratio"] <= row["target"] if sign == "<=" else row["ratio"] >= row["target"]
        ratio = f"{row['ratio']:g}" if met else f"[bold]{row['ratio']:g}[/bold] (missed)"
        table.add_row(row["name"], ratio, f"{sign} {row['target']:g}", row["against"])
    Console().print(table)
