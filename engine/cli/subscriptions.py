"""`carelane subscriptions`: who is notified by us, who notifies us, and how each stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from engine.cli.ledger import CONFIG, PROBLEMS, JsonOption
from engine.cli.loading import ConfigOption, open_project, open_store
from engine.project import Project
from engine.store import Transaction
from engine.subscriptions.lifecycle import DELETED, asked_of


def subscriptions(config: ConfigOption = CONFIG, as_json: JsonOption = False) -> None:
    """List subscriptions, theirs here and ours elsewhere; exit code 1 where one is in error."""
    project = open_project(config)
    with open_store(project) as store:
        rows = store.read(lambda tx: list(_rows(tx, project)))
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows)
    if any(row["state"] == "error" for row in rows):
        raise typer.Exit(PROBLEMS)


def _rows(tx: Transaction, project: Project) -> Iterator[dict[str, Any]]:
    for name in project.config.systems:
        for row in tx.subscriptions.of_system(name):
            if row.reason != DELETED:
                yield {
                    "of": name,
                    "at": "here",
                    "id": row.id,
                    "state": row.state,
                    "reason": row.reason,
                    "events": row.events,
                    "endpoint": asked_of(row).endpoint,
                    "topic": row.topic,
                    "changed": row.changed,
                }
        watch = tx.watches.of_system(name)
        if watch is not None:
            yield {
                "of": "us",
                "at": name,
                "id": watch.remote,
                "state": watch.state,
                "reason": watch.reason,
                "events": watch.heard,
                "changed": watch.changed,
            }


def _print(rows: list[dict[str, Any]]) -> None:
    table = Table("of", "at", "state", "events", "id", box=None)
    for row in rows:
        state = f"{row['state']} ({row['reason']})" if row["reason"] else row["state"]
        table.add_row(row["of"], row["at"], state, str(row["events"]), row["id"] or "-")
    Console(width=200, highlight=False).print(table)
