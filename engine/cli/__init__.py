"""`carelane`: one file for each family of commands; this one lists them.

Every command has `--help`; where output is data it has `--json`. Exit codes: 0 clean, 1 problems
found, 2 misuse.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import click
import typer
from typer.core import TyperGroup


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
        "explain": Command("mapping", "explain", "Explain a diagnostic code."),
        "decide": Command("decide", "decide", "Take one consent decision, with its trace."),
        "ledger": Command("ledger", "app", "Look at, explain and move messages.", family=True),
        "crosswalk": Command(
            "crosswalk", "app", "Say which identifiers mean the same.", family=True
        ),
    }
)
"""Every command of `carelane`, in the order in which help lists them."""


class LazyGroup(TyperGroup):
    """Import a command's module only when that command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = COMMANDS.get(cmd_name)
        return load(cmd_name, command) if command else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, command.help) for name, command in COMMANDS.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def load(name: str, command: Command) -> click.Command:
    """Return the click command of one row of COMMANDS."""
    found: Any = getattr(importlib.import_module(f"engine.cli.{command.module}"), command.name)
    if command.family:
        group = typer.main.get_command(found)
        group.name = name
        return group
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(found)
    single = typer.main.get_command(app)
    single.name = name
    return single


app = typer.Typer(
    cls=LazyGroup,
    name="carelane",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def carelane() -> None:
    """Carelane: FHIR for coordination of care, from dialect to dialect, under consent."""


def main() -> None:
    """Run the command line."""
    app()
