"""`carelane backup` and `carelane restore`: a copy of the whole record, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.ledger import PROBLEMS, StoreOption
from engine.cli.loading import ConfigOption, open_project
from engine.clock import SystemClock
from engine.errors import StoreError
from engine.store import Store
from engine.store.copying import copy_in, copy_out

FileArgument = Annotated[Path, typer.Argument(help="The SQLite file that holds the copy.")]
CONFIG = Path("config.yaml")


def backup(file: FileArgument, config: ConfigOption = CONFIG, store: StoreOption = None) -> None:
    """Copy the record, as it stands at one moment, to a new file; servers go on meanwhile.

    The copy of a record on PostgreSQL is a SQLite file too. Encrypted payloads stay encrypted.
    """
    try:
        ends = copy_out(_address(config, store), file)
    except StoreError as error:
        raise _failed(error) from None
    print(f"{file}: {file.stat().st_size} bytes, ledger up to record {ends.last}")
    print(f"Note this beside it: carelane ledger verify --known {ends.last}:{ends.hash}")


def restore(file: FileArgument, config: ConfigOption = CONFIG, store: StoreOption = None) -> None:
    """Fill the project's record, which must be empty, from a copy; servers must not run.

    The record may be of another kind than the one that was copied: this is also the way from
    SQLite to PostgreSQL.
    """
    address = _address(config, store)
    try:
        copy_in(file, address)
        with Store.open(address, clock=SystemClock()) as filled:
            broken = filled.read(lambda tx: tx.audit.verify())
            ends = filled.read(lambda tx: tx.audit.ends())
    except StoreError as error:
        raise _failed(error) from None
    print(f"The record is restored up to record {ends.last} of its ledger.")
    for one in broken:
        print(f"record {one.sequence}: {one.finding}", file=sys.stderr)
    if broken:
        raise typer.Exit(PROBLEMS)


def _address(config: Path, store: str | None) -> str:
    return store if store is not None else open_project(config).config.store


def _failed(error: StoreError) -> typer.Exit:
    print(f"Nothing was done: {error}", file=sys.stderr)
    return typer.Exit(PROBLEMS)
