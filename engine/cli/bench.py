"""`carelane bench`: the budgets of the design as ratios, both sides measured in one run."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from engine.cli.bench_page import Row, bound, met, page
from engine.cli.loading import MISUSE


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these benchmarks, such as `validate`.")
    ] = None,
    folder: Annotated[
        Path, typer.Option(help="The folder of benchmarks (in a checkout of Carelane).")
    ] = Path("benchmarks"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a page about this run, such as docs/benchmarks.md.")
    ] = None,
) -> None:
    """Run the benchmarks; each prints a ratio against something measured in the same run."""
    files = sorted(file for file in folder.glob("*.py") if not names or file.stem in names)
    if not files:
        typer.echo(f"There is no benchmark of that name in {folder}/.", err=True)
        raise typer.Exit(MISUSE)
    if report is not None and not report.parent.is_dir():  # before minutes of measuring
        typer.echo(f"There is no folder {report.parent} for the report.", err=True)
        raise typer.Exit(MISUSE)
    made = list(_rows(files))
    rows = [row for row in made if "skipped" not in row]
    skipped = [row for row in made if "skipped" in row]
    if report is not None:
        command = " ".join(["carelane bench", *(names or ())])
        report.write_text(page(rows, skipped, _machine(), command))
    if as_json:
        told = {"machine": _machine(), "results": rows, "skipped": skipped}
        print(json.dumps(told, indent=1))
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
        sys.modules[spec.name] = module  # dataclasses look there for their own module
        spec.loader.exec_module(module)
        yield from module.run()


def _machine() -> Row:
    return {
        "day": f"{datetime.now(UTC):%Y-%m-%d}",
        "carelane": version("carelane"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def _print(rows: list[Row]) -> None:
    table = Table("benchmark", "ratio", "target", "against")
    for row in rows:
        ratio = f"{row['ratio']:g}" if met(row) else f"[bold]{row['ratio']:g}[/bold] (missed)"
        table.add_row(row["name"], ratio, bound(row), row["against"])
    Console().print(table)
