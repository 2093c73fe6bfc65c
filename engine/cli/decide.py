"""`carelane decide`: one consent decision from files, with its reasons."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine import document
from engine.clock import SystemClock
from engine.diagnostics import CODES, Diagnostic
from engine.fhir.dates import moment
from engine.fhir.json import dumps, loads
from engine.rules.consent import Policy
from engine.rules.consent import decide as take_decision
from engine.rules.decision import Decision

PROBLEM, MISUSE = 1, 2

_VERDICTS = {
    "permit": "PERMIT: this may be disclosed, under the obligations below.",
    "deny": "DENY: this may not be disclosed.",
    "no-consent": "NO CONSENT: no consent applies, so this may not be disclosed.",
}


def decide(
    request: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, help="The request: who tells whom what and why."),
    ],
    consent: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="A Consent, a list or a Bundle of them."),
    ] = None,
    supporting: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="People, roles, organizations, groups."),
    ] = None,
    at: Annotated[str | None, typer.Option(help="The instant of the decision; else now.")] = None,
    policy: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The policy, as YAML.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take one consent decision and say what it rests on.

    Exit code 0 for a decision, whichever it is; 1 where a file cannot be used; 2 for misuse.
    """
    instant = at or SystemClock().now()
    if moment(instant) is None:
        print("--at takes a FHIR instant such as 2026-05-01T10:00:00Z", file=sys.stderr)
        raise typer.Exit(MISUSE)
    switches, problems = read_policy(policy)
    asked = _json(request, problems)
    consents = [_json(path, problems) for path in consent or ()]
    others = [_json(path, problems) for path in supporting or ()]
    if not problems and not isinstance(asked, Mapping):
        problems.append(_problem(request, "The request is not a JSON object."))
    if problems or switches is None:
        for problem in problems:
            print(problem.text(), file=sys.stderr)
        raise typer.Exit(PROBLEM)
    decision = take_decision(asked, consents, others, at=instant, policy=switches)
    if as_json:
        sys.stdout.write(dumps(decision.to_json()).decode() + "\n")
    else:
        show(decision, Console(soft_wrap=True))


def read_policy(path: Path | None) -> tuple[Policy | None, list[Diagnostic]]:
    """Read a policy file: its switches at the top, or under `policy`."""
    if path is None:
        return Policy(), []
    node, problems = document.read(path)
    if node is None:
        return None, list(problems)
    given = node.plain()
    if isinstance(given, dict) and list(given) == ["policy"]:
        given = given["policy"]
    return Policy.parse(given)


def _json(path: Path, problems: list[Diagnostic]) -> Any:
    try:
        return loads(path.read_bytes())
    except OSError as error:
        problems.append(_problem(path, f"The file cannot be read: {error.strerror}."))
    except ValueError as error:
        problems.append(_problem(path, f"The file is not JSON: {error}"))
    return None


def _problem(path: Path, said: str) -> Diagnostic:
    return Diagnostic("C001", said, path=str(path))


def show(decision: Decision, console: Console) -> None:
    """Print a decision so that a privacy officer can follow it."""
    console.print(_VERDICTS[decision.decision], style="bold")
    console.print(f"Decided for {escape(decision.at)}.")
    if decision.code and (code := CODES.get(decision.code)):
        console.print(f"The sender is told: {decision.code} ({code.title}).")
    for verdict in decision.recipients if len(decision.recipients) > 1 else ():
        console.print(f"  {escape(str(dict(verdict.recipient)))}: {verdict.decision}")
    _show_obligations(decision.obligations, console)
    if decision.basis:
        rows = [(b.consent, b.provision, b.effect, b.why) for b in decision.basis]
        console.print(_table("Rests on", ("consent", "provision", "effect", "why"), rows))
    entries = [
        (one.consent, one.provision or "", "yes" if one.applied else "no", one.why)
        for one in decision.considered
    ]
    console.print(_table("Considered", ("consent", "provision", "applied", "why"), entries))


def _show_obligations(obligations: Sequence[Mapping[str, Any]], console: Console) -> None:
    if obligations:
        console.print("Obligations:", style="bold")
    for one in obligations:
        detail = {name: value for name, value in one.items() if name != "type"}
        said = dumps(detail).decode() if detail else ""
        console.print(f"  {one['type']} {escape(said)}".rstrip())


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", show_lines=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table
