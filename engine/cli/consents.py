"""`carelane consents`: what the registry holds of one member, and what a revocation would stop."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.ledger import CONFIG, PROBLEMS, JsonOption
from engine.cli.loading import MISUSE, ConfigOption, open_project, open_store
from engine.clock import SystemClock, after
from engine.project import Project
from engine.registry import Agreement, Overview, Rule, members_named, overview
from engine.store import Store


def consents(
    member: Annotated[
        str,
        typer.Argument(
            help="A canonical id, an identifier `system|value`, or a system's own reference "
            "`mercy:Patient/123`."
        ),
    ],
    at: Annotated[str | None, typer.Option(help="Another instant than now.")] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a member's consents: in force for whom, until when, and what a revocation would stop.

    Exit code 1 where nobody, or more than one member, goes by that name.
    """
    instant = _instant(at)
    project = open_project(Path(config))
    with open_store(project) as store:
        found = _overview(store, project, member, instant)
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        for line in lines(found):
            print(line)


def _instant(at: str | None) -> str:
    try:
        return after(at, 0) if at else SystemClock().now()
    except ValueError:
        print("--at takes an instant such as 2026-05-01T10:00:00Z.", file=sys.stderr)
        raise typer.Exit(MISUSE) from None


def _overview(store: Store, project: Project, name: str, at: str) -> Overview:
    found = store.read(lambda tx: members_named(tx, project, name))
    if len(found) != 1:
        said = "No member goes by that name." if not found else "Several members go by that name:"
        print("\n  ".join([said, *found]), file=sys.stderr)
        raise typer.Exit(PROBLEMS)
    return store.read(lambda tx: overview(tx, project, found[0], at))


def lines(found: Overview) -> Iterator[str]:
    """Yield an overview in plain words."""
    yield f"Member {found.member} at {found.at}"
    if others := [id for id in found.ids if id != found.member]:
        yield f"  also recorded as {', '.join(others)}"
    if not found.agreements:
        yield "No consent is on record: nothing that a consent guards leaves."
    for agreement in found.agreements:
        yield ""
        yield from _agreement(agreement)
    yield ""
    soon = [one for one in found.agreements if one.ends_soon]
    yield f"Ending within 30 days: {', '.join(one.consent for one in soon) or 'none'}"
    yield f"On their way under a permit: {found.waiting}"


def _agreement(one: Agreement) -> Iterator[str]:
    yield f"{one.consent}: {one.state.upper()}" + (f", {one.why}" if one.why else "")
    yield f"  status {one.status}, recorded {one.recorded} from {one.system}"
    signers = f" by {', '.join(one.signed_by)}" if one.signed_by else ""
    yield f"  signed {one.signed or 'without a date'}{signers}"
    yield f"  until {one.until or 'it is revoked'}" + (
        f"; ENDS WITHIN 30 DAYS: {one.ends_soon}" if one.ends_soon else ""
    )
    for rule in one.rules:
        yield f"  {_rule(rule)}"
    if one.state in ("in force", "denies only"):
        yield f"  a revocation would stop {len(one.stops)} deliveries on their way"
    for stop in one.stops:
        yield f"    {stop.resource} to {stop.destination}, {stop.state}, delivery {stop.delivery}"


def _rule(rule: Rule) -> str:
    said = [f"{rule.effect}s {rule.content}"]
    said += [f"from {', '.join(rule.senders)}"] if rule.senders else []
    said += [f"to {', '.join(rule.recipients) or 'anybody'}"]
    said += [f"for {', '.join(rule.purposes)}"] if rule.purposes else []
    said += [f"({', '.join(rule.actions)})"] if rule.actions else []
    said += [f"from {rule.start}"] if rule.start else []
    said += [f"until {rule.end}"] if rule.end else []
    told = " ".join(said)
    return f"{rule.path}: {told}" + ("" if rule.in_force else " [not at this time]")
