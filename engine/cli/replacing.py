"""`carelane reload` and `carelane rollback`: another set of mappings for engines that run."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.loading import MISUSE, ConfigOption, vault_of
from engine.clock import SystemClock
from engine.config import Config, load_config
from engine.diagnostics import Diagnostic, has_errors, in_order
from engine.errors import StoreError
from engine.fhir.profiles import Profiles, load_profiles
from engine.mapping_sets import InForce, Sets
from engine.replacing import differences, staged
from engine.store import Store, Transaction
from engine.transform.adapter import Adapters, load_adapters

REFUSED = 1
ByOption = Annotated[
    str | None, typer.Option("--by", help="Who decides this, for the record; by default you.")
]


def reload(
    config: ConfigOption = Path("config.yaml"),
    by: ByOption = None,
) -> None:
    """Put the mappings folder into force in every running engine, if all of its cases pass.

    Engines swap within a second; a set with any problem is refused and the old one stays. It is
    for whoever may write to the project's var/mappings: no secret travels.
    """
    settings, profiles = _settings(config)
    stage = staged(settings.mappings, profiles)
    _print(stage.problems)
    if not stage.ok:
        print("Refused: the mappings in force stay as they are.", file=sys.stderr)
        raise typer.Exit(REFUSED)
    sets = Sets.of(settings.root)
    _put(settings, sets, profiles, sets.keep(settings.mappings), by, pinned=False)


def rollback(
    config: ConfigOption = Path("config.yaml"),
    to: Annotated[
        str | None, typer.Option("--to", help="A kept set by its hash, or the start of it.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Only list the sets that are kept.")] = False,
    by: ByOption = None,
) -> None:
    """Put the set of mappings before this one into force again; it stays, also over a restart."""
    settings, profiles = _settings(config)
    sets = Sets.of(settings.root)
    if show:
        for one in sets.history():
            pinned = " (pinned)" if one.pinned else ""
            print(f"{one.at}  {one.hash[:12]}  {one.by}{pinned}")
        return
    wanted = _chosen(sets, to)
    if not sets.is_whole(wanted):
        print(f"The kept set {wanted[:12]} is not whole any more.", file=sys.stderr)
        raise typer.Exit(REFUSED)
    _, problems = load_adapters(sets.path(wanted), profiles)
    if has_errors(problems):
        _print(problems)
        print(f"The kept set {wanted[:12]} is refused by this version.", file=sys.stderr)
        raise typer.Exit(REFUSED)
    _put(settings, sets, profiles, wanted, by, pinned=True)


def _chosen(sets: Sets, to: str | None) -> str:
    if to is None:
        before = sets.before()
        if before is None:
            print("There is no set before the one in force.", file=sys.stderr)
            raise typer.Exit(REFUSED)
        return before
    found = {one.hash for one in sets.history() if to and one.hash.startswith(to)}
    if len(found) != 1:
        print(f"{len(found)} kept sets start with '{to}'; see --list.", file=sys.stderr)
        raise typer.Exit(MISUSE)
    return found.pop()


def _put(
    settings: Config, sets: Sets, profiles: Profiles, hash: str, by: str | None, *, pinned: bool
) -> None:
    last = sets.in_force()
    before = load_adapters(sets.path(last.hash), profiles)[0] if last else Adapters({}, frozenset())
    after = load_adapters(sets.path(hash), profiles)[0]
    who = by or f"user {getpass.getuser()}"
    entry = InForce(hash, SystemClock().now(), who, pinned)
    body = {"set": hash, "before": last.hash if last else None, "pinned": pinned}

    def note(tx: Transaction) -> None:
        tx.audit.append("mappings.replaced", body, actor=who)

    try:
        vault = vault_of(settings.encryption)
        with Store.open(settings.store, clock=SystemClock(), vault=vault) as store:
            store.write(note).result()
    except StoreError as error:
        print(f"The record cannot be opened: {error}", file=sys.stderr)
        raise typer.Exit(MISUSE) from None
    sets.put_in_force(entry)
    for line in differences(before, after):
        print(line)
    print(f"In force: {hash[:12]}. Running engines follow within a second; see /healthz.")


def _settings(config: Path) -> tuple[Config, Profiles]:
    settings, problems = load_config(config, os.environ)
    if settings is None or has_errors(problems):
        _print(problems)
        raise typer.Exit(MISUSE)
    profiles, found = load_profiles(settings.profiles)
    if has_errors(found):
        _print(found)
        raise typer.Exit(MISUSE)
    return settings, profiles


def _print(problems: list[Diagnostic] | tuple[Diagnostic, ...]) -> None:
    for problem in in_order(problems):
        print(problem.text(), file=sys.stderr)
