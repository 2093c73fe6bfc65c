"""The examples of the reference, each run as an analyst would run it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.diagnostics import Diagnostic, has_errors
from engine.document import parse, read
from engine.fhir.json import dumps
from engine.transform.adapter import Adapter
from engine.transform.cases import difference, run_cases, typed
from engine.transform.load import load_folder
from engine.transform.mapping import DIRECTIONS, Direction
from engine.transform.types import children

DEFINITIONS = Path(__file__).parent / "examples.yaml"
HEAD = """\
mapping: {name}
version: 1
dialect:   {{fhir: R4, resource: {resource}}}
canonical: {{fhir: R4, resource: {resource}}}
extension: copy
modifierExtension: reject
primitive_extensions: copy
fields:
"""
TOP = "mapping: example/{resource}\nversion: 1\nextends: plain/{resource}\n"

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Example:
    """Hold one example: lines of a mapping, and what they do to a resource.

    `text` extends a mapping that copies everything, or is a whole file where it begins with
    `mapping:`. `refused` is the code of a mapping, table, case or message that is refused;
    `notes` are the codes that come without stopping the message, and `also` those that
    come beside the one that is refused for. A direction in `only` is the
    one that is shown; else the example holds both ways. `files` lie beside it, by path.
    """

    name: str
    about: str
    text: str
    resource: str = "CareTeam"
    dialect: Tree | None = None
    canonical: Tree | None = None
    only: str = ""
    part: bool = False
    refused: str = ""
    notes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    cases: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def mapping(self) -> str:
        """Return the whole mapping file."""
        if not self.text or self.text.startswith("mapping:"):
            return self.text
        return TOP.format(resource=self.resource.lower()) + self.text


@dataclass(slots=True)
class Outcome:
    """Hold what running an example showed: what was said, and what is not as it is told."""

    said: list[Diagnostic] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def refusal(self, code: str) -> Diagnostic | None:
        """Return the first thing said under a code."""
        return next((one for one in self.said if one.code == code), None)


@cache
def examples() -> Mapping[str, Example]:
    """Return every example by name, in the order of the file."""
    root, problems = read(DEFINITIONS)
    if root is None:
        raise ValueError(problems[0].text())
    made = {}
    for name, about in root.plain().items():
        about = {key: tuple(v) if key in ("notes", "also") else v for key, v in about.items()}
        made[name] = Example(name, **about)
    return made


@cache
def outcome(name: str) -> Outcome:
    """Run one example, once."""
    with TemporaryDirectory() as folder:
        return _run(examples()[name], Path(folder) / "mappings")


def _run(example: Example, root: Path) -> Outcome:
    found = Outcome()
    for path, text in _files(example):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    folder = load_folder(root)
    found.said += folder.problems
    name = _name(example)
    loaded = folder.mappings[name] if example.text else None
    adapter = Adapter(loaded, loaded.plan) if loaded and loaded.plan else None
    if adapter is not None and example.cases:
        results, _, problems = run_cases(adapter, f"mappings/{name}.yaml")
        found.said += [*problems, *(p for result in results for p in result.problems)]
    if adapter is not None and not example.cases:
        found.wrong += _taken(example, adapter, found.said)
    if adapter is None and example.text and not example.refused:
        found.wrong += [problem.text() for problem in found.said]
    found.wrong += _unlike(example, found.said)
    return found


def _name(example: Example) -> str:
    root, _ = parse(example.mapping, name="")
    return str(root.plain()["mapping"]) if root and example.text else ""


def _files(example: Example) -> Iterator[tuple[str, str]]:
    plain = f"plain/{example.resource.lower()}"
    fields = "".join(f"  {name}: copy\n" for name in children("R4", example.resource))
    yield f"{plain}.yaml", HEAD.format(name=plain, resource=example.resource) + fields
    if example.text:
        yield f"{_name(example)}.yaml", example.mapping
    if example.cases:
        yield f"{_name(example)}.test.yaml", example.cases
    yield from example.files.items()


def _taken(example: Example, adapter: Adapter, said: list[Diagnostic]) -> Iterator[str]:
    """Take both resources through the adapter; yield where the result is another than shown."""
    sides = {"to_canonical": example.dialect, "to_dialect": example.canonical}
    for direction in DIRECTIONS:
        given = sides[direction]
        if given is None or example.only not in ("", direction):
            continue
        wanted = sides["to_dialect" if direction == "to_canonical" else "to_canonical"]
        if direction == "to_dialect" and example.part:
            gone = adapter.to_canonical(_whole(example, adapter, "to_canonical"))
            resource: Tree | None = gone.resource
        else:
            resource = _whole(example, adapter, direction)
        if resource is None:
            continue
        result = getattr(adapter, direction)(resource)
        said += result.diagnostics
        if wanted is None or example.refused:
            continue
        wanted = {"resourceType": example.resource, **wanted}
        exact = not (example.part and direction == "to_canonical")
        yield from difference(wanted, result.resource or {}, exact=exact)


def _whole(example: Example, adapter: Adapter, direction: Direction) -> Tree:
    given = example.dialect if direction == "to_canonical" else example.canonical
    tree = {"resourceType": example.resource, **(given or {})}
    made = typed(tree, adapter.plan.version(direction), example.resource)
    assert isinstance(made, dict)
    return made


def _unlike(example: Example, said: list[Diagnostic]) -> Iterator[str]:
    """Yield what was said and not told, or told and not said."""
    codes = {one.code for one in said}
    told = {example.refused, *example.notes, *example.also} - {""}
    yield from (f"{code} did not come" for code in sorted(told - codes))
    yield from (one.text() for one in said if one.code not in told)
    if example.refused and not has_errors([one for one in said if one.code == example.refused]):
        yield f"{example.refused} refuses nothing"


def shown(tree: Tree) -> str:
    """Return a resource as one line of JSON."""
    return dumps(tree).decode()
