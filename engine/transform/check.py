"""Check a mapping against both sides' types and turn it into a plan; every problem in one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.diagnostics import Diagnostic, Place, did_you_mean
from engine.fhir.schema import Element, schema
from engine.transform.expressions import check_expression
from engine.transform.functions import Pair
from engine.transform.mapping import DIRECTIONS, Direction, Fixed, MappingFile, Name, Path, Rule
from engine.transform.plan import Block, End, Plan, Step, Value, Version
from engine.transform.tables import Table
from engine.transform.types import children, names_of, resolve
from engine.transform.verify import verify_step

NO_TARGET = frozenset({"carry", "drop", "cross_version"})
_REQUIRED = "write a field that produces it, or a default"


@dataclass(slots=True)
class Checker:
    """Check one mapping; `tables` and `functions` are what it may name."""

    mapping: MappingFile
    tables: Mapping[str, Table]
    functions: Mapping[str, Pair]
    problems: list[Diagnostic] = field(default_factory=list)
    used: dict[str, Table] = field(default_factory=dict)

    @property
    def left(self) -> Version:
        return self.mapping.dialect.fhir

    @property
    def right(self) -> Version:
        return self.mapping.canonical.fhir

    def problem(
        self,
        code: str,
        message: str,
        place: Place,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        """Note one problem."""
        self.problems.append(
            Diagnostic(code, message, place=place, expected=expected, remedy=remedy)
        )

    def plan(self) -> Plan:
        """Return the plan; it may be used only where no problem was found."""
        dialect, canonical = self.mapping.dialect.resource, self.mapping.canonical.resource
        root = Block(dialect, canonical, dialect, canonical)
        constants = self.fixed(self.mapping.constants)
        defaults = self.fixed(self.mapping.defaults)
        self.steps(root, self.mapping.fields, self.mapping.fields_place)
        self.canonical_only(root)
        self.close(root, self.mapping.fields_place, constants, defaults)
        return Plan(self.mapping, root, constants, defaults, self.used)

    # --- steps of one block -----------------------------------------------------------------

    def steps(self, block: Block, rules: Sequence[Rule], place: Place) -> None:
        """Resolve the rules of one object, and check each and all together."""
        for rule in _without_exceptions(list(self.expanded(rules, block)), block, self.left):
            step = self.step(block, rule)
            if step is not None:
                verify_step(self, block, step)
                block.steps.append(step)
        self.double_reads(block)

    def expanded(self, rules: Sequence[Rule], block: Block) -> Iterator[Rule]:
        """Yield the rules with `onset[x]` written out for each variant."""
        for rule in rules:
            last = rule.path.names[-1]
            if not last.endswith("[x]"):
                yield rule
                continue
            variants = _variants(self.left, block.dialect_type, last)
            if not variants:
                self.unknown("M006", rule.path, self.left, block.dialect_type, last)
            for variant in variants:
                names = (*rule.path.names[:-1], variant)
                to = tuple(_variant(path, last, variant) for path in rule.to)
                yield replace(rule, path=Path(names, rule.path.each, rule.path.place), to=to)

    def step(self, block: Block, rule: Rule) -> Step | None:
        """Resolve both ends of a rule; None where one of them does not exist."""
        dialect = self.ends("M006", (rule.path, *rule.with_), self.left, block.dialect_type)
        canonical = self.targets(block, rule, dialect)
        if dialect is None or canonical is None:
            return None
        self.brackets(rule, dialect[0])
        if rule.when is not None and rule.when_place is not None:
            self.condition(rule.when.names, rule.when_place, block.dialect_type)
        step = Step(rule, rule.operation, dialect, canonical)
        if rule.table is not None:
            step.table = self.table(rule.table)
            if step.table is None:
                return None
        if rule.operation == "fields":
            step.block = self.inner(block, rule, dialect[0], canonical[0])
        if rule.operation == "split":
            step.cases = tuple(self.cases(block, rule, dialect[0]))
            step.canonical = tuple(end for case in step.cases for end in case.canonical)
        self.names(rule)
        return step

    def targets(
        self, block: Block, rule: Rule, dialect: tuple[End, ...] | None
    ) -> tuple[End, ...] | None:
        if rule.operation in (*NO_TARGET, "split"):
            for path in rule.to:
                said = f"`to:` does not go with {rule.operation}: nothing is written there."
                self.problem("M029", said, path.place)
            return ()
        if rule.to:
            return self.ends("M007", rule.to, self.right, block.canonical_type)
        if dialect is None:
            return ()
        return self.ends("M007", (rule.path,), self.right, block.canonical_type)

    def ends(
        self, code: str, paths: Sequence[Path], version: Version, type_name: str
    ) -> tuple[End, ...] | None:
        found: list[End] = []
        for path in paths:
            end = resolve(version, type_name, path.names)
            if isinstance(end, End):
                found.append(end)
                continue
            here, name = end
            self.unknown(code, path, version, here, name)
        return tuple(found) if len(found) == len(paths) else None

    def unknown(self, code: str, path: Path, version: Version, here: str, name: str) -> None:
        """Note that a path does not exist, with the nearest name that does."""
        if name.endswith("[]"):
            said = f"'{name[:-2]}' repeats, so nothing behind it can be named from here."
            remedy = f"write `{name}: {{fields: {{...}}}}` and name it in there."
            self.problem("M016", said, path.place, remedy=remedy)
            return
        known = names_of(version, here)
        self.problem(
            code,
            f"{here} ({version}) has no element '{name}'.",
            path.place,
            ", ".join(sorted(known)) or "no element at all",
            did_you_mean(name, known),
        )

    def brackets(self, rule: Rule, end: End) -> None:
        shown = rule.path.text.removesuffix("[]")
        if rule.operation == "fields" and end.element.is_list and not rule.path.each:
            said = f"'{shown}' repeats; its fields are those of each item."
            self.problem("M016", said, rule.place, f"{shown}[]", f"write `{shown}[]:`.")
        if rule.path.each and not end.element.is_list:
            said = f"'{shown}' does not repeat."
            self.problem("M016", said, rule.place, shown, f"write `{shown}:`.")

    def condition(self, names: Sequence[tuple[str, ...]], place: Place, type_name: str) -> None:
        """Note each path of a condition that the dialect's type does not have."""
        for path in names:
            here = type_name
            for name in path:
                if schema(self.left).type(here).kind == "primitive" or here == "Resource":
                    break
                known = schema(self.left).type(here).elements
                if any(element.choice == f"{name}[x]" for element in known.values()):
                    break
                if name not in known and name not in ("resourceType", "id"):
                    self.problem(
                        "M006",
                        f"{here} ({self.left}) has no element '{name}', which the condition asks.",
                        place,
                        remedy=did_you_mean(name, known),
                    )
                    break
                if name not in known:
                    break
                here = known[name].type

    def table(self, name: Name) -> Table | None:
        table = self.tables.get(name.text)
        if table is None:
            self.problem(
                "M014",
                f"There is no table '{name.text}'.",
                name.place,
                "a file of mappings/tables/",
                did_you_mean(name.text, self.tables),
            )
            return None
        self.used[table.name] = table
        return table

    def inner(self, block: Block, rule: Rule, dialect: End, canonical: End) -> Block | None:
        """Return the block of the inner objects; for `same` the one around it."""
        if rule.same:
            block.recursive = True
            if not _fits(block, dialect.element, canonical.element):
                self.problem(
                    "M011",
                    "`fields: same` needs an element of the same kind as the object around it.",
                    rule.place,
                    block.dialect_type,
                )
            return block
        inner = Block(
            dialect.element.type,
            canonical.element.type,
            f"{block.dialect_path}.{dialect.text}{'[]' if dialect.element.is_list else ''}",
            f"{block.canonical_path}.{canonical.text}{'[]' if canonical.element.is_list else ''}",
        )
        for version, end in ((self.left, dialect), (self.right, canonical)):
            if not children(version, end.element.type):
                said = f"'{end.text}' is a {end.element.type} and has no fields."
                self.problem("M011", said, rule.place)
                return None
        self.steps(inner, rule.fields, rule.place)
        return inner

    def cases(self, block: Block, rule: Rule, dialect: End) -> Iterator[Step]:
        """Yield the cases of a split as steps from one item to a target."""
        if not dialect.element.is_list:
            self.problem("M010", f"'{dialect.text}' does not repeat: no split.", rule.place)
        for case in rule.cases:
            item = dialect.element
            if case.when is not None and case.when_place is not None:
                self.condition(case.when.names, case.when_place, item.type)
            if case.take is not None:
                taken = children(self.left, item.type).get(case.take.text)
                if taken is None:
                    path = Path((case.take.text,), False, case.take.place)
                    self.unknown("M006", path, self.left, item.type, case.take.text)
                    continue
                item = taken
            if case.when is None and case.take is None:
                said = "A case of `split:` has neither `when:` nor `take:`."
                self.problem("M002", said, case.place, "when: CONDITION")
            canonical = self.ends("M007", case.to or (rule.path,), self.right, block.canonical_type)
            if not canonical:
                continue
            end = End(dialect.names, item)
            step = Step(case, case.operation, (end,), canonical)
            if case.table is not None:
                step.table = self.table(case.table)
            if case.operation == "fields":
                step.block = self.inner(block, case, end, canonical[0])
            verify_step(self, block, step, item=True)
            yield step

    def names(self, rule: Rule) -> None:
        """Note a function or expression that does not exist."""
        if rule.function is not None and rule.function.text not in self.functions:
            self.problem(
                "M026",
                f"There is no function '{rule.function.text}'.",
                rule.function.place,
                ", ".join(sorted(self.functions)),
                did_you_mean(rule.function.text, self.functions),
            )
        for expression in rule.expressions.values():
            said = check_expression(expression.text)
            if said:
                self.problem("M027", said, expression.place, "FHIRPath")

    # --- both sides closed ------------------------------------------------------------------

    def double_reads(self, block: Block) -> None:
        """Note each element that two rules take; reading backwards they write it twice."""
        for side, title in (("dialect", "dialect"), ("canonical", "canonical")):
            taken: dict[tuple[str, ...], Step] = {}
            for step in block.steps:
                for end in getattr(step, side):
                    before = next((n for n in taken if _overlap(n, end.names)), None)
                    if before is not None:
                        line = taken[before].rule.place.line
                        self.problem(
                            "M012",
                            f"The {title} element '{end.text}' is already taken in line {line}.",
                            step.rule.place,
                            "one rule for each element",
                        )
                    taken[end.names] = step

    def canonical_only(self, root: Block) -> None:
        """Put the rules of `canonical_only` into the blocks that hold their elements."""
        for rule in self.mapping.canonical_only:
            if rule.operation not in NO_TARGET:
                said = f"'{rule.path.text}' cannot be mapped here: no field produces it."
                self.problem("M029", said, rule.place, "carry | {drop: why} | {cross_version: url}")
                continue
            block, names = _block_of(root, rule.path.names)
            variants = [names]
            if names[-1].endswith("[x]"):
                found = _variants(self.right, block.canonical_type, names[-1])
                variants = [(*names[:-1], name) for name in found] or variants
            for variant in variants:
                path = Path(variant, rule.path.each, rule.path.place)
                ends = self.ends("M007", (path,), self.right, block.canonical_type)
                if ends:
                    step = Step(replace(rule, path=path), rule.operation, (), ends)
                    block.steps.append(step)

    def close(
        self,
        block: Block,
        place: Place,
        constants: Mapping[Direction, tuple[Value, ...]],
        defaults: Mapping[Direction, tuple[Value, ...]],
        seen: frozenset[int] = frozenset(),
    ) -> None:
        """Note what no rule mentions on either side, and what nothing produces."""
        if id(block) in seen:
            return
        self.double_reads_late(block, constants)
        self.mentioned(block, place, "dialect", _names(constants.get("to_dialect", ())))
        self.mentioned(block, place, "canonical", _names(constants.get("to_canonical", ())))
        for direction in DIRECTIONS:
            written = (*constants.get(direction, ()), *defaults.get(direction, ()))
            self.required(block, place, direction, _names(written))
        for step in _all(block.steps):
            if step.block is not None and step.block is not block:
                self.close(step.block, step.rule.place, {}, {}, seen | {id(block)})

    def double_reads_late(
        self, block: Block, constants: Mapping[Direction, tuple[Value, ...]]
    ) -> None:
        taken = {end.names: s for s in block.steps if s.dialect for end in s.canonical}
        for step in block.steps:
            for end in step.canonical if not step.dialect else ():
                before = next((n for n in taken if _overlap(n, end.names)), None)
                if before is not None:
                    line = taken[before].rule.place.line
                    said = f"'{end.text}' is no element of canonical alone: line {line} has it."
                    self.problem("M012", said, step.rule.place)
        for direction, values in constants.items():
            for value in values:
                for step in block.steps:
                    for end in step.target(direction):
                        if _overlap(end.names, value.end.names):
                            place = Place(step.rule.place.file, value.line, 1)
                            said = f"The constant '{value.end.text}' is also written by line "
                            self.problem("M012", f"{said}{step.rule.place.line}.", place)

    def mentioned(
        self, block: Block, place: Place, side: str, constant: set[tuple[str, ...]]
    ) -> None:
        version = self.left if side == "dialect" else self.right
        type_name = block.dialect_type if side == "dialect" else block.canonical_type
        path = block.dialect_path if side == "dialect" else block.canonical_path
        taken = {end.names for step in block.steps for end in getattr(step, side)} | constant
        missing = list(_missing(version, type_name, taken, ()))
        if not missing:
            return
        inner = path.partition(".")[2]
        prefix = f"{inner}." if inner and side == "canonical" else ""
        lines = "".join(f"\n  {prefix}{'.'.join(names)}: carry" for names, _ in missing)
        count = f"{len(missing)} elements" if len(missing) > 1 else "an element"
        where = "`fields:`" if side == "dialect" else "`canonical_only:`, at the top of the file"
        self.problem(
            "M008",
            f"The mapping does not mention {count} of {side} {path}: "
            f"{', '.join('.'.join(names) for names, _ in missing)}.",
            place,
            "each element mapped, carried or dropped for a reason",
            f"paste under {where}, then change what should not be carried:{lines}",
        )

    def required(
        self, block: Block, place: Place, direction: Direction, written: set[tuple[str, ...]]
    ) -> None:
        back: Direction = "to_dialect" if direction == "to_canonical" else "to_canonical"
        version = self.left if direction == "to_dialect" else self.right
        path = block.path(back)
        produced = set(written)
        for step in block.steps:
            if step.source(direction) or step.operation == "expression":
                produced |= {end.names for end in step.target(direction)}
            if step.operation == "cross_version" and not step.source(direction):
                produced |= {end.names for end in step.target(direction)}
        elements = children(version, block.type(back))
        reached = {names[0] for names in produced}
        choices = {e.choice for n, e in elements.items() if n in reached and e.choice}
        said: set[str] = set()
        for name, element in elements.items():
            shown = element.choice or name
            if not element.required or name in reached or shown in said | choices:
                continue
            said.add(shown)
            self.problem(
                "M013",
                f"{path} requires '{shown}', and {direction} nothing produces it.",
                place,
                expected=_REQUIRED,
                remedy=f"write `{shown}` under `defaults: {{{direction}: ...}}`, or map it.",
            )

    # --- constants and defaults -------------------------------------------------------------

    def fixed(
        self, given: Mapping[Direction, tuple[Fixed, ...]]
    ) -> dict[Direction, tuple[Value, ...]]:
        """Resolve constants or defaults, and check the shape of each value."""
        out: dict[Direction, tuple[Value, ...]] = {}
        for direction, values in given.items():
            version = self.right if direction == "to_canonical" else self.left
            side = self.mapping.canonical if direction == "to_canonical" else self.mapping.dialect
            code = "M007" if direction == "to_canonical" else "M006"
            made: list[Value] = []
            for value in values:
                ends = self.ends(code, (value.path,), version, side.resource)
                if ends and self.shape(version, ends[0].element, value.value):
                    made.append(Value(ends[0], value.value.plain(), value.path.place.line))
            out[direction] = tuple(made)
        return out

    def shape(self, version: Version, element: Element, node: Any, item: bool = False) -> bool:
        """Tell whether a value has the shape of its element, noting what has not."""
        if element.is_list and not item:
            if not node.is_list:
                self.problem("M028", f"'{element.name}' repeats.", node.place, "a list: [...]")
                return False
            return _each(self.shape(version, element, inner, True) for inner in node.value)
        if element.is_primitive:
            if node.is_map or node.is_list or node.value is None:
                said = f"'{element.name}' is a {element.type}."
                self.problem("M028", said, node.place, "one value")
                return False
            if element.codes and node.value not in element.codes:
                said = f"'{node.value}' is no code that '{element.name}' allows."
                allowed = ", ".join(sorted(element.codes))
                remedy = did_you_mean(str(node.value), element.codes)
                self.problem("M038", said, node.place, allowed, remedy)
                return False
            return True
        if not node.is_map:
            said = f"'{element.name}' is a {element.type}."
            self.problem("M028", said, node.place, "a mapping: {name: value}")
            return False
        return _each(self.inner_shape(version, element, *entry) for entry in node.items())

    def inner_shape(
        self, version: Version, element: Element, key: str, place: Place, node: Any
    ) -> bool:
        known = schema(version).type(element.type).elements
        if key not in known:
            said = f"{element.type} ({version}) has no element '{key}'."
            self.problem("M028", said, place, ", ".join(known), did_you_mean(key, known))
            return False
        return self.shape(version, known[key], node)


def _each(results: Iterable[bool]) -> bool:
    """Tell whether all are true, after looking at every one."""
    return all(list(results))


def _variants(version: Version, type_name: str, choice: str) -> list[str]:
    elements = schema(version).type(type_name).elements
    return [name for name, element in elements.items() if element.choice == choice]


def _variant(path: Path, choice: str, variant: str) -> Path:
    """Return `to: other[x]` for one variant; a target without `[x]` stays."""
    last = path.names[-1]
    if not last.endswith("[x]"):
        return path
    ending = variant[len(choice) - 3 :]
    return Path((*path.names[:-1], last[:-3] + ending), path.each, path.place)


def _without_exceptions(rules: list[Rule], block: Block, version: Version) -> list[Rule]:
    """Write out `meta: copy` beside `meta.tag: ...` as a copy of everything else in it."""
    out: list[Rule] = []
    paths = [rule.path.names for rule in rules]
    for rule in rules:
        names = rule.path.names
        deeper = [p for p in paths if len(p) > len(names) and p[: len(names)] == names]
        if not deeper or rule.operation != "copy" or rule.to:
            out.append(rule)
            continue
        end = resolve(version, block.dialect_type, names)
        if not isinstance(end, End):
            out.append(rule)
            continue
        exact = {p[len(names)] for p in deeper}
        for child in (*children(version, end.element.type), "extension", "id"):
            if child not in exact:
                path = Path((*names, child), False, rule.path.place)
                out.append(replace(rule, path=path))
    return out


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _all(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from step.cases


def _fits(block: Block, dialect: Element, canonical: Element) -> bool:
    return _like(block.dialect_type, dialect.type) and _like(block.canonical_type, canonical.type)


def _like(one: str, other: str) -> bool:
    return one == other or one == other.rsplit(".", 1)[0]


def _block_of(block: Block, names: tuple[str, ...]) -> tuple[Block, tuple[str, ...]]:
    """Return the innermost block that holds a canonical path, and the rest of the path."""
    for step in block.steps:
        if step.block is None or step.block is block or not step.canonical:
            continue
        head = step.canonical[0].names
        if len(names) > len(head) and names[: len(head)] == head:
            return _block_of(step.block, names[len(head) :])
    return block, names


def _names(values: Sequence[Value]) -> set[tuple[str, ...]]:
    return {value.end.names for value in values}


def _missing(
    version: Version, type_name: str, taken: set[tuple[str, ...]], prefix: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Element]]:
    for name, element in children(version, type_name).items():
        names = (*prefix, name)
        if names in taken:
            continue
        if any(t[: len(names)] == names for t in taken):
            yield from _missing(version, element.type, taken, names)
        else:
            yield names, element
