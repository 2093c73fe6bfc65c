"""The cases beside a mapping: read from `.test.yaml`, run, and explained as a diff."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.diagnostics import CODES, Diagnostic, Place, Severity, did_you_mean
from engine.document import Node, read
from engine.fhir import json
from engine.fhir.schema import schema
from engine.transform.adapter import Adapter
from engine.transform.comparing import difference, typed
from engine.transform.coverage import Coverage
from engine.transform.mapping import DIRECTIONS, Direction
from engine.transform.plan import Version
from engine.transform.references import IDENTITY, Crosswalk, Reference, Unresolved
from engine.transform.result import Result
from engine.transform.sibling_cases import TOGETHER, compared, run_siblings

__all__ = ["CaseResult", "cases_path", "difference", "run_cases", "typed"]

KEYS = [
    "name",
    "direction",
    "input",
    "inputs",
    "expect",
    "expect_exactly",
    "expect_each",
    "absent",
    "diagnostics",
    "start",
    "unknown_references",
    "note",
]
WAYS = ("to_canonical", "to_dialect", "round_trip")
MAX_INPUT = 10_000_000


@dataclass(slots=True)
class CaseResult:
    """Hold how one case went; `diff` is for the eyes of its author."""

    name: str
    place: Place
    problems: list[Diagnostic] = field(default_factory=list)
    diff: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether the case passed."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Forgetful(Crosswalk):
    """A crosswalk that leaves references alone and does not know some of them."""

    unknown: frozenset[str]

    def to_canonical(self, reference: Reference, targets: frozenset[str]) -> Reference | Unresolved:
        literal = str(reference.get("reference"))
        if literal in self.unknown:
            return Unresolved(literal, "not linked")
        return dict(reference)

    to_dialect = to_canonical


def cases_path(path: Path) -> Path:
    """Return where the cases of a mapping file lie."""
    return path.with_name(f"{path.stem}.test.yaml")


def run_cases(adapter: Adapter, shown: str) -> tuple[list[CaseResult], Coverage, list[Diagnostic]]:
    """Run every case beside a mapping; the problems are those of the case file itself."""
    runner = _Runner(adapter, cases_path(adapter.path), shown.removesuffix(".yaml") + ".test.yaml")
    return runner.run(), runner.coverage, runner.problems


class _Runner:
    """Run the cases of one file."""

    def __init__(self, adapter: Adapter, path: Path, shown: str) -> None:
        self.adapter = adapter
        self.path = path
        self.shown = shown
        self.coverage = Coverage(adapter.plan)
        self.problems: list[Diagnostic] = []

    def run(self) -> list[CaseResult]:
        place = Place(self.shown, 1, 1)
        if not self.path.is_file():
            said = f"The mapping {self.adapter.name} has no cases."
            remedy = "write a `.test.yaml` beside it."
            self.problems.append(Diagnostic("M032", said, place=place, remedy=remedy))
            return []
        root, problems = read(self.path, name=self.shown)
        self.problems += problems
        if root is None:
            return []
        self.known(root, ("cases", "mapping", "note"))
        named = root.get("mapping")
        if named is not None and named.value != self.adapter.name:
            said = f"These are the cases of {self.adapter.name}."
            self.problem("M004", said, named.place, [self.adapter.name], _shown(named))
        cases = root.get("cases")
        if cases is None or not cases.is_list or not cases.value:
            said = "The file has no `cases:` list."
            self.problems.append(
                Diagnostic("M032", said, place=root.place, expected="cases: [...]")
            )
            return []
        return [self.case(node) for node in cases.value]

    def known(self, node: Node, names: tuple[str, ...] | list[str]) -> None:
        for key, place, _ in node.items():
            if key not in names:
                self.problem("M001", f"There is no '{key}' in a case.", place, names, key)

    def problem(
        self, code: str, said: str, place: Place, names: tuple[str, ...] | list[str], near: str
    ) -> None:
        remedy = did_you_mean(near, names)
        self.problems.append(
            Diagnostic(code, said, place=place, expected=", ".join(names), remedy=remedy)
        )

    def case(self, node: Node) -> CaseResult:
        name = node.get("name")
        result = CaseResult(str(name.value) if name else "(no name)", node.place)
        before = len(self.problems)
        self.known(node, KEYS)
        direction = node.get("direction")
        way = str(direction.value) if direction else ""
        if way not in WAYS:
            place = direction.place if direction else node.place
            self.problem("M003", "The direction of the case is not known.", place, WAYS, way)
        start = node.get("start")
        if start is not None and (start.value not in ("dialect", "canonical") or way != WAYS[2]):
            said = "`start:` says where a round trip starts."
            self.problem("M003", said, start.place, ("dialect", "canonical"), _shown(start))
        canonical_first = start is not None and start.value == "canonical"
        first: Direction = "to_canonical"
        if way == "to_dialect" or (way == "round_trip" and canonical_first):
            first = "to_dialect"
        self.matchers(node, way, first)
        together = self.together(node)
        trees = (
            self.inputs(node, first) if together else [self.input(node.get("input"), node, first)]
        )
        if None in trees or not trees or len(self.problems) > before:
            result.problems = self.problems[before:]
            return result
        found = [tree for tree in trees if tree is not None]
        if together:
            self.check_together(node, way, first, found, result)
        else:
            self.check(node, way, first, found[0], result)
        return result

    def together(self, node: Node) -> bool:
        """Tell whether a case is about siblings, noting one for which there are none."""
        named = [key for key in TOGETHER if node.get(key) is not None]
        if named and self.adapter.seam is None:
            said = f"`{named[0]}:` is about siblings, and the mapping declares none."
            expected = "a mapping with `siblings:`"
            place = node.keys[named[0]]
            self.problems.append(Diagnostic("M029", said, place=place, expected=expected))
        return bool(named)

    def inputs(self, node: Node, first: Direction) -> list[dict[str, Any] | None]:
        """Return the resources of a case about siblings: one, or several."""
        several = node.get("inputs")
        if several is None:
            return [self.input(node.get("input"), node, first)]
        return [self.input(one, node, first) for one in _items(several)]

    def input(self, given: Node | None, node: Node, first: Direction) -> dict[str, Any] | None:
        if given is None or not given.is_map:
            place = given.place if given else node.place
            expected = "input: {file: samples/x.json}, or the resource itself"
            said = "The case has no input."
            self.problems.append(Diagnostic("M002", said, place=place, expected=expected))
            return None
        named = given.get("file")
        plan = self.adapter.plan
        if named is None:
            tree = typed(given.plain(), plan.version(first), plan.root.type(first))
            return tree if isinstance(tree, dict) else None
        self.known(given, ("file",))
        return self.file(named)

    def file(self, named: Node) -> dict[str, Any] | None:
        path = (self.path.parent / str(named.value)).resolve()
        said = "The input cannot be read as a JSON object."
        inside = path.is_relative_to(self.path.parent.parent.resolve())
        try:
            if inside and path.stat().st_size <= MAX_INPUT:
                tree = json.loads(path.read_bytes())
                if isinstance(tree, dict):
                    return tree
        except (OSError, ValueError):
            pass
        expected = "a JSON file inside the mappings folder"
        self.problems.append(Diagnostic("M035", said, place=named.place, expected=expected))
        return None

    # --- matchers ---------------------------------------------------------------------------

    def matchers(self, node: Node, way: str, first: Direction) -> None:
        """Note every matcher that could never match."""
        plan = self.adapter.plan
        last: Direction = "to_canonical" if first == "to_dialect" else "to_dialect"
        there = way == "round_trip" and not any(node.get(key) for key in TOGETHER)
        reader = first if there else last
        version, type_name = plan.version(reader), plan.root.type(reader)
        for key in ("expect", "expect_exactly"):
            given = node.get(key)
            if given is not None:
                self.names(given, version, type_name)
        for item in _items(node.get("expect_each")):
            self.names(item, plan.version(last), plan.root.type(last))
        for item in _items(node.get("absent")):
            self.dotted(item, version, type_name)
        for item in _items(node.get("diagnostics")):
            if _shown(item) not in CODES:
                said = f"There is no diagnostic '{_shown(item)}'."
                self.problem("M033", said, item.place, sorted(CODES), _shown(item).upper())

    def names(self, node: Node, version: Version, type_name: str) -> None:
        if node.is_list:
            for item in node.value:
                self.names(item, version, type_name)
        known = schema(version)
        if not node.is_map or not known.has(type_name) or type_name == "Resource":
            return
        elements = known.type(type_name).elements
        own = node.get("resourceType")
        if own is not None and known.type(type_name).kind != "resource":
            return
        for key, place, value in node.items():
            name = key.removeprefix("_")
            if name in elements:
                kind = elements[name].type
                self.names(value, version, "Element" if key[0] == "_" else kind)
            elif key not in ("resourceType", "id"):
                said = f"{type_name} ({version}) has no element '{key}'."
                self.problem("M033", said, place, list(elements), key)

    def dotted(self, item: Node, version: Version, type_name: str) -> None:
        """Note a path that neither side has; what must be absent may be the other side's."""
        names = _shown(item).replace("[]", "").split(".")
        plan = self.adapter.plan
        sides = [(plan.version(d), plan.root.type(d)) for d in DIRECTIONS]
        if any(_unknown(names, *side) is None for side in sides):
            return
        here, name, known = _unknown(names, version, type_name) or (type_name, names[0], [])
        self.problem(
            "M033", f"{here} ({version}) has no element '{name}'.", item.place, known, name
        )

    # --- running ----------------------------------------------------------------------------

    def check(
        self, node: Node, way: str, first: Direction, tree: dict[str, Any], result: CaseResult
    ) -> None:
        crosswalk = self.crosswalk(node)
        made, diagnostics = self.take(first, tree, crosswalk)
        if way == "round_trip":
            there = made
            last: Direction = "to_canonical" if first == "to_dialect" else "to_dialect"
            if made is not None:
                made, more = self.take(last, made, crosswalk)
                diagnostics += more
            if made is not None:
                result.diff += list(difference(tree, made, exact=True))
            if there is not None and node.get("expect") is None and made is None:
                result.diff.append("- the way back gives the resource again")
        self.said(node, diagnostics, result)
        self.expected(node, way, first, made, result)
        if result.diff:
            said = f"The case '{result.name}' failed in {len(result.diff)} lines."
            result.problems.append(Diagnostic("M034", said, place=result.place))

    def check_together(
        self,
        node: Node,
        way: str,
        first: Direction,
        trees: list[dict[str, Any]],
        result: CaseResult,
    ) -> None:
        """Run a case about siblings; `expect` is about the one resource where there is one."""
        for tree in trees:
            self.coverage.add(first, tree)
        ran = run_siblings(self.adapter, way, first, trees, self.crosswalk(node))
        result.diff += ran.diff
        self.said(node, ran.diagnostics, result)
        wanted = node.get("expect_each")
        if wanted is not None:
            last: Direction = "to_canonical" if first == "to_dialect" else "to_dialect"
            version, type_name = self.adapter.plan.version(last), self.adapter.plan.root.type(last)
            plain = [typed(one.plain(), version, type_name) for one in _items(wanted)]
            result.diff += list(compared(plain, ran.made))
        made = ran.made[0] if len(ran.made) == 1 else None
        self.expected(node, "one way", first, made, result)
        if result.diff:
            said = f"The case '{result.name}' failed in {len(result.diff)} lines."
            result.problems.append(Diagnostic("M034", said, place=result.place))

    def take(
        self, direction: Direction, tree: dict[str, Any], crosswalk: Crosswalk
    ) -> tuple[dict[str, Any] | None, list[Diagnostic]]:
        self.coverage.add(direction, tree)
        way = self.adapter.to_canonical if direction == "to_canonical" else self.adapter.to_dialect
        found: Result = way(tree, crosswalk)
        return found.resource, list(found.diagnostics)

    def crosswalk(self, node: Node) -> Crosswalk:
        unknown = frozenset(str(item.value) for item in _items(node.get("unknown_references")))
        return _Forgetful(unknown) if unknown else IDENTITY

    def said(self, node: Node, diagnostics: list[Diagnostic], result: CaseResult) -> None:
        """Compare the diagnostics that came with those that the case names."""
        wanted = [str(item.value) for item in _items(node.get("diagnostics"))]
        came = {diagnostic.code for diagnostic in diagnostics}
        result.diff += [f"- diagnostic {code}" for code in wanted if code not in came]
        for diagnostic in diagnostics:
            if diagnostic.severity is Severity.ERROR and diagnostic.code not in wanted:
                result.diff.append(f"+ {diagnostic.text().splitlines()[0]}")

    def expected(
        self,
        node: Node,
        way: str,
        first: Direction,
        made: dict[str, Any] | None,
        result: CaseResult,
    ) -> None:
        plan = self.adapter.plan
        last: Direction = "to_canonical" if first == "to_dialect" else "to_dialect"
        reader = first if way == "round_trip" else last
        for key, exact in (("expect", False), ("expect_exactly", True)):
            given = node.get(key)
            if given is None:
                continue
            if made is None:
                result.diff.append(f"- a resource with what `{key}:` says")
                continue
            wanted = typed(given.plain(), plan.version(reader), plan.root.type(reader))
            result.diff += list(difference(wanted, made, exact=exact))
        for item in _items(node.get("absent")):
            if made is not None and list(
                _there(made, str(item.value).replace("[]", "").split("."))
            ):
                result.diff.append(f"+ {item.value} (expected absent)")


def _shown(node: Node) -> str:
    """Return a word as it is written; a list or mapping is none."""
    return "[...]" if node.is_map or node.is_list else str(node.value)


def _items(node: Node | None) -> list[Node]:
    if node is None:
        return []
    return list(node.value) if node.is_list else [node]


def _unknown(
    names: list[str], version: Version, type_name: str
) -> tuple[str, str, list[str]] | None:
    """Return at which type a path fails, the name that fails, and the names that would not."""
    here = type_name
    for name in names:
        bare = name.removeprefix("_")
        elements = schema(version).type(here).elements if schema(version).has(here) else {}
        if bare not in elements:
            return here, bare, list(elements)
        here = elements[bare].type
    return None


def _there(tree: Any, names: list[str]) -> Iterator[Any]:
    if isinstance(tree, list):
        for item in tree:
            yield from _there(item, names)
    elif not names:
        yield tree
    elif isinstance(tree, dict) and names[0] in tree:
        yield from _there(tree[names[0]], names[1:])
