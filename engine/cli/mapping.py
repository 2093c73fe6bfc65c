"""`carelane lint`, `test`, `map`, `certify` and `explain`: what an interface analyst works with."""

# ruff: noqa: PT028 - `test` is a command of this family, and no test
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from msgspec.structs import replace

from engine.cli.rules import check_rules, run_rules
from engine.cli.watching import watch
from engine.config import Config, load_config
from engine.coordination.notification_templates import FOLDER as TEMPLATES
from engine.coordination.notification_templates import load_templates
from engine.diagnostics import CODES, Diagnostic, Severity, did_you_mean, has_errors, in_order
from engine.fhir import json
from engine.fhir.profiles import Profiles, load_profiles
from engine.parse import parse, type_problems
from engine.transform.adapter import Adapter
from engine.transform.cases import CaseResult, run_cases
from engine.transform.certify import certificate, certificate_path, stale
from engine.transform.coverage import Coverage
from engine.transform.family import to_siblings
from engine.transform.family_bundle import Taken, entries_of, redirected, take_families
from engine.transform.load import Folder, Loaded, load_folder
from engine.transform.mapping import Direction
from engine.transform.passthrough import PassThrough
from engine.transform.registry import FUNCTIONS
from engine.transform.result import Result
from engine.transform.trace import trace

PROBLEM, MISUSE = 1, 2

PathArgument = Annotated[
    Path, typer.Argument(exists=True, help="A project, its config.yaml, or a mapping or folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WatchOption = Annotated[
    bool, typer.Option("--watch", help="Run again whenever a file changes, until Ctrl-C.")
]
ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The project's config.yaml.")]


@dataclass(frozen=True, slots=True)
class _Work:
    """Hold what one command looks at: the folder, and which of its mappings."""

    folder: Folder
    chosen: tuple[Loaded, ...]
    problems: tuple[Diagnostic, ...]
    rules: Path | None = None
    rule_file: Path | None = None


def lint(
    path: PathArgument = Path("."), as_json: JsonOption = False, again: WatchOption = False
) -> None:
    """Say everything that is wrong with config, mappings, tables, cases and certificates.

    Exit code 0 where nothing is wrong, 1 where something is, 2 for misuse.
    """
    if again:
        watch(_project(path.resolve()), lambda: lint(path, as_json))
        return
    work = _work(path)
    problems = [*work.problems, *work.folder.problems]
    for loaded in work.chosen:
        problems += _beside(loaded)
    problems += check_rules(work.rules) if work.rules else []
    _report(problems, as_json, f"{len(work.chosen)} mappings, {len(work.folder.tables)} tables")


def test(
    path: PathArgument = Path("."),
    as_json: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name each rule and row that no case uses.")
    ] = False,
    again: WatchOption = False,
) -> None:
    """Run the cases beside the mappings, with a diff of each that fails, and their coverage."""
    if again:
        watch(_project(path.resolve()), lambda: test(path, as_json, verbose))
        return
    work = _work(path)
    problems = [*work.problems, *work.folder.problems]
    rows: list[dict[str, Any]] = []
    for loaded in work.chosen:
        if loaded.plan is None:
            continue
        results, coverage, found = run_cases(Adapter(loaded, loaded.plan), loaded.shown)
        problems += [*found, *(p for r in results for p in r.problems if p.code == "M034")]
        rows.append(_tested(loaded.name, results, coverage, verbose))
        if not as_json:
            _print_tested(rows[-1])
    ruled, found = run_rules(work.rules, work.rule_file) if work.rules else ([], [])
    problems += found
    rows += [tested.to_json() for tested in ruled]
    if as_json:
        print(json.dumps({"mappings": rows, "problems": [d.to_json() for d in problems]}).decode())
    else:
        for line in (line for tested in ruled for line in tested.lines()):
            print(line)
        others = [d for d in problems if d.code not in ("M034", "A011")]
        for diagnostic in in_order(others):
            print(diagnostic.text())
        failed = sum(row["failed"] for row in rows)
        print(f"{sum(row['cases'] for row in rows)} cases, {failed} failed")
    raise typer.Exit(PROBLEM if has_errors(problems) else 0)


def map_(
    file: Annotated[
        Path, typer.Argument(help="A resource or Bundle in JSON; - reads it from input.")
    ],
    dialect: Annotated[str, typer.Option(help="The dialect, a folder of mappings.")],
    to: Annotated[str, typer.Option(help="canonical or dialect.")] = "canonical",
    show_trace: Annotated[
        bool, typer.Option("--trace", help="Say on stderr which line made each element.")
    ] = False,
    show_source: Annotated[
        bool, typer.Option("--show-source", help="Print the generated Python instead.")
    ] = False,
    config: ConfigOption = Path("config.yaml"),
) -> None:
    """Run one resource, or each of a Bundle, through its adapter; the result is on stdout."""
    if to not in ("canonical", "dialect"):
        _misuse("--to is canonical or dialect")
    direction: Direction = "to_canonical" if to == "canonical" else "to_dialect"
    work = _work(config if config.exists() else Path("."))
    dialects = {name.split("/", 1)[0] for name in work.folder.mappings}
    if dialect not in dialects:
        hint = did_you_mean(dialect, dialects) or f"known are {', '.join(sorted(dialects))}"
        _misuse(f"there is no dialect '{dialect}': {hint}")
    mapper = _Mapper(work, dialect, direction, show_trace)
    tree = _read(file)
    if show_source:
        print(mapper.source(tree))
        return
    made = mapper.tree(tree)
    if made is not None:
        print(json.dumps(made).decode())
    for diagnostic in mapper.diagnostics:
        print(diagnostic.text(), file=sys.stderr)
    raise typer.Exit(PROBLEM if made is None or has_errors(mapper.diagnostics) else 0)


def certify(
    path: PathArgument = Path("."),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where one is stale.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the certificates as well.")] = False,
) -> None:
    """Write down what each mapping loses, beside it, so that a change shows as a diff."""
    work = _work(path)
    broken = [d for loaded in work.chosen for d in loaded.problems]
    stale_ones: list[Diagnostic] = []
    for loaded in work.chosen:
        if loaded.plan is None:
            continue
        found = stale(loaded.plan, loaded.path, loaded.shown)
        stale_ones += found
        text = certificate(loaded.plan)
        if found and not check:
            certificate_path(loaded.path).write_text(text, encoding="utf-8")
            print(f"{loaded.name}: written")
        if show:
            print(text)
    problems = [*broken, *(stale_ones if check else [])]
    for diagnostic in in_order(problems):
        print(diagnostic.text())
    raise typer.Exit(PROBLEM if has_errors(problems) else 0)


def explain(
    code: Annotated[str, typer.Argument(help="A code such as M008, or `functions`.")],
    as_json: JsonOption = False,
) -> None:
    """Explain a diagnostic code, or list the functions that a mapping may name."""
    if code == "functions":
        for pair in FUNCTIONS.values():
            print(f"{pair.name}\n    {pair.about}")
        return
    found = CODES.get(code) or CODES.get(code.upper())
    if found is None:
        hint = did_you_mean(code.upper(), CODES)
        _misuse(f"there is no code '{code}'" + (f": {hint}" if hint else ""))
    if as_json:
        print(
            json.dumps(
                {"code": found.code, "title": found.title, "explanation": found.explanation}
            ).decode()
        )
        return
    print(f"{found.code}: {found.title}\n\n{found.explanation}")


# --- what the commands look at ---------------------------------------------------------------


def _work(path: Path) -> _Work:
    """Read the project around a path, and choose the mappings that the path means."""
    path = path.resolve()
    root = _project(path)
    problems: list[Diagnostic] = []
    mappings, profile_paths, rules = root / "mappings", [root / "profiles"], root / "rules"
    config_file = root / "config.yaml"
    if config_file.is_file() and config_file.stat().st_size:
        config, found = load_config(config_file, os.environ)
        problems += found
        if config is not None:
            mappings, profile_paths = config.mappings, list(config.profiles)
            rules = config.rules_folder
            problems += _templates(config)
    if not mappings.is_dir():
        _misuse(f"there is no folder of mappings at {mappings}")
    profiles, found = load_profiles([folder for folder in profile_paths if folder.exists()])
    problems += found
    known: Profiles | None = profiles if any(p.exists() for p in profile_paths) else None
    folder = load_folder(mappings, known)
    whole = path in (root, config_file, mappings.resolve())
    ruled = path == rules.resolve() or rules.resolve() in path.parents
    chosen = tuple(m for m in folder.mappings.values() if whole or _means(path, m))
    if not chosen and not whole and not ruled:
        _misuse(f"there is no mapping at {path}")
    if not whole:
        folder.problems = [d for loaded in chosen for d in loaded.problems]
        problems = []
    return _Work(
        folder,
        chosen,
        tuple(problems),
        rules if (whole or ruled) and rules.is_dir() else None,
        path if ruled and path.is_file() else None,
    )


def _templates(config: Config) -> list[Diagnostic]:
    """Return what is wrong with the words of notices, where there are any or must be."""
    notified = config.coordination is not None and config.coordination.notifications is not None
    folder = config.mappings / TEMPLATES
    return load_templates(folder)[1] if notified or folder.is_dir() else []


def _project(path: Path) -> Path:
    """Return the folder that holds config.yaml or mappings/, at the path or around it."""
    for folder in (path, *path.parents):
        if folder.is_dir() and (
            (folder / "mappings").is_dir() or (folder / "config.yaml").exists()
        ):
            return folder
    return path if path.is_dir() else path.parent


def _means(path: Path, loaded: Loaded) -> bool:
    own = loaded.path.resolve()
    beside = (own.with_name(f"{own.stem}.test.yaml"), certificate_path(own))
    return path == own or path in own.parents or path in beside


def _beside(loaded: Loaded) -> Iterator[Diagnostic]:
    if loaded.plan is None:
        return
    yield from stale(loaded.plan, loaded.path, loaded.shown)
    results, _, problems = run_cases(Adapter(loaded, loaded.plan), loaded.shown)
    yield from problems
    del results


def _report(problems: list[Diagnostic], as_json: bool, looked_at: str) -> None:
    ordered = in_order(dict.fromkeys(problems))
    if as_json:
        print(json.dumps([diagnostic.to_json() for diagnostic in ordered]).decode())
    else:
        for diagnostic in ordered:
            print(diagnostic.text())
        errors = sum(d.severity is Severity.ERROR for d in ordered)
        print(f"{looked_at}: {errors or 'no'} problem{'' if errors == 1 else 's'}")
    raise typer.Exit(PROBLEM if has_errors(ordered) else 0)


def _tested(
    name: str, results: list[CaseResult], coverage: Coverage, verbose: bool
) -> dict[str, Any]:
    return {
        "mapping": name,
        "cases": len(results),
        "failed": sum(not result.ok for result in results),
        "coverage": coverage.summary(),
        "failures": [
            {"case": r.name, "at": str(r.place), "diff": r.diff or [p.text() for p in r.problems]}
            for r in results
            if not r.ok
        ],
        "unused": [d.text() for d in coverage.unused()] if verbose else [],
    }


def _print_tested(row: dict[str, Any]) -> None:
    word = "ok" if not row["failed"] else f"{row['failed']} FAILED"
    print(f"{row['mapping']}: {row['cases']} cases, {word}; {row['coverage']}")
    for failure in row["failures"]:
        print(f"  {failure['at']}: {failure['case']}")
        for line in failure["diff"]:
            print(f"      {line}")
    for line in row["unused"]:
        print(f"  {line}")


class _Mapper:
    """Run resources through the adapters of one dialect, one direction."""

    def __init__(self, work: _Work, dialect: str, direction: Direction, traced: bool) -> None:
        self.dialect = dialect
        self.direction = direction
        self.traced = traced
        self.diagnostics: list[Diagnostic] = []
        self.loaded = {
            loaded.plan.root.type(direction): loaded
            for loaded in work.folder.mappings.values()
            if loaded.plan is not None and loaded.name.startswith(f"{dialect}/")
        }
        for loaded in work.folder.mappings.values():
            if loaded.name.startswith(f"{dialect}/") and loaded.plan is None:
                self.diagnostics += loaded.problems

    def adapter(self, tree: dict[str, Any]) -> Adapter | PassThrough:
        type_name = str(tree.get("resourceType"))
        loaded = self.loaded.get(type_name)
        if loaded is None or loaded.plan is None:
            return PassThrough(self.dialect, type_name)
        return Adapter(loaded, loaded.plan)

    def source(self, tree: dict[str, Any]) -> str:
        adapter = self.adapter(tree)
        if isinstance(adapter, PassThrough):
            return f"# {adapter.name} has no mapping: it passes through, references rewritten"
        return adapter.sources[self.direction]

    def tree(self, tree: dict[str, Any]) -> dict[str, Any] | None:
        """Return the result, or a Bundle of the results of its entries; siblings become one."""
        if tree.get("resourceType") != "Bundle" or not isinstance(tree.get("entry"), list):
            return self.alone(tree)
        taken = self.families(tree["entry"])
        entries = []
        for index, entry in enumerate(tree["entry"]):
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if index in taken.made:
                entries += entries_of(entry, taken.made[index])
                continue
            if isinstance(inner, dict):
                made = self.one(inner, f"Bundle.entry[{index}]")
                entry = {**entry, "resource": made} if made is not None else None
            if entry is not None:
                entries.append(entry)
        return {**tree, "entry": redirected(entries, taken.targets) if taken.targets else entries}

    def alone(self, tree: dict[str, Any]) -> dict[str, Any] | None:
        """Return the result of one resource; a whole that leaves as several is a Bundle of them."""
        adapter = self.adapter(tree)
        if self.direction == "to_canonical" or not isinstance(adapter, Adapter) or not adapter.seam:
            return self.one(tree, "")
        results = to_siblings(adapter, tree)
        self.diagnostics += [problem for result in results for problem in result.diagnostics]
        made = [{"resource": one.resource} for one in results if one.resource is not None]
        if len(results) == 1:
            return results[0].resource
        return {"resourceType": "Bundle", "type": "collection", "entry": made} if made else None

    def families(self, entries: list[Any]) -> Taken:
        """Take the entries that are siblings, or leave as such, through their adapters."""
        placed: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        for index, entry in enumerate(entries):
            inner = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(inner, dict):
                continue
            loaded = self.loaded.get(str(inner.get("resourceType")))
            if loaded is not None and loaded.plan is not None and loaded.plan.siblings is not None:
                placed.setdefault(inner["resourceType"], []).append((index, inner))
        taken = Taken()
        for found in placed.values():
            adapter = self.adapter(found[0][1])
            if isinstance(adapter, Adapter):
                one = take_families(adapter, self.direction, found)
                taken.made |= one.made
                taken.targets |= one.targets
                self.diagnostics += one.diagnostics
        for index, entry in enumerate(entries):
            if index in taken.made and isinstance(entry.get("fullUrl"), str):
                name = f"{entry['resource']['resourceType']}/{entry['resource'].get('id', '')}"
                taken.targets[entry["fullUrl"]] = taken.targets.get(name, [])
        return taken

    def one(self, tree: dict[str, Any], at: str) -> dict[str, Any] | None:
        if problems := type_problems(tree):
            self.diagnostics += [replace(d, path=f"{at}.resource.{d.path}") for d in problems]
            return None
        adapter = self.adapter(tree)
        way = adapter.to_canonical if self.direction == "to_canonical" else adapter.to_dialect
        result: Result = way(tree)
        self.diagnostics += [d.at(at) if at else d for d in result.diagnostics]
        if self.traced and result.resource is not None and isinstance(adapter, Adapter):
            for made in trace(adapter.plan, self.direction, result.resource):
                where = f"{made.place.file}:{made.place.line}"
                print(f"{at + ' ' if at else ''}{made.path}  {where}  {made.how}", file=sys.stderr)
        return result.resource


def _read(file: Path) -> dict[str, Any]:
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        _misuse(f"{file} cannot be read: {error.strerror}")
    parsed = parse(body)
    if parsed.tree is None:
        _misuse("\n".join([f"{file} is no resource.", *(d.text() for d in parsed.diagnostics)]))
    return parsed.tree


def _misuse(said: str) -> NoReturn:
    print(said, file=sys.stderr)
    raise typer.Exit(MISUSE)
