"""`carelane ledger`: look at messages, explain them, move what waits for a person."""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine import ledger, retention
from engine.audit import Ends
from engine.cli.ledger_text import trace_lines
from engine.cli.loading import (
    MISUSE,
    ConfigOption,
    instant_of,
    must_exist,
    open_project,
    open_store,
)
from engine.clock import SystemClock
from engine.errors import StoreError
from engine.events import Wanted, events
from engine.fhir.json import dumps
from engine.project import Project
from engine.releasing import release as release_unit
from engine.store import Store, Transaction

T = TypeVar("T")
PROBLEMS = 1
CONFIG = Path("config.yaml")
_SEQUENCE = re.compile("[0-9]{1,18}")
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

StoreOption = Annotated[
    str | None, typer.Option("--store", help="The record's address, instead of the project's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IdArgument = Annotated[str, typer.Argument(help="A message, or a unit or delivery of it, by id.")]
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who decides this, for the record; by default you.")
]


@contextmanager
def record(
    config: Path, address: str | None, *, new: bool = False
) -> Iterator[tuple[Store, Project | None]]:
    """Open the record at `address`, else the one that the project names (and the project).

    One that is not there is begun only where it may be `new`.
    """
    try:
        if address is not None:
            if not new:
                must_exist(address)
            with Store.open(address, clock=SystemClock()) as store:
                yield store, None
        else:
            project = open_project(config)
            with open_store(project, new=new) as store:
                yield store, project
    except StoreError as error:
        print(f"The record cannot be used: {error}", file=sys.stderr)
        raise typer.Exit(MISUSE) from None


def _ask(config: Path, address: str | None, run: Callable[[Transaction], T]) -> T:
    with record(config, address) as (store, _):
        return store.read(run)


@app.command("list")
def list_(
    member: Annotated[
        str | None,
        typer.Option(help="A member: canonical id, reference, or identifier (`system|value`)."),
    ] = None,
    correlation: Annotated[
        str | None, typer.Option(help="The correlation id that its sender gave.")
    ] = None,
    system: Annotated[str | None, typer.Option("--from", help="The system that sent it.")] = None,
    state: Annotated[
        str | None,
        typer.Option(help="accepted, rejected, held, waiting, leased, delivered, dead, skipped."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Received at or after this instant.")] = None,
    until: Annotated[str | None, typer.Option(help="Received before this instant.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List messages, newest first, with what became of them."""
    if state is not None and state not in ledger.STATES:
        known = ", ".join(sorted(ledger.STATES))
        print(f"There is no state '{state}': known are {known}.", file=sys.stderr)
        raise typer.Exit(MISUSE)
    asked = ledger.Question(
        member=member,
        correlation=correlation,
        system=system,
        state=state,
        since=instant_of(since),
        until=instant_of(until),
        limit=limit,
    )
    found = _ask(config, store, lambda tx: ledger.lines(tx, asked))
    if as_json:
        _print_json([line.to_json() for line in found])
    else:
        Console().print(_table(found))


def _table(found: list[ledger.Line]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("received", no_wrap=True)
    table.add_column("message", no_wrap=True, min_width=36)
    table.add_column("from, and what became of it", overflow="fold")
    for line in found:
        row = line.message
        became = [f"{row.system}: {row.state} ({row.status})", *_became(line)]
        table.add_row(f"{row.received[:19]}Z", row.id, Text("\n".join(became)))
    return table


def _became(line: ledger.Line) -> Iterator[str]:
    for unit in line.units:
        yield f"{unit.type} {unit.state} {unit.reason or ''}".rstrip()
        for one in line.deliveries:
            if one.unit_id == unit.id:
                yield f"  to {one.destination}: {one.state} {one.reason or ''}".rstrip()


@app.command()
def show(
    id: IdArgument,
    payload: Annotated[
        bool, typer.Option("--payload", help="Also what arrived and what is sent: patient data.")
    ] = False,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one message; its payload only where that is asked for."""
    found = _ask(config, store, lambda tx: ledger.trace(tx, id))
    if found is None:
        raise _unknown(id)
    out = ledger.Line(
        found.message,
        tuple(unit.unit for unit in found.units),
        tuple(one.delivery for unit in found.units for one in unit.deliveries),
    )
    data = out.to_json()
    if payload:
        data |= {"body": _text(found.message.body), "response": _text(found.message.response)}
        for shown, delivery in zip(data["deliveries"], out.deliveries, strict=True):
            shown["body"] = _text(delivery.body)
    if as_json or payload:
        _print_json(data)
    else:
        Console().print(_table([out]))


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode("utf-8", "replace")


@app.command()
def trace(
    id: IdArgument,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain one message from arrival to delivery, with every decision and its reasons."""
    found = _ask(config, store, lambda tx: ledger.trace(tx, id))
    if found is None:
        raise _unknown(id)
    if as_json:
        _print_json(found.to_json())
    else:
        for line in trace_lines(found):
            print(line)


@app.command("events")
def events_(
    member: Annotated[
        str | None,
        typer.Option(help="A member: canonical id, reference, or identifier (`system|value`)."),
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="A resource by its canonical reference (`Type/id`).")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Decided at or after this instant.")] = None,
    until: Annotated[str | None, typer.Option(help="Decided before this instant.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many decisions.")] = (
        1000
    ),
    config: ConfigOption = CONFIG,
) -> None:
    """Print decisions and disclosures as FHIR AuditEvents (IHE BALP), one a line."""
    with record(config, None) as (opened, project):
        if project is None:
            raise AssertionError("without an address of its own the record is a project's")
        wanted = Wanted(member, entity, None, instant_of(since), instant_of(until), limit=limit)
        for event in opened.read(lambda tx: events(tx, project, wanted)).events:
            print(dumps(event).decode())


@app.command()
def release(
    id: Annotated[str, typer.Argument(help="A held unit or delivery, by id.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
) -> None:
    """Let something held go on: a unit is run again, a delivery is decided and sent again."""
    with record(config, store) as (opened, project):
        unit = opened.read(lambda tx: tx.units.get(id))
        if unit is not None and project is None:
            print("A unit is run again by its project: use --config, not --store.", file=sys.stderr)
            raise typer.Exit(MISUSE)

        def work(tx: Transaction) -> bool:
            if unit is None or project is None:
                return tx.deliveries.release(id, _who(by))
            tx.audit.append(
                "unit.release-asked", {}, message=unit.message_id, unit=id, actor=_who(by)
            )
            return release_unit(tx, project, unit)

        moved = opened.write(work).result()
    _say(moved, f"{id} goes on.", f"{id} is not held, or what holds it is still there.")


@app.command()
def requeue(
    id: Annotated[str, typer.Argument(help="A dead letter, by the id of its delivery.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
) -> None:
    """Have a dead letter tried again from the start."""
    with record(config, store) as (opened, _):
        moved = opened.write(lambda tx: tx.deliveries.requeue(id, _who(by))).result()
    _say(moved, f"{id} is tried again.", f"{id} is no dead letter.")


@app.command()
def skip(
    id: Annotated[str, typer.Argument(help="A dead letter that stops its line, by its delivery.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
) -> None:
    """Let what waits behind a dead letter go; it may still be tried again."""
    with record(config, store) as (opened, _):
        moved = opened.write(lambda tx: tx.deliveries.skip(id, _who(by))).result()
    _say(moved, f"The line of {id} goes on.", f"{id} is no dead letter that stops its line.")


@app.command()
def discard(
    id: Annotated[str, typer.Argument(help="A delivery that waits, is held or dead.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
) -> None:
    """Give a delivery up for good: its line goes on without it."""
    if not reason.strip():
        print("Say why in --reason: nobody else will know.", file=sys.stderr)
        raise typer.Exit(MISUSE)
    with record(config, store) as (opened, _):
        moved = opened.write(lambda tx: tx.deliveries.discard(id, reason, _who(by))).result()
    _say(moved, f"{id} is given up.", f"{id} is no delivery, is under way, or has come to an end.")


@app.command()
def verify(
    known: Annotated[
        str | None,
        typer.Option(help="An end of the chain noted at an earlier check: SEQUENCE:HASH."),
    ] = None,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that no record of the ledger was changed, removed or moved."""
    noted = None if known is None else _noted(known)
    found = _ask(config, store, lambda tx: ledger.verify(tx, noted))
    if as_json:
        _print_json(found.to_json())
    else:
        for one in found.breaks:
            print(f"record {one.sequence}: {one.finding}")
        count = found.ends.last - found.ends.first + 1
        print(f"{count} records, {'whole' if found.whole else 'NOT whole'}.")
        print(f"Note this for the next check: --known {found.ends.last}:{found.ends.hash}")
    if not found.whole:
        raise typer.Exit(PROBLEMS)


@app.command()
def prune(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """Remove now what the project keeps only for a while (`retention` in config.yaml)."""
    with record(config, None) as (store, project):
        assert project is not None
        done = retention.prune(store, project.config.retention)
    if as_json:
        _print_json(done.counts)
        return
    if project.config.retention.nothing:
        print("The project keeps everything for ever: set `retention` in config.yaml.")
    for part, count in done.counts.items():
        print(f"{part}: {count} removed")


def _noted(text: str) -> Ends:
    sequence, _, digest = text.partition(":")
    if not (_SEQUENCE.fullmatch(sequence) and len(digest) == 64):
        print("--known is not SEQUENCE:HASH as `verify` printed it.", file=sys.stderr)
        raise typer.Exit(MISUSE)
    return Ends(1, "", int(sequence), digest)


def _who(by: str | None) -> str:
    return by or f"user {getpass.getuser()}"


def _say(moved: bool, done: str, not_done: str) -> None:
    print(done if moved else not_done, file=sys.stdout if moved else sys.stderr)
    if not moved:
        raise typer.Exit(PROBLEMS)


def _unknown(id: str) -> typer.Exit:
    print(f"Nothing in the ledger has the id {id}.", file=sys.stderr)
    return typer.Exit(PROBLEMS)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=1, ensure_ascii=False))
