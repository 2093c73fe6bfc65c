"""`carelane demo`: the main job on sample systems, start to end, with a table of what happened."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from engine.clock import SystemClock
from engine.errors import CarelaneError
from engine.samples.bundles import FOLDER
from engine.samples.day import Step
from engine.samples.play import Happening, play
from engine.samples.shipped import shipped
from engine.samples.stage import TITLES, Stage, staged
from engine.store import Store

_COLOURS = {"delivered": "green", "rejected": "red", "held": "yellow"}


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the three servers running until Ctrl-C.")
    ] = False,
) -> None:
    """Play a day of coordination between a sample hospital and a sample health plan."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started ends too
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="carelane-demo-"))
    started = time.monotonic()
    try:
        with staged(folder) as stage:
            _introduce(console)
            with Store.open(stage.store, clock=SystemClock()) as store:
                happenings = play(stage, store, partial(_announce, console))
            console.print(_table(happenings))
            _conclude(console, happenings, folder, time.monotonic() - started)
            if keep:
                _keep(console, stage)
    except CarelaneError as error:
        console.print(f"The demo could not be played: {error}", style="red", markup=False)
        raise typer.Exit(1) from None
    if not all(happening.as_expected for happening in happenings):
        raise typer.Exit(1)


def _keep(console: Console, stage: Stage) -> None:
    """Wait until the user has seen enough."""
    console.print(f"\nThe engine still listens on {stage.base}. Ctrl-C ends it. Try:")
    console.print(
        f"  curl -sS {stage.base}/Communication -H 'Content-Type: application/fhir+json' \\\n"
        f"    -H 'Authorization: Bearer {stage.tokens['mercy']}' \\\n"
        f"    --data-binary @{FOLDER / '09-outreach-after-revocation.json'}",
        soft_wrap=True,
        markup=False,
    )
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _introduce(console: Console) -> None:
    console.print(
        "[bold]A day of coordination[/bold] for Avery, who is eight, and Dana, her mother.\n"
        "Three servers run on this machine: the engine, a hospital's EHR that writes\n"
        "FHIR in the us-core dialect, and a health plan's hub that writes it in hrex.\n"
    )


def _announce(console: Console, number: int, step: Step, status: int) -> None:
    if step.hub == "goes down":
        console.print("    the plan's hub goes down: 503 with Retry-After", style="yellow")
    console.print(
        f"{number:>3} {TITLES[step.sender]:<9}{step.sample + '.json':<36}"
        f"POST /fhir{f'/{step.target}' if step.target else '':<15}{status}",
        style="dim",
    )
    if step.hub == "is back":
        console.print("    the plan's hub is back", style="yellow")


def _table(happenings: Sequence[Happening]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", style="dim")
    table.add_column("Sent by", no_wrap=True)
    table.add_column("Resource", ratio=1)
    for name in ("Outcome", "Why", "Arrived at"):
        table.add_column(name, no_wrap=True)
    for number, group in groupby(happenings, key=lambda one: one.step):
        for first, one in zip(chain([True], repeat(False)), group, strict=False):
            shown = (str(number), TITLES[one.sender]) if first else ("", "")
            table.add_row(*shown, one.expected.title, _outcome(one), one.why, one.arrived)
    return table


def _outcome(one: Happening) -> str:
    shown = f"[{_COLOURS.get(one.outcome, 'magenta')}]{one.outcome}[/]"
    return shown if one.as_expected else f"{shown} [bold red]?[/]"


def _conclude(
    console: Console, happenings: Sequence[Happening], folder: Path, seconds: float
) -> None:
    good = sum(happening.as_expected for happening in happenings)
    console.print(f"{good} of {len(happenings)} outcomes are as expected, in {seconds:.0f} s.")
    for one in happenings:
        if not one.as_expected:
            wanted = f"{one.expected.outcome} {one.expected.why}".strip()
            got = f"{one.outcome} {one.why}".strip()
            console.print(
                f"  step {one.step}, {one.expected.title}: expected {wanted}; "
                f"it is {got}, and arrived: {one.arrived}",
                style="red",
            )
    console.print(
        "\nThe fax is in fax/, the invitation in mail/, the summary that the plan sees in\n"
        f"summary.html and summary.pdf, all in {folder}.",
        soft_wrap=True,
    )
    console.print("The ledger of this day is there, too. To read it:", soft_wrap=True)
    for line in _next(happenings, folder):
        console.print(f"  {line}", soft_wrap=True, markup=False)


def _next(happenings: Sequence[Happening], folder: Path) -> Iterator[str]:
    """Yield what to type next, as it can be typed in the present folder."""
    command = _command()
    config = shipped() / "config.yaml"
    option = "" if config == Path("config.yaml").resolve() else f" --config {config}"
    yield f"export CARELANE_STORE=sqlite:///{folder / 'ledger.db'}"
    yield f"{command} ledger list{option}"
    for one in happenings:
        if one.outcome == "held":
            yield f"{command} ledger trace {one.message}{option}   # why step {one.step} is held"


def _command() -> str:
    """Return how this program is called here: by name, by its path, or as a module."""
    if shutil.which("carelane"):
        return "carelane"
    called = Path(sys.argv[0])
    return f"{sys.executable} -m engine" if called.name == "__main__.py" else str(called)
