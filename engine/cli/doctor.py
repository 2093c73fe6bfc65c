"""`carelane doctor`: say what keeps the engine from working, or soon will."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from engine.cli.loading import ConfigOption, vault_of
from engine.clock import SystemClock
from engine.config import Config
from engine.diagnostics import Severity
from engine.doctor import Finding, Grade, queue_findings, store_findings, system_findings
from engine.errors import StoreError
from engine.project import examine
from engine.store import Store

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def doctor(
    config: ConfigOption = Path("config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check config, secrets, database, schema, disk, systems, clocks and queues."""
    findings = list(_findings(config))
    if as_json:
        print(json.dumps([finding.to_json() for finding in findings], indent=1))
    else:
        _print(findings)
    if any(finding.grade == "problem" for finding in findings):
        raise typer.Exit(1)


def _findings(path: Path) -> Iterator[Finding]:
    project, problems = examine(path, os.environ, absent_secrets=Severity.ERROR)
    for problem in problems:
        grade: Grade = "problem" if problem.severity == Severity.ERROR else "warning"
        yield Finding("config", grade, problem.text())
    if project is None:
        project, _ = examine(path, os.environ)  # a secret that is absent hides nothing else
    if project is None:
        return
    yield Finding("config", "ok", f"{path} with {len(project.config.systems)} systems is read")
    clock = SystemClock()
    found = list(store_findings(project.config.store, clock))
    yield from found
    if not any(one.grade != "ok" for one in found if one.what in ("database", "schema")):
        yield from _record(project.config)
    yield from asyncio.run(system_findings(project.config.systems, clock))


def _record(config: Config) -> Iterator[Finding]:
    """Look into the record, but make none where there is none yet."""
    if config.store.startswith("sqlite:") and not Path(config.store[10:]).exists():
        return
    try:
        vault = vault_of(config.encryption)
        with Store.open(config.store, clock=SystemClock(), vault=vault) as store:
            yield from queue_findings(store, config)
    except StoreError as error:
        yield Finding("record", "problem", str(error))


def _print(findings: list[Finding]) -> None:
    console = Console()
    for finding in findings:
        line = Text(f"{finding.grade:8}", style=_COLOURS[finding.grade])
        line.append(f" {finding.what}: {finding.said}", style="default")
        if finding.remedy:
            line.append(f"\n         -> {finding.remedy}", style="default")
        console.print(line)
