"""`carelane serve` and `carelane worker`: run the engine until told to stop."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from engine import logs
from engine.cli.loading import MISUSE, ConfigOption, open_project, open_store
from engine.cli.serving import DELIVERIES, Crew, run_app, run_deliveries, served
from engine.clock import SystemClock
from engine.config.model import MOST_PROCESSES
from engine.errors import ProjectError
from engine.project import Project
from engine.replacing import started
from engine.server.board import Board
from engine.server.listening import Listening
from engine.server.pipes import Bell, Leash
from engine.server.processes import CAN_FORK, Processes

_UNASKED = 4
"""Processes that take submissions in, at most, where no number is configured."""

_YOUNG = 20_000
"""New objects that may stand unchecked; Python's own 700 is for small programs."""


def serve(
    config: ConfigOption = Path("config.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here instead of `server.host`.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Listen here instead of `server.port`.")
    ] = None,
    deliver: Annotated[
        bool | None,
        typer.Option(help="Run deliveries too, or leave them to `carelane worker`."),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_PROCESSES, help="So many instead of `server.processes`."),
    ] = None,
) -> None:
    """Run the HTTP API, and deliveries as `server.deliveries` says."""
    logs.configure()
    project = _started(config)
    settings = project.config.server
    how = _how(settings.deliveries, deliver)
    count = _count(processes or settings.processes, how)
    together = count > 1 or how == "process"
    if together:
        open_store(project, new=True).close()  # so that it is up to date before many open it
    chosen = port if port is not None else settings.port
    listening = _listen(host or settings.host, chosen, spread=count > 1)
    _spare_the_collector()
    if together:
        _serve_together(project, listening, count, how)
        return
    with open_store(project, new=True) as store:
        run_app(served(project, store, deliver=how == "beside"), listening.sockets())


def _started(config: Path) -> Project:
    """Load the project as an engine runs it, or print why not and end with exit code 2."""
    project = open_project(config, to_run=True)
    try:
        return started(project, SystemClock().now())
    except ProjectError as error:
        for diagnostic in error.diagnostics:
            print(diagnostic.text(), file=sys.stderr)
        said = "A rollback pinned these mappings, and this version refuses them; "
        print(f"{said}`carelane reload` puts the mappings folder into force.", file=sys.stderr)
        raise typer.Exit(MISUSE) from None


def _listen(host: str, port: int, *, spread: bool) -> Listening:
    """Take an address, or say why that cannot be and end with exit code 2."""
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        listening = Listening(host, port, spread=spread)
    except UnicodeError:
        print(f"Carelane cannot listen on {address}: this is no name of a host", file=sys.stderr)
        raise typer.Exit(MISUSE) from None
    except OSError as error:
        said = (error.strerror or str(error)).partition(" (while")[0]
        print(f"Carelane cannot listen on {address}: {said}", file=sys.stderr)
        raise typer.Exit(MISUSE) from None
    typer.echo(f"Carelane listens on {address}/fhir", err=True)
    return listening


def _spare_the_collector() -> None:
    """Leave what is loaded out of every collection of cyclic garbage, and collect less often.

    Messages leave hardly any cycles behind; looking for them took a fifteenth of the time of each.
    Processes that are forked afterwards share what is loaded for as long as nobody touches it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)


def _how(configured: str, asked: bool | None) -> str:
    """Return how to deliver: what the command line asks for counts before the config."""
    if asked is False:
        return "apart"
    how = "process" if asked and configured == "apart" else configured
    return "beside" if how == "process" and not CAN_FORK else how


def _count(asked: int | None, how: str) -> int:
    """Return how many processes take submissions in: one for each core that deliveries leave."""
    if not CAN_FORK or (asked is None and how == "beside"):
        return 1
    left = _usable_cores() - (how == "process")
    return asked or max(1, min(left, _UNASKED))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _serve_together(project: Project, listening: Listening, count: int, how: str) -> None:
    """Take in by `count` processes; deliver by one of its own, beside each of them, or not."""
    with tempfile.TemporaryDirectory(prefix="carelane-", ignore_cleanup_errors=True) as folder:
        crew = Crew(project, Board(Path(folder)), Leash(), Bell())
        names = [f"api-{number}" for number in range(1, count + 1)]
        roles: dict[str, Callable[[], None]] = {
            name: partial(crew.take_in, name, listening, how) for name in names
        }
        if how == "process":
            roles[DELIVERIES] = crew.deliver
        Processes(
            roles, crew.leash, SystemClock(), failed=crew.failed, ending=listening.close
        ).run()


def worker(config: ConfigOption = Path("config.yaml")) -> None:
    """Run deliveries alone, beside any number of servers and workers on the same record."""
    logs.configure()
    project = _started(config)
    _spare_the_collector()
    with open_store(project, new=True) as store:
        run_deliveries(project, store)
