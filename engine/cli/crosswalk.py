"""`carelane crosswalk`: say which references and identifiers mean the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.ledger import CONFIG, PROBLEMS, JsonOption, StoreOption, record
from engine.cli.loading import MISUSE, ConfigOption
from engine.diagnostics import Diagnostic, Place, did_you_mean, in_order
from engine.project import Project
from engine.releasing import release_waiting
from engine.store import LinkRow, Transaction
from engine.transform.crosswalk import Key, identifier_key, literal, new_entity, reference_key
from engine.transform.crosswalk_file import Group, read_crosswalk

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
MAX_BYTES = 200_000_000
MergeOption = Annotated[
    bool, typer.Option("--merge", help="Join records that were two until now; there is no undo.")
]


class Conflict(Exception):  # noqa: N818 - carries what is wrong with the input; undoes the write
    """Take back an import in which records were two entities until now."""

    def __init__(self, problems: Sequence[Diagnostic]) -> None:
        self.problems = problems
        super().__init__()


@dataclass(frozen=True, slots=True)
class Imported:
    """Say what an import did."""

    entities: int
    links: int
    merged: int
    released: int


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A CSV; see docs or the message for its columns.")],
    merge: MergeOption = False,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read links from a CSV (same_as, type, system, reference, identifier_system, ..._value).

    Rows with the same word in `same_as` mean the same. All of the file is taken, or nothing.
    """
    text = _text(file)
    with record(config, store, new=True) as (opened, project):
        systems = None if project is None else frozenset(project.config.systems)
        groups, problems = read_crosswalk(text, str(file), systems)
        if problems:
            raise _told(problems)
        try:
            done = opened.write(lambda tx: take(tx, groups, project, str(file), merge)).result()
        except Conflict as conflict:
            raise _told(conflict.problems) from None
    _said(done, as_json)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            body = opened.read(MAX_BYTES + 1)
        if len(body) <= MAX_BYTES:
            return body.decode()
        print(f"{file} is larger than {MAX_BYTES} bytes: split it.", file=sys.stderr)
    except OSError as error:
        print(f"{file} cannot be read: {error.strerror}.", file=sys.stderr)
    except UnicodeDecodeError:
        print(f"{file} cannot be read as UTF-8 text.", file=sys.stderr)
    raise typer.Exit(MISUSE)


@app.command()
def link(
    first: Annotated[str, typer.Argument(help="SYSTEM:Type/id, or Type?identifier=SYSTEM|VALUE.")],
    second: Annotated[str, typer.Argument(help="What means the same, written likewise.")],
    merge: MergeOption = False,
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that two names mean the same; what waited for them is released."""
    keys = [_key(first), _key(second)]
    if keys[0].type != keys[1].type:
        print(f"A {keys[0].type} and a {keys[1].type} are never the same.", file=sys.stderr)
        raise typer.Exit(MISUSE)
    here = Place("command line", 1, 1)
    group = Group(keys[0].type, here, dict.fromkeys(keys, here))
    with record(config, store, new=True) as (opened, project):
        if project is not None:
            _must_be_systems(project, (first, second))
        try:
            done = opened.write(lambda tx: take(tx, [group], project, "link", merge)).result()
        except Conflict as conflict:
            raise _told(conflict.problems) from None
    _said(done, as_json)


@app.command("merge")
def merge_(
    first: Annotated[str, typer.Argument(help="SYSTEM:Type/id, or Type?identifier=SYSTEM|VALUE.")],
    second: Annotated[str, typer.Argument(help="What means the same, written likewise.")],
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Join two known members, persons or organizations into one; there is no undo."""
    link(first, second, merge=True, config=config, store=store, as_json=as_json)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="SYSTEM:Type/id, `system|value`, an identifier or canonical id.")
    ],
    config: ConfigOption = CONFIG,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every name of what `name` means."""
    with record(config, store) as (opened, _):
        found = opened.read(lambda tx: _named(tx, name))
    if as_json:
        print(json.dumps([_plain(row) for row in found], indent=1, ensure_ascii=False))
    else:
        for row in found:
            where = row.key.system or "everywhere"
            print(f"{row.entity}  {where}  {row.key.value}  (by {row.source}, {row.at})")
    if not found:
        print("The crosswalk does not know it.", file=sys.stderr)
        raise typer.Exit(PROBLEMS)


def _named(tx: Transaction, name: str) -> list[LinkRow]:
    if key := _read_key(name):
        entities = list(tx.crosswalk.resolve([key]).values())
    elif tx.crosswalk.current(name):
        entities = [name]
    else:
        entities = [row.entity for row in tx.crosswalk.find(name)]
    return [row for entity in dict.fromkeys(entities) for row in tx.crosswalk.of_entity(entity)]


def _plain(row: LinkRow) -> dict[str, str]:
    return {
        "entity": row.entity,
        "system": row.key.system,
        "kind": row.key.kind,
        "value": row.key.value,
        "source": row.source,
        "at": row.at,
    }


def take(
    tx: Transaction, groups: Sequence[Group], project: Project | None, source: str, merge: bool
) -> Imported:
    """Link each group to one entity and release what waited; Conflict takes all of it back."""
    problems: list[Diagnostic] = []
    links: dict[Key, str] = {}
    merged = 0
    for group in groups:
        known = tx.crosswalk.resolve(group.keys)
        entities = sorted(set(known.values()))
        stays = entities[0] if entities else new_entity(next(iter(group.keys)))
        if len(entities) > 1 and not merge:
            problems.append(_two(group, known))
        for goes in entities[1:] if merge else ():
            tx.crosswalk.merge(stays, goes)
            tx.audit.append("crosswalk.merged", {"stays": stays, "goes": goes}, actor=source)
            merged += 1
        links |= {key: stays for key in group.keys if key not in known}
    if problems:
        raise Conflict(problems)
    tx.crosswalk.link(links, source=source)
    counts = {"links": len(links), "entities": len(groups)}
    tx.audit.append("crosswalk.linked", counts, actor=source)
    released = release_waiting(tx, project, links) if project is not None else 0
    return Imported(len(groups), len(links), merged, released)


def _two(group: Group, known: dict[Key, str]) -> Diagnostic:
    first, *others = known
    clash = next(key for key in others if known[key] != known[first])
    return Diagnostic(
        "K104",
        "Two names of this group are different entities until now.",
        place=group.keys[clash],
        expected="names of one entity, or new ones",
        remedy="check that they are the same, then use --merge.",
    )


def _key(text: str) -> Key:
    if key := _read_key(text):
        return key
    print(
        "Write a record as SYSTEM:Type/id (mercy:Patient/123) or "
        "Type?identifier=SYSTEM|VALUE (Patient?identifier=http://mercy.example/mrn|A1).",
        file=sys.stderr,
    )
    raise typer.Exit(MISUSE)


def _must_be_systems(project: Project, names: Sequence[str]) -> None:
    """End with exit code 2 where a reference is one of a system that the project does not have."""
    systems = project.config.systems
    for name in names:
        system = name.partition(":")[0]
        if "?identifier=" not in name and system not in systems:
            hint = did_you_mean(system, systems) or f"known are {', '.join(sorted(systems))}"
            print(f"There is no system '{system}': {hint}", file=sys.stderr)
            raise typer.Exit(MISUSE)


def _read_key(text: str) -> Key | None:
    type_name, asks, token = text.partition("?identifier=")
    if asks:
        system, _, value = token.rpartition("|")
        return identifier_key(type_name, {"system": system, "value": value})
    system, _, reference = text.partition(":")
    found = literal(reference)
    return reference_key(system, reference) if found and found.base is None else None


def _told(problems: Sequence[Diagnostic]) -> typer.Exit:
    for problem in in_order(problems):
        print(problem.text(), file=sys.stderr)
    return typer.Exit(PROBLEMS)


def _said(done: Imported, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(done)))
    else:
        print(
            f"{done.links} links are new, for {done.entities} entities; {done.merged} were "
            f"merged, {done.released} held units released."
        )
