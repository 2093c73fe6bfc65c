"""`carelane replay` and `carelane coverage`: stored traffic, looked at through mappings."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.loading import MISUSE, ConfigOption, instant_of, open_project, open_store
from engine.diagnostics import has_errors, in_order
from engine.mapping_sets import Sets, set_hash
from engine.project import Project
from engine.replaying import Change, Versions, deliver_again, replayed
from engine.store import Store
from engine.traffic import Traffic, traffic
from engine.transform.adapter import Adapters, load_adapters
from engine.transform.load import mapping_paths

PROBLEMS = 1
CONFIG = Path("config.yaml")
SinceOption = Annotated[
    str | None, typer.Option(help="Only messages received at or after this instant (UTC).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, without any payload.")]


def replay(
    mapping: Annotated[
        Path, typer.Option("--mapping", help="A mapping, a dialect, or a folder of mappings.")
    ],
    since: SinceOption = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Also print what differs: values of patients.")
    ] = False,
    deliver: Annotated[
        bool, typer.Option("--deliver", help="Send again what changed, as new deliveries.")
    ] = False,
    by: Annotated[
        str | None, typer.Option("--by", help="Who decides this; by default you.")
    ] = None,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the stored messages of which this version of a mapping makes something else.

    Exit code 0 where nothing changes, 1 where something does, 2 for misuse.
    """
    project = open_project(config)
    folder, names = _chosen(mapping)
    adapters, problems = load_adapters(folder, project.profiles)
    if has_errors(problems):
        for problem in in_order(problems):
            print(problem.text(), file=sys.stderr)
        raise typer.Exit(MISUSE)
    if deliver:
        _require_in_force(project, folder)
    trial = replace(project, adapters=adapters)
    versions = Versions(project, Sets.of(project.config.root), project.profiles)
    start = instant_of(since)
    with open_store(project) as store:
        found = store.read(lambda tx: list(replayed(tx, project, trial, versions, names, start)))
        _show(found, as_json, diff)
        if deliver:
            _deliver(store, found, by or f"user {getpass.getuser()}")
    raise typer.Exit(PROBLEMS if found and not deliver else 0)


def _chosen(path: Path) -> tuple[Path, frozenset[str]]:
    """Return the folder of mappings around a path, and the names of those it means."""
    path = path.resolve()
    for folder in (path, *path.parents[:2]):
        found = mapping_paths(folder) if folder.is_dir() else {}
        names = {
            name
            for name, file in found.items()
            if folder == path or file.resolve() == path or path == file.parent.resolve()
        }
        if names:
            return folder, frozenset(names)
        if path.parent == folder / "tables" and found:
            return folder, frozenset(found)
    print(f"There is no mapping at {path}.", file=sys.stderr)
    raise typer.Exit(MISUSE)


def _require_in_force(project: Project, folder: Path) -> None:
    last = Sets.of(project.config.root).in_force()
    if last is not None and last.hash != set_hash(folder):
        said = "These mappings are not in force: run `carelane reload` first."
        print(said, file=sys.stderr)
        raise typer.Exit(MISUSE)


def _show(found: list[Change], as_json: bool, diff: bool) -> None:
    if as_json:
        print(json.dumps([change.to_json() for change in found], indent=1))
        return
    for change in found:
        message = change.stored.message
        fares = change.was if change.was == change.now else f"{change.was} -> {change.now}"
        print(
            f"{message.received[:19]}Z  {message.id}  {message.system}  {change.row.type}  {fares}"
        )
        for line in change.lines if diff else (f"  {path}" for path in change.paths):
            print(f"    {line}")
    print(f"{len(found)} resources would come out otherwise")


def _deliver(store: Store, found: list[Change], by: str) -> None:
    """Send what changed, in the order in which it came."""
    sent = left = 0
    for change in reversed(found):
        count = store.write(partial(deliver_again, change=change, by=by)).result()
        sent, left = sent + count, left + (not count)
    print(f"{sent} new deliveries; {left} left as they are (refused, or something newer is there)")


def coverage(
    path: Annotated[Path, typer.Argument(help="A folder of mappings, a dialect or a mapping.")] = (
        Path("mappings")
    ),
    since: SinceOption = None,
    unused: Annotated[
        bool, typer.Option("--unused", help="Also name each rule and row without traffic.")
    ] = False,
    config: ConfigOption = CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Say which elements and table rows the stored traffic used, and what arrived unmapped.

    What is not mapped is printed as YAML to paste under `fields:`, the most frequent first.
    """
    project = open_project(config)
    folder, names = _chosen(path)
    adapters, _ = load_adapters(folder, project.profiles)
    start = instant_of(since)
    with open_store(project) as store:
        found = store.read(lambda tx: traffic(tx, project, _only(adapters, names), start))
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=1))
        return
    for one in found:
        for line in _told(one, unused):
            print(line)


def _only(adapters: Adapters, names: frozenset[str]) -> Adapters:
    mapped = {key: one for key, one in adapters.mapped.items() if one.name in names}
    return replace(adapters, mapped=mapped)


def _told(one: Traffic, unused: bool) -> Iterator[str]:
    yield f"# {one.name}: {one.resources} resources; {one.coverage.summary()}"
    yield from one.lines()
    if unused and one.resources:
        for problem in one.coverage.unused():
            yield f"# {problem.place}: not used: {problem.message.removeprefix('No case uses ')}"
