"""`carelane records`: ask for records, see what is open or overdue, and review what came."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from engine import ledger
from engine.cli.ledger import CONFIG, PROBLEMS, ByOption, JsonOption
from engine.cli.loading import MISUSE, ConfigOption, open_project, open_store
from engine.clock import after
from engine.coordination.records import (
    Asked,
    Asking,
    Tracked,
    all_requests,
    ask,
    open_requests,
    records_settings,
)
from engine.coordination.records import review as review_request
from engine.coordination.records_providers import Provider, providers
from engine.coordination.records_states import WAITING
from engine.coordination.records_tasks import Wanted, end_of
from engine.diagnostics import Diagnostic
from engine.project import Project
from engine.store import Store, Transaction

T = TypeVar("T")
_DAY = 86_400
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
LOINC = "http://loinc.org"
_NOBODY_ASKS = Diagnostic(
    "G004",
    "Nobody is named on whose behalf to ask.",
    expected="coordination.acting in config.yaml",
)

MemberOption = Annotated[
    str | None,
    typer.Option(help="A member: canonical id, reference, or identifier (`system|value`)."),
]


@app.command("request")
def request_(
    member: Annotated[
        str, typer.Argument(help="A member: canonical id, reference, or `system|value`.")
    ],
    to: Annotated[
        list[str] | None, typer.Option(help="Ask only these systems (may be repeated).")
    ] = None,
    code: Annotated[
        list[str] | None, typer.Option(help="A LOINC code of what is wanted (may be repeated).")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="What is wanted, in words (may be repeated).")
    ] = None,
    due: Annotated[
        str | None, typer.Option(help="When it is due, a date or instant; else as configured.")
    ] = None,
    current: Annotated[
        bool, typer.Option("--current", help="Ask present providers only, not previous ones.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Ask previous and current providers for a member's records."""
    until = end_of({"end": due}) if due is not None else None
    if due is not None and until is None:
        print("--due must be a FHIR date or instant, such as 2026-06-30.", file=sys.stderr)
        raise typer.Exit(MISUSE)
    codes: list[dict[str, Any]] = [
        {"coding": [{"system": LOINC, "code": one}]} for one in code or ()
    ]
    codes += [{"text": one} for one in text or ()]

    def work(tx: Transaction, project: Project) -> list[Asked] | Diagnostic:
        coordination = project.config.coordination
        entity = _member(tx, member)
        if coordination is None:
            return _NOBODY_ASKS
        if isinstance(entity, Diagnostic):
            return entity
        acting = coordination.acting
        wanted_by = until or after(tx.now, records_settings(project).due_days * _DAY)
        wanted = Wanted(wanted_by, tuple(codes)) if codes else Wanted(wanted_by)
        whom = _chosen(providers(tx, project, entity, asker=acting), to, current)
        return ask(tx, project, Asking(entity, acting, wanted, f"ask {tx.ids.new()}"), whom)

    told = _write(config, work)
    if isinstance(told, Diagnostic):
        print(told.text(), file=sys.stderr)
        raise typer.Exit(PROBLEMS)
    if as_json:
        _print_json([one.to_json() for one in told])
    else:
        _print(("organization", "system", "state", "request"), [
            (one.organization, one.system or "-", _state(one), one.task or "-") for one in told
        ])  # fmt: skip
    if not told or any(one.state not in ("sent", "tracked", "already") for one in told):
        raise typer.Exit(PROBLEMS)


def _state(one: Asked) -> str:
    return f"{one.state} ({one.code})" if one.code else one.state


def _chosen(
    found: Sequence[Provider], to: Sequence[str] | None, current: bool
) -> Sequence[Provider]:
    return [one for one in found if (not to or one.system in to) and (one.current or not current)]


@app.command("list")
def list_(
    member: MemberOption = None,
    stage: Annotated[
        list[str] | None, typer.Option(help="requested, accepted, answered, refused, reviewed ...")
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List records requests with their stage and due date."""
    looked_at = open_requests if stage and WAITING.issuperset(stage) else all_requests
    _list(config, as_json, member, lambda found, _: not stage or found.stage in stage, looked_at)


@app.command()
def overdue(
    member: MemberOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the requests whose answer is late; exit code 1 where there is one."""
    if _list(config, as_json, member, lambda found, at: found.overdue(at), open_requests):
        raise typer.Exit(PROBLEMS)


def _list(
    config: Path,
    as_json: bool,
    member: str | None,
    chosen: Callable[[Tracked, str], bool],
    looked_at: Callable[[Transaction, Project], Iterable[Tracked]],
) -> int:
    def work(tx: Transaction, project: Project) -> list[dict[str, Any]]:
        same = frozenset(ledger.members(tx, member)) if member is not None else None
        return [
            found.to_json(tx.now)
            for found in looked_at(tx, project)
            if chosen(found, tx.now) and (same is None or found.member in same)
        ]

    rows = _read(config, work)
    if as_json:
        _print_json(rows)
    else:
        _print(("due", "stage", "asked", "request"), [
            (row["due"][:10], row["stage"] + (" (overdue)" if row["overdue"] else ""),
             row["asked"] or "-", row["task"]) for row in rows
        ])  # fmt: skip
    return len(rows)


@app.command()
def review(
    request: Annotated[str, typer.Argument(help="The request: `Task/<id>` or its id.")],
    verdict: Annotated[
        str, typer.Option(help="What was found: complete, incomplete, irrelevant ...")
    ] = "complete",
    note: Annotated[str | None, typer.Option(help="What else is to be remembered.")] = None,
    by: ByOption = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Record that somebody looked at the answer to a request."""
    who = by or getpass.getuser()
    id = request.removeprefix("Task/")

    def work(tx: Transaction, project: Project) -> Diagnostic | None:
        return review_request(tx, project, id, by=who, verdict=verdict, note=note)

    problem = _write(config, work)
    if problem is not None:
        print(problem.text(), file=sys.stderr)
        raise typer.Exit(PROBLEMS)
    said = {"request": f"Task/{id}", "reviewed": verdict, "by": who}
    if as_json:
        _print_json(said)
    else:
        typer.echo(f"Task/{id} is reviewed by {who}: {verdict}.")


def _member(tx: Transaction, name: str) -> str | Diagnostic:
    current = {tx.crosswalk.current(one) or one for one in ledger.members(tx, name)}
    if len(current) == 1:
        return current.pop()
    said = "Several members are meant by this." if current else "No member is known by this."
    return Diagnostic("G003", said, expected="one member")


def _write(config: Path, work: Callable[[Transaction, Project], T]) -> T:
    project = open_project(config)
    with open_store(project) as store:
        return store.write(lambda tx: work(tx, project)).result()


def _read(config: Path, work: Callable[[Transaction, Project], T]) -> T:
    project = open_project(config)
    opened: Store
    with open_store(project) as opened:
        return opened.read(lambda tx: work(tx, project))


def _print(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
