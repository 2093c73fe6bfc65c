"""What most commands start with: the project, and the record that it names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.clock import SystemClock, written
from engine.config.operations import Encryption
from engine.diagnostics import Severity
from engine.errors import ProjectError, StoreError
from engine.project import Project, load
from engine.store import PLAIN, Store, Vault, is_missing

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The project's config.yaml.")]
MISUSE = 2


def open_project(config: Path, *, to_run: bool = False) -> Project:
    """Load the project, or print every problem in it and end with exit code 2.

    `to_run` says that it is about to exchange, so that no secret may be absent.
    """
    try:
        return load(config, absent_secrets=Severity.ERROR if to_run else None)
    except ProjectError as error:
        for diagnostic in error.diagnostics:
            print(diagnostic.text(), file=sys.stderr)
        raise typer.Exit(MISUSE) from None


def open_store(project: Project, *, new: bool = False) -> Store:
    """Open the project's record, or say why not and end with exit code 2.

    One that is not there is begun only where it may be `new`: what looks at a record must not
    make an empty one.
    """
    try:
        if not new:
            must_exist(project.config.store)
        vault = vault_of(project.config.encryption)
        return Store.open(project.config.store, clock=SystemClock(), vault=vault)
    except StoreError as error:
        print(f"The record cannot be opened: {error}", file=sys.stderr)
        raise typer.Exit(MISUSE) from None


def must_exist(address: str) -> None:
    """Raise StoreError where there is no record at an address."""
    if is_missing(address):
        raise StoreError(f"there is no record at {address}; `carelane serve` begins one")


def instant_of(text: str | None) -> str | None:
    """Return an instant of the command line as the record writes it, or end with exit code 2."""
    if text is None:
        return None
    try:
        return written(text)
    except ValueError:
        print("An instant looks like 2026-05-01T10:00:00Z.", file=sys.stderr)
        raise typer.Exit(MISUSE) from None


def vault_of(encryption: Encryption | None) -> Vault:
    """Return what seals and opens payloads as the project says; raises StoreError."""
    return PLAIN if encryption is None else Vault(encryption.keys, encryption.active)
