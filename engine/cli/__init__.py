"""`carelane`: one file for each family of commands; this one lists them.

Every command has `--help`; where output is data it has `--json`. Exit codes: 0 clean, 1 problems
found, 2 misuse.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

import typer


@dataclass(frozen=True, slots=True)
class Command:
    """Say where a command lives and what it is for; its module is imported when it is asked for."""

    module: str
    name: str
    help: str
    family: bool = False


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "serve": Command("serve", "serve", "Run the HTTP API, and deliveries beside it."),
        "worker": Command("serve", "worker", "Run deliveries alone."),
        "demo": Command("demo", "demo", "Play a day of coordination between two sample systems."),
        "init": Command("init", "init", "Start a new project in a folder."),
        "token": Command("token", "token", "Make a new bearer token and its SHA-256."),
        "lint": Command("mapping", "lint", "Say everything that is wrong with a project."),
        "test": Command("mapping", "test", "Run the cases beside the mappings."),
        "map": Command("mapping", "map_", "Run one resource through one adapter."),
        "certify": Command("mapping", "certify", "Say what a mapping loses."),
        "reload": Command("replacing", "reload", "Put the mappings folder into force."),
        "rollback": Command("replacing", "rollback", "Put the mappings before these into force."),
        "replay": Command("replaying", "replay", "List what another mapping makes otherwise."),
        "coverage": Command("replaying", "coverage", "Say what stored traffic used of mappings."),
        "schema": Command("schema", "schema", "Print the JSON Schema of a kind of file."),
        "explain": Command("mapping", "explain", "Explain a diagnostic code."),
        "decide": Command("decide", "decide", "Take one consent decision, with its trace."),
        "bench": Command("bench", "bench", "Measure the budgets of the design as ratios."),
        "consents": Command(
            "consents", "consents", "Show a member's consents and what a revocation would stop."
        ),
        "ledger": Command("ledger", "app", "Look at, explain and move messages.", family=True),
        "records": Command("records", "app", "Ask for records, and follow up.", family=True),
        "subscriptions": Command(
            "subscriptions", "subscriptions", "List who is notified by us, and who notifies us."
        ),
        "store": Command("store", "app", "Keep the record in order.", family=True),
        "doctor": Command("doctor", "doctor", "Say what keeps the engine from working."),
        "backup": Command("backup", "backup", "Copy the record to a file while it is in use."),
        "restore": Command("backup", "restore", "Put a copy of the record in its place."),
        "crosswalk": Command(
            "crosswalk", "app", "Say which identifiers mean the same.", family=True
        ),
    }
)
"""Every command of `carelane`, in the order in which help lists them."""


def build(asked: str | None = None) -> typer.Typer:
    """Return the command line; of its commands only `asked` is imported, the others are listed."""
    app = typer.Typer(
        name="carelane",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Carelane: FHIR for coordination of care, from dialect to dialect, under consent.",
    )
    app.callback()(_carelane)
    for name, command in COMMANDS.items():
        if name == asked:
            _add(app, name, command)
        else:
            app.command(name, help=command.help)(_elsewhere)
    return app


def _add(app: typer.Typer, name: str, command: Command) -> None:
    found: Any = getattr(importlib.import_module(f"engine.cli.{command.module}"), command.name)
    if command.family:
        app.add_typer(found, name=name, help=command.help)
    else:
        app.command(name)(found)


def _carelane() -> None:
    """Carelane: FHIR for coordination of care, from dialect to dialect, under consent."""


def _elsewhere() -> None:
    raise AssertionError("a command that was not asked for cannot run")


def main() -> None:
    """Run the command line."""
    words = sys.argv[1:]
    if any("\udc80" <= letter <= "\udcff" for word in words for letter in word):
        print("An argument is not text in UTF-8.", file=sys.stderr)
        raise SystemExit(2)
    asked = next((word for word in words if not word.startswith("-")), None)
    try:
        try:
            build(asked)()
        finally:
            if sys.stdout is not None:  # it may have been closed before we began
                sys.stdout.flush()
    except OSError as error:
        _stopped(error)


def _stopped(error: OSError) -> NoReturn:
    """Say which file or output failed; what is still to be printed goes nowhere."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    where = f"{error.filename}: " if error.filename else ""
    print(f"Carelane stopped: {where}{error.strerror or type(error).__name__}", file=sys.stderr)
    raise SystemExit(2)
