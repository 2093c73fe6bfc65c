"""Check a mapping against both sides' types and turn it into a plan; every problem in one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from engine.diagnostics import Place
from engine.fhir.schema import Element
from engine.transform.closed_world import NO_TARGET, Closing
from engine.transform.kinship import check_siblings
from engine.transform.mapping import Name, Path, Rule
from engine.transform.plan import Block, End, Plan, Step, Version
from engine.transform.resolve import variants_of
from engine.transform.types import children, resolve
from engine.transform.unheard import check_unheard
from engine.transform.verify import verify_step


@dataclass(slots=True)
class Checker(Closing):
    """Check one mapping and make its plan."""

    def plan(self) -> Plan:
        """Return the plan; it may be used only where no problem was found."""
        dialect, canonical = self.mapping.dialect.resource, self.mapping.canonical.resource
        root = Block(dialect, canonical, dialect, canonical)
        constants = self.fixed(self.mapping.constants)
        defaults = self.fixed(self.mapping.defaults)
        self.steps(root, self.mapping.fields, self.mapping.fields_place)
        self.canonical_only(root)
        check_unheard(self, root)
        self.close(root, self.mapping.fields_place, constants, defaults)
        siblings = check_siblings(self, root)
        return Plan(self.mapping, root, constants, defaults, self.used, siblings)

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
            variants = variants_of(self.left, block.dialect_type, last)
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
            self.condition(rule.when, rule.when_place, self.left, block.dialect_type, "M006")
        step = Step(rule, rule.operation, dialect, canonical)
        if rule.table is not None:
            step.table = self.table(rule.table)
            if step.table is None:
                # It stands in for the real one, so that its elements count as mentioned.
                return Step(rule, "copy", dialect, canonical)
        if rule.operation == "fields":
            step.block = self.inner(block, rule, dialect[0], canonical[0])
        if rule.operation == "split":
            step.cases = tuple(self.cases(block, rule, dialect[0]))
            step.canonical = tuple(end for case in step.cases for end in case.canonical)
        self.names(rule, block)
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
        before: list[Step] = []
        for case in rule.cases:
            item = dialect.element
            if case.when is not None and case.when_place is not None:
                self.condition(case.when, case.when_place, self.left, item.type, "M006")
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
            self.reached(before, step)
            before.append(step)
            yield step

    def reached(self, before: Sequence[Step], case: Step) -> None:
        """Note a case of which each item is taken by one before it that says the same."""
        rule = case.rule
        for other in before:
            said = other.rule.when and rule.when and other.rule.when.text == rule.when.text
            takes_all = said and other.canonical[0].element.is_list
            if takes_all and _text(other.rule.take) == _text(rule.take):
                line = other.rule.place.line
                message = f"No item reaches this case: the one in line {line} takes each."
                self.problem("M012", message, rule.place, "another condition, or one case")


def _text(name: Name | None) -> str:
    return name.text if name else ""


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


def _fits(block: Block, dialect: Element, canonical: Element) -> bool:
    return _like(block.dialect_type, dialect.type) and _like(block.canonical_type, canonical.type)


def _like(one: str, other: str) -> bool:
    return one == other or one == other.rsplit(".", 1)[0]
