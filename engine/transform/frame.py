"""What every part of the compiler asks of the steps and objects of a plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.fhir.reference_places import can_hold
from engine.fhir.schema import Element, schema
from engine.transform.emit import Source
from engine.transform.functions import Pair
from engine.transform.journey import sides
from engine.transform.mapping import Direction, Fate, other
from engine.transform.plan import Block, End, Plan, Step
from engine.transform.runtime import Level, Task
from engine.transform.translate import Translator


@dataclass(frozen=True, slots=True)
class Scope:
    """Name the variables of one object in generated code: source, output, restored, its spec."""

    s: str
    o: str
    r: str
    base: str
    pattern: str
    pairs: tuple[str, ...]

    def spec(self, suffix: str = "", *pair: str) -> str:
        """Return the source of the spec tuple for something within this object."""
        parts = (self.base, repr(f"{self.pattern}{suffix}"), *self.pairs, *pair)
        return f"({', '.join(parts)})"


@dataclass(slots=True)
class Frame(ABC):
    """Hold one direction of one plan while it is compiled."""

    plan: Plan
    direction: Direction
    pairs: dict[str, Pair]
    source: Source = field(default_factory=Source)
    blocks: dict[int, str] = field(default_factory=dict)
    waiting: list[Block] = field(default_factory=list)

    @abstractmethod
    def object(
        self,
        block: Block,
        s: str,
        base: str,
        pattern: str,
        pairs: tuple[str, ...],
        is_root: bool = False,
    ) -> str:
        """Write the code that turns the object in variable `s`; return the output's variable."""

    @property
    def file(self) -> str:
        return self.plan.mapping.place.file

    def function_of(self, block: Block) -> str:
        """Return the name of the function for a block that holds itself."""
        if id(block) not in self.blocks:
            self.blocks[id(block)] = f"block_{len(self.blocks) + 1}"
            self.waiting.append(block)
        return self.blocks[id(block)]

    def recalls(self, step: Step) -> bool:
        """Tell whether a step looks at what was remembered for it, beside what is put back."""
        return step.rule.first or step.operation in ("table", "function", "split")

    def plain(self, block: Block, steps: list[Step], constants: list[str]) -> frozenset[str]:
        names = {end.names[0] for step in steps for end in step.source(self.direction)}
        kind = schema(self.plan.version(self.direction)).type(block.type(self.direction)).kind
        return frozenset(names | {"resourceType" if kind == "resource" else "id"} | {*constants})

    def level(
        self, block: Block, steps: list[Step], others: list[Step], constants: list[str]
    ) -> Level:
        """Return what the rare road has to know about this object."""
        policies = self.plan.mapping.policies
        reject = Fate("reject", "", self.plan.mapping.place)
        primitives: dict[str, tuple[str, ...] | None] = {}
        for step in steps:
            for end in step.source(self.direction):
                if len(end.names) == 1 and end.element.is_primitive:
                    primitives[f"_{end.name}"] = self.sibling(step, end)
        return Level(
            place=steps[0].rule.place if steps else self.plan.mapping.fields_place,
            plain=self.plain(block, steps, constants),
            primitives=primitives,
            known=frozenset(
                schema(self.plan.version(self.direction)).type(block.type(self.direction)).elements
            ),
            extension=policies.extension or reject,
            modifier=policies.modifier or reject,
            primitive=policies.primitive or reject,
            carries_unmapped=policies.on_unmapped == "carry",
            unmapped=self.unheard(block),
            restores=dict(self.restores(block)),
            cross=self.crossed(others),
        )

    def unheard(self, block: Block) -> dict[str, Fate]:
        """Return what becomes of the elements of an object that FHIR does not have."""
        if self.direction == "to_dialect":
            return {}
        here = block.dialect_path.replace("[]", "").split(".")[1:]
        named = self.plan.mapping.policies.unmapped
        return {path.names[-1]: fate for path, fate in named if [*path.names[:-1]] == here}

    def crossed(self, others: list[Step]) -> dict[str, list[tuple[Element, tuple[str, ...]]]]:
        """Return what each cross-version extension may hold: the variants of a choice share one."""
        found: dict[str, list[tuple[Element, tuple[str, ...]]]] = {}
        for step in others:
            if step.operation == "cross_version" and step.rule.url:
                for end in step.target(self.direction):
                    found.setdefault(step.rule.url.text, []).append((end.element, end.names))
        return found

    def sibling(self, step: Step, end: End) -> tuple[str, ...] | None:
        """Return where the `_name` of a primitive goes; None where its step sees to it."""
        targets = step.target(self.direction)
        if step.operation in ("copy", "table") and targets and step.rule.when is None:
            if end.element.is_list != targets[0].element.is_list:
                return None
            return (*targets[0].names[:-1], f"_{targets[0].name}")
        return None

    def restores(self, block: Block) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield path and names of what the way here may have carried whole."""
        for step in block.steps:
            carries = step.operation == "carry" or (
                step.rule.otherwise is not None and step.rule.otherwise.kind == "carry"
            )
            for end in step.target(self.direction) if carries else ():
                for prefix in ("", "_"):
                    names = (*end.names[:-1], f"{prefix}{end.name}")
                    yield ".".join(names), names
            for end in step.target(self.direction):
                for name in ("id", "extension", "modifierExtension") if end.names[1:] else ():
                    names = (*end.names[:-1], name)
                    yield ".".join(names), names

    def is_passive(self, step: Step) -> bool:
        """Tell whether a step is done by copying the object: same name, same value."""
        source, target = step.source(self.direction), step.target(self.direction)
        if self.is_any(step):
            return True
        return (
            step.operation == "copy"
            and len(source) == len(target) == 1
            and source[0].names == target[0].names
            and len(source[0].names) == 1
            and step.rule.when is None
            and not step.rule.first
            and not source[0].element.codes
        )

    def is_any(self, step: Step) -> bool:
        """Tell whether a reference may point to anything, and stays where it is."""
        return step.operation == "ref" and self.in_place(step) and not self.targets(step)

    def in_place(self, step: Step) -> bool:
        source, target = step.source(self.direction), step.target(self.direction)
        same = len(source) == len(target) == 1 and source[0].names == target[0].names
        return (
            same
            and len(source[0].names) == 1
            and step.rule.when is None
            and not step.rule.first
            and step.operation in ("copy", "table", "coding", "ref", "identifier", "fields")
        )

    def is_simple(self, step: Step) -> bool:
        """Tell whether `unusual` moves the `_name` siblings of a step by itself."""
        return all(
            len(end.names) == 1 and self.sibling(step, end) is not None
            for end in step.source(self.direction)
        )

    def is_code(self, step: Step) -> bool:
        """Tell whether a step only looks whether a code is in its value set."""
        source = step.source(self.direction)
        return (
            step.operation == "copy"
            and self.in_place(step)
            and not step.rule.first
            and not source[0].element.is_list
        )

    def read(self, s: str, name: str) -> str:
        """Return the source of an element's value, or None; most are absent, which `in` tells."""
        return f"{s}[{name!r}] if {name!r} in {s} else None"

    def write(self, scope: Scope, target: End, value: str) -> None:
        if len(target.names) == 1:
            self.source.line(f"{scope.o}[{target.name!r}] = {value}")
        else:
            self.source.line(f"put({scope.o}, {target.names!r}, {value})")

    def fate(self, scope: Scope, fate: Fate | None, path: str, v: str) -> None:
        constant = self.source.constant(fate)
        at = scope.spec("." + path)
        self.source.line(f"run.fate({constant}, {scope.o}, {path!r}, {v}, {at})")

    def targets(self, step: Step) -> frozenset[str]:
        """Return the types that a reference may point to; none stands for any."""
        names = frozenset(target.text for target in step.rule.targets)
        return frozenset() if "any" in names else names

    def translator(self, step: Step) -> Translator:
        assert step.table is not None
        only, back = step.rule.only, other(self.direction)
        return Translator(
            self.plan.mapping.name,
            self.direction,
            step.table,
            step.rule.on_miss.get(self.direction) if only in (None, self.direction) else None,
            step.rule.keep_source,
            only,
            step.rule.on_miss.get(back) if only in (None, back) else None,
        )

    def task(self, step: Step) -> Task:
        rule = step.rule
        expression = rule.expressions.get(self.direction)
        source, target = step.source(self.direction), step.target(self.direction)
        made = self.plan.version(other(self.direction))
        return Task(
            place=rule.place,
            source=source,
            target=target,
            reads=sides(source),
            writes=sides(target),
            holds=any(can_hold(made, end.element.type) for end in target),
            pair=self.pairs.get(rule.function.text) if rule.function else None,
            arguments=rule.arguments,
            expression=expression.text if expression else "",
            url=rule.url.text if rule.url else "",
        )
