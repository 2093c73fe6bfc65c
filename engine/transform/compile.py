"""Compile a checked plan to Python source: one function for each direction, no user text in it.

Generated code holds element names of FHIR and names of constants, nothing else: whatever an
analyst wrote (codes, reasons, urls, expressions) is in the constants that it refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.diagnostics import Place
from engine.fhir.schema import schema
from engine.transform.emit import Source
from engine.transform.functions import Pair
from engine.transform.holding import can_hold
from engine.transform.mapping import Direction, Fate, other
from engine.transform.plan import Block, End, Plan, Step
from engine.transform.runtime import NOTHING, Level, Run, Task, put
from engine.transform.translate import Translator

Compiled = Callable[[dict[str, Any], Run], dict[str, Any]]


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
class Compiler:
    """Write one direction of one plan."""

    plan: Plan
    direction: Direction
    pairs: dict[str, Pair]
    source: Source = field(default_factory=Source)
    blocks: dict[int, str] = field(default_factory=dict)
    waiting: list[Block] = field(default_factory=list)

    @property
    def file(self) -> str:
        return self.plan.mapping.place.file

    def compile(self) -> tuple[str, Compiled]:
        """Return the source and the function that it defines."""
        root = self.plan.root
        self.source.line(f"# {self.direction}, generated from the mapping; do not edit")
        with self.source.block(f"def {self.direction}(s, run):"):
            self.source.line("plain = not run.deep")
            path = root.path(self.direction)
            scope = self.object(root, "s", "None", path, (), is_root=True)
            self.source.line(f"return {scope}")
        while self.waiting:
            self.recursive(self.waiting.pop())
        text = self.source.text()
        namespace = self.source.namespace({"NOTHING": NOTHING, "put": put})
        exec(compile(text, f"<{self.direction}>", "exec"), namespace)  # noqa: S102 - our source
        return text, namespace[self.direction]

    def recursive(self, block: Block) -> None:
        name = self.blocks[id(block)]
        with self.source.block(f"def {name}(s, run, at):"):
            self.source.line("plain = not run.deep")
            out = self.object(block, "s", "at", "", ())
            self.source.line(f"return {out}")

    def function_of(self, block: Block) -> str:
        """Return the name of the function for a block that holds itself."""
        if id(block) not in self.blocks:
            self.blocks[id(block)] = f"block_{len(self.blocks) + 1}"
            self.waiting.append(block)
        return self.blocks[id(block)]

    # --- one object -------------------------------------------------------------------------

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
        o, r = self.source.fresh("o"), self.source.fresh("r")
        scope = Scope(s, o, r, base, pattern, pairs)
        steps = [step for step in block.steps if step.source(self.direction)]
        others = [step for step in block.steps if not step.source(self.direction)]
        self.source.line(f"{o} = {s}.copy()")
        taken = {step: self.taken(scope, step) for step in steps if not self.is_passive(step)}
        constants = self.constants_read(scope) if is_root else []
        level = self.source.constant(self.level(block, steps, others, constants))
        guards = list(self.groups(scope, steps, level))
        holds_all = self.source.constant(self.plain(block, steps, constants).issuperset)
        recalls = any(self.recalls(step) for step in block.steps)
        if recalls:
            self.source.line(f"{r} = NOTHING")
        alone = self.alone(s, steps, taken)
        with self.source.block(f"if {alone}not {holds_all}({s}):"):
            head = f"{r} = " if recalls else ""
            self.source.line(f"{head}run.unusual({level}, {s}, {o}, {scope.spec()})")
        for guard in guards:
            self.source.line(guard)
        if is_root and block.type(self.direction) != block.type(other(self.direction)):
            self.source.line(f"{o}['resourceType'] = {block.type(other(self.direction))!r}")
        for step in steps:
            if not self.is_passive(step):
                self.step(scope, step, taken[step])
        for step in others:
            if step.operation == "expression":
                self.expression(scope, step)
            elif step.operation == "function":
                self.function(scope, step)
        if is_root:
            self.constants_write(scope)
        self.rewriting(scope, block, steps)
        return o

    def alone(self, s: str, steps: list[Step], taken: dict[Step, list[str]]) -> str:
        """Return the cheaper guard by counting, for objects of which one element is read."""
        active = [step for step in steps if step in taken]
        if len(active) != 1 or len(active[0].source(self.direction)) != 1:
            return ""
        if len(active[0].source(self.direction)[0].names) != 1:
            return ""
        return f"({taken[active[0]][0]} is None or len({s}) != 1) and "

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
            restores=dict(self.restores(block)),
            cross={
                step.rule.url.text: (end.element, end.names)
                for step in others
                if step.operation == "cross_version" and step.rule.url
                for end in step.target(self.direction)
            },
        )

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
            and step.operation in ("copy", "table", "coding", "ref", "identifier", "fields")
        )

    # --- reading ----------------------------------------------------------------------------

    def taken(self, scope: Scope, step: Step) -> list[str]:
        """Write the reads of a step; in-place values stay in the output until replaced."""
        names: list[str] = []
        for end in step.source(self.direction):
            v = self.source.fresh("v")
            first = end.names[0]
            where = f"  # line {step.rule.place.line}"
            if len(end.names) > 1:
                chain = f"({scope.s}.get({first!r}) or NOTHING)"
                for name in end.names[1:-1]:
                    chain = f"({chain}.get({name!r}) or NOTHING)"
                self.source.line(f"{v} = {chain}.get({end.name!r}){where}")
            elif self.in_place(step):
                self.source.line(f"{v} = {scope.s}.get({first!r}){where}")
            else:
                self.source.line(f"{v} = {scope.o}.pop({first!r}, None){where}")
            names.append(v)
            if end.element.is_primitive and not self.is_simple(step):
                u = self.source.fresh("u")
                if len(end.names) > 1:
                    chain = f"({scope.s}.get({first!r}) or NOTHING)"
                    self.source.line(f"{u} = {chain}.get({f'_{end.name}'!r})")
                else:
                    self.source.line(f"{u} = {scope.o}.pop({f'_{end.name}'!r}, None)")
                names.append(u)
            else:
                names.append("None")
        return names

    def is_simple(self, step: Step) -> bool:
        """Tell whether `unusual` moves the `_name` siblings of a step by itself."""
        return all(
            len(end.names) == 1 and self.sibling(step, end) is not None
            for end in step.source(self.direction)
        )

    def groups(self, scope: Scope, steps: list[Step], level: str) -> Iterator[str]:
        """Take out the objects that dotted paths read out of; yield the guard of each."""
        groups: dict[tuple[str, ...], set[str]] = {}
        for step in steps:
            for end in step.source(self.direction):
                for depth in range(1, len(end.names)):
                    known = groups.setdefault(end.names[:depth], set())
                    known.add(end.names[depth])
                    if end.element.is_primitive and depth == len(end.names) - 1:
                        known.add(f"_{end.name}")
        for names, known in groups.items():
            if len(names) == 1:
                self.source.line(f"{scope.o}.pop({names[0]!r}, None)")
            constant = self.source.constant(frozenset(known))
            at = scope.spec("." + ".".join(names))
            yield f"run.guard({scope.s}, {scope.o}, {names!r}, {constant}, {at}, {level})"

    # --- one step ---------------------------------------------------------------------------

    def step(self, scope: Scope, step: Step, taken: list[str]) -> None:
        """Write what one step does with the values that were read."""
        self.source.comment(step.rule.place, self.file)
        if self.is_code(step):
            self.code(scope, step, taken[0])
            return
        match step.operation:
            case "function":
                self.function(scope, step)
            case "expression":
                self.expression(scope, step)
            case "split":
                self.split(scope, step, taken)
            case "carry" | "drop" | "cross_version":
                self.away(scope, step, taken)
            case _:
                self.one(scope, step, taken[0], taken[1])

    def is_code(self, step: Step) -> bool:
        """Tell whether a step only looks whether a code is in its value set."""
        source = step.source(self.direction)
        return (
            step.operation == "copy"
            and self.in_place(step)
            and not step.rule.first
            and not source[0].element.is_list
        )

    def code(self, scope: Scope, step: Step, v: str) -> None:
        end = step.source(self.direction)[0]
        codes = self.source.constant((end.element.codes or frozenset()) | {None})
        place = self.source.constant(step.rule.place)
        with self.source.block(f"if {v} not in {codes}:"):
            self.source.line(f"run.code({scope.spec('.' + end.text)}, {place})")

    def one(self, scope: Scope, step: Step, v: str, u: str) -> None:
        """Write a step from one element to one, with its condition."""
        rule = step.rule
        if rule.first and step.source(self.direction)[0].element.is_primitive:
            self.first(scope, step, v, u)
            return
        with self.source.block(f"if {v} is not None:"):
            if rule.when is not None and self.direction == "to_canonical":
                when = self.source.constant(rule.when)
                with self.source.block(f"if {when}.holds({scope.s}):"):
                    self.value(scope, step, v)
                with self.source.block("else:"):
                    self.fate(scope, rule.otherwise, step.source(self.direction)[0].text, v)
            else:
                self.value(scope, step, v)
        if u != "None":
            with self.source.block(f"if {u} is not None:"):
                target = step.target(self.direction)[0]
                names = (*target.names[:-1], f"_{target.name}")
                many = target.element.is_list
                was = step.source(self.direction)[0].element.is_list
                value = u if many == was else f"[{u}]" if many else f"{u}[0]"
                self.source.line(f"put({scope.o}, {names!r}, {value})")

    def first(self, scope: Scope, step: Step, v: str, u: str) -> None:
        """Write a step between a primitive list and a single one, `_name` siblings included."""
        source, target = step.source(self.direction)[0], step.target(self.direction)[0]
        beside = (*target.names[:-1], f"_{target.name}")
        x, w = self.source.fresh("x"), self.source.fresh("w")
        at = f".{source.text}"
        with self.source.block(f"if {v} is not None or {u} is not None:"):
            if source.element.is_list:
                rest = self.source.constant(step.rule.rest)
                path = repr(f"{source.text}#rest")
                call = f"run.narrow({rest}, {scope.o}, {path}, {v}, {u}, {scope.spec(at)})"
                self.source.line(f"{x}, {w} = {call}")
                with self.source.block(f"if {x} is not None:"):
                    self.write(scope, target, self.item(scope, step, x, at, ()))
            else:
                with self.source.block(f"if {v} is not None:"):
                    y = self.item(scope, step, v, at, ())
                    self.source.line(f"{v} = {y}")
                rest = f"{scope.r}.get({f'{target.text}#rest'!r})"
                self.source.line(f"{x}, {w} = run.widen({rest}, {v}, {u})")
                with self.source.block(f"if {x} is not None:"):
                    self.write(scope, target, x)
            with self.source.block(f"if {w} is not None:"):
                self.source.line(f"put({scope.o}, {beside!r}, {w})")

    def fate(self, scope: Scope, fate: Fate | None, path: str, v: str) -> None:
        constant = self.source.constant(fate)
        at = scope.spec("." + path)
        self.source.line(f"run.fate({constant}, {scope.o}, {path!r}, {v}, {at})")

    def value(self, scope: Scope, step: Step, v: str) -> None:
        """Write the change of a value, fitting single to list and list to single."""
        source, target = step.source(self.direction)[0], step.target(self.direction)[0]
        many, was = target.element.is_list, source.element.is_list
        if was and not many:
            with self.source.block(f"if len({v}) > 1:"):
                self.fate(scope, step.rule.rest, f"{source.text}#rest", f"{v}[1:]")
            x = self.source.fresh("x")
            self.source.line(f"{x} = {v}[0]")
            self.write(scope, target, self.item(scope, step, x, f".{source.text}[]", (v, x)))
        elif many and not was:
            y = self.item(scope, step, v, f".{source.text}", ())
            rest = f"({scope.r}.get({f'{target.text}#rest'!r}) or ())"
            self.write(scope, target, f"[{y}, *{rest}]" if step.rule.first else f"[{y}]")
        elif many:
            self.each(scope, step, v, source, target)
        else:
            at = f".{source.text}"
            if step.operation == "ref" and self.in_place(step):
                spec, place = scope.spec(at), self.source.constant(step.rule.place)
                with self.source.block(f"if {self.is_far(step, v)}:"):
                    self.write(scope, target, self.referring(step, v, spec, place))
                return
            y = self.item(scope, step, v, at, ())
            if y != v or not self.in_place(step):
                self.write(scope, target, y)

    def each(self, scope: Scope, step: Step, v: str, source: End, target: End) -> None:
        """Write the change of each item of a list."""
        x = self.source.fresh("x")
        at = f".{source.text}[]"
        inline = self.inline(scope, step, x, at, (v, x))
        if step.operation == "ref" and self.in_place(step):
            spec, place = scope.spec(at, v, x), self.source.constant(step.rule.place)
            loop, test = f"for {x} in {v}:", f"if {self.is_far(step, x)}:"
            with self.source.block(loop), self.source.block(test):
                call = self.referring(step, x, spec, place)
                self.write(scope, target, f"[{call} for {x} in {v}]")
                self.source.line("break")
        elif inline == x:
            y = self.deep(step, v, scope.spec(f".{source.text}"))
            if y != v or not self.in_place(step):
                self.write(scope, target, y)
        else:
            items = self.source.fresh("l")
            self.source.line(f"{items} = []")
            with self.source.block(f"for {x} in {v}:"):
                y = self.item(scope, step, x, at, (v, x))
                self.source.line(f"{items}.append({y})")
            self.write(scope, target, items)

    def deep(self, step: Step, v: str, at: str) -> str:
        """Return the source of a copied value with its references rewritten where needed."""
        if step.source(self.direction)[0].element.is_primitive or self.in_place(step):
            return v
        version = self.plan.version(self.direction)
        holds = can_hold(version, step.source(self.direction)[0].element.type)
        near = "plain" if holds else "plain or not run.far"
        return f"({v} if {near} else run.rewritten({v}, {at}))"

    def write(self, scope: Scope, target: End, value: str) -> None:
        if len(target.names) == 1:
            self.source.line(f"{scope.o}[{target.name!r}] = {value}")
        else:
            self.source.line(f"put({scope.o}, {target.names!r}, {value})")

    def inline(
        self, scope: Scope, step: Step, x: str, at: str, pair: tuple[str, ...]
    ) -> str | None:
        """Return one expression for the changed value, or None where it takes statements."""
        spec = scope.spec(at, *pair)
        place = self.source.constant(step.rule.place)
        match step.operation:
            case "copy" if not step.source(self.direction)[0].element.codes:
                return x
            case "coding":
                translator = self.translator(step)
                constant = self.source.constant(translator)
                if step.source(self.direction)[0].element.type == "Coding":
                    return f"run.coding({constant}, {x}, {spec}, {place})"
                fast = self.source.constant(translator.fast())
                return f"({fast}({x}) or run.concept({constant}, {x}, {spec}, {place}))"
            case "ref":
                return self.reference(step, x, spec, place)
            case "identifier":
                given = step.rule.systems
                if self.direction == "to_dialect":
                    given = {new: old for old, new in given.items()}
                systems = self.source.constant(dict(given))
                made = f"run.identifier({x}, {systems}, {spec})"
                return f"({made} if plain else run.rewritten({made}, {spec}))"
        return None

    def targets(self, step: Step) -> frozenset[str]:
        """Return the types that a reference may point to; none stands for any."""
        names = frozenset(target.text for target in step.rule.targets)
        return frozenset() if "any" in names else names

    def is_far(self, step: Step, x: str) -> str:
        """Return the test for references that need more than a look at their type."""
        starts = tuple(f"{name}/" for name in sorted(self.targets(step)))
        near = f"({x}.get('reference') or '').startswith({self.source.constant(starts)})"
        return f"not (plain and {near})" if starts else "not plain"

    def referring(self, step: Step, x: str, spec: str, place: str) -> str:
        targets = self.source.constant(self.targets(step))
        return f"run.reference({x}, {targets}, {spec}, {place})"

    def reference(self, step: Step, x: str, spec: str, place: str) -> str:
        far = self.is_far(step, x)
        return f"({self.referring(step, x, spec, place)} if {far} else {x})"

    def item(self, scope: Scope, step: Step, x: str, at: str, pair: tuple[str, ...]) -> str:
        """Write what is needed to change one value; return its source expression."""
        inline = self.inline(scope, step, x, at, pair)
        if inline is not None:
            return self.deep(step, x, scope.spec(at, *pair)) if inline == x else inline
        if step.operation == "copy":
            codes = self.source.constant(step.source(self.direction)[0].element.codes)
            place = self.source.constant(step.rule.place)
            with self.source.block(f"if {x} not in {codes}:"):
                self.source.line(f"run.code({scope.spec(at, *pair)}, {place})")
            return x
        if step.operation == "table":
            return self.bare(scope, step, x, at)
        assert step.block is not None
        if step.block.recursive:
            return f"{self.function_of(step.block)}({x}, run, {scope.spec(at, *pair)})"
        pattern, pairs = f"{scope.pattern}{at}", (*scope.pairs, *pair)
        return self.object(step.block, x, scope.base, pattern, pairs)

    def bare(self, scope: Scope, step: Step, x: str, at: str) -> str:
        translator = self.translator(step)
        exact = self.source.constant(translator.exact())
        constant, place = self.source.constant(translator), self.source.constant(step.rule.place)
        y = self.source.fresh("y")
        self.source.line(f"{y} = {exact}.get({x}) if {scope.r} is NOTHING else None")
        source, target = step.source(self.direction)[0], step.target(self.direction)[0]
        with self.source.block(f"if {y} is None:"):
            self.source.line(
                f"{y} = run.bare({constant}, {x}, {scope.o}, {scope.r}, {target.text!r}, "
                f"{source.text!r}, {scope.spec(at)}, {place})"
            )
        codes = target.element.codes
        if codes:
            allowed = self.source.constant(codes)
            with self.source.block(f"if {y} not in {allowed}:"):
                self.source.line(f"run.code({scope.spec(at)}, {place})")
        return y

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

    # --- steps without a home on the other side ---------------------------------------------

    def away(self, scope: Scope, step: Step, taken: list[str]) -> None:
        end = step.source(self.direction)[0]
        v, u = taken[0], taken[1]
        place = self.source.constant(step.rule.place)
        at = scope.spec("." + end.text)
        if step.rule.when is not None and self.direction == "to_canonical":
            when = self.source.constant(step.rule.when)
            test = f"if {v} is not None and not {when}.holds({scope.s}):"
            with self.source.block(test):
                self.fate(scope, step.rule.otherwise, end.text, v)
                self.source.line(f"{v} = None")
        if step.operation == "cross_version":
            task = self.source.constant(self.task(step))
            with self.source.block(f"if {v} is not None or {u} is not None:"):
                self.source.line(f"run.cross({task}, {v}, {u}, {scope.o}, {at})")
            return
        for prefix, value in (("", v), ("_", u)):
            if value == "None":
                continue
            with self.source.block(f"if {value} is not None:"):
                if step.operation == "drop":
                    reason = self.source.constant(step.rule.reason)
                    self.source.line(f"run.dropped({reason}, {at}, {place})")
                else:
                    path = ".".join((*end.names[:-1], f"{prefix}{end.name}"))
                    self.source.line(f"run.carry({scope.o}, {path!r}, {value}, {at}, {place})")

    def task(self, step: Step) -> Task:
        rule = step.rule
        expression = rule.expressions.get(self.direction)
        return Task(
            place=rule.place,
            source=step.source(self.direction),
            target=step.target(self.direction),
            pair=self.pairs.get(rule.function.text) if rule.function else None,
            arguments=rule.arguments,
            expression=expression.text if expression else "",
            url=rule.url.text if rule.url else "",
        )

    def function(self, scope: Scope, step: Step) -> None:
        task = self.source.constant(self.task(step))
        self.source.line(f"run.function({task}, {scope.s}, {scope.o}, {scope.r}, {scope.spec()})")

    def expression(self, scope: Scope, step: Step) -> None:
        if self.direction in step.rule.expressions and step.target(self.direction):
            task = self.source.constant(self.task(step))
            self.source.line(f"run.expression({task}, {scope.s}, {scope.o}, {scope.spec()})")

    # --- split ------------------------------------------------------------------------------

    def split(self, scope: Scope, step: Step, taken: list[str]) -> None:
        if self.direction == "to_canonical":
            self.divide(scope, step, taken[0])
        else:
            self.join(scope, step, taken)

    def divide(self, scope: Scope, step: Step, v: str) -> None:
        """Write the way from one list to several targets."""
        path = step.dialect[0].text
        lists = [self.source.fresh("l") for _ in step.cases]
        rest, order, x = (self.source.fresh(name) for name in ("l", "n", "x"))
        with self.source.block(f"if {v} is not None:"):
            for name in (*lists, rest, order):
                self.source.line(f"{name} = []")
            with self.source.block(f"for {x} in {v}:"):
                for index, case in enumerate(step.cases):
                    word = "if" if index == 0 else "elif"
                    with self.source.block(f"{word} {self.matches(case, x, lists[index])}:"):
                        self.source.line(f"{order}.append({index})")
                        y = self.case_item(scope, case, x, path, (v, x))
                        self.source.line(f"{lists[index]}.append({y})")
                with self.source.block("else:"):
                    self.source.line(f"{order}.append({len(step.cases)})")
                    self.source.line(f"{rest}.append({x})")
            for case, items in zip(step.cases, lists, strict=True):
                end = case.canonical[0]
                with self.source.block(f"if {items}:"):
                    self.write(scope, end, items if end.element.is_list else f"{items}[0]")
            with self.source.block(f"if {rest}:"):
                self.fate(scope, step.rule.rest, f"{path}#rest", rest)
            with self.source.block(f"if {order} != sorted({order}):"):
                self.source.line(f"run.remember({scope.o}, {f'{path}#order'!r}, {order})")

    def matches(self, case: Step, x: str, items: str) -> str:
        """Return the condition of a case."""
        tests: list[str] = []
        if case.rule.take is not None:
            name = case.dialect[0].element.name
            tests.append(f"len({x}) == 1 and {name!r} in {x}")
        if case.rule.when is not None:
            tests.append(f"{self.source.constant(case.rule.when)}.holds({x})")
        if not case.canonical[0].element.is_list:
            tests.append(f"not {items}")
        return " and ".join(tests)

    def case_item(self, scope: Scope, case: Step, x: str, path: str, pair: tuple[str, ...]) -> str:
        suffix = f".{path}[]"
        if case.rule.take is None:
            return self.item(scope, case, x, suffix, pair)
        name = case.dialect[0].element.name
        z = self.source.fresh("x")
        self.source.line(f"{z} = {x}[{name!r}]")
        return self.item(scope, case, z, f"{suffix}.{name}", pair)

    def join(self, scope: Scope, step: Step, taken: list[str]) -> None:
        """Write the way back from several targets to one list."""
        end = step.dialect[0]
        lists: list[str] = []
        for index, case in enumerate(step.cases):
            v, items = taken[2 * index], self.source.fresh("l")
            lists.append(items)
            self.source.line(f"{items} = []")
            source = case.canonical[0]
            whole = v if source.element.is_list else f"([{v}] if {v} is not None else ())"
            x = self.source.fresh("x")
            with self.source.block(f"for {x} in {whole} or ():"):
                at = f".{source.text}[]" if source.element.is_list else f".{source.text}"
                pair = (v, x) if source.element.is_list else ()
                y = self.item(scope, case, x, at, pair)
                taken_name = case.dialect[0].element.name
                wrapped = f"{{{taken_name!r}: {y}}}" if case.rule.take is not None else y
                self.source.line(f"{items}.append({wrapped})")
        path = end.text
        restored = f"{scope.r}.get({f'{path}#rest'!r}, ())"
        order = f"{scope.r}.get({f'{path}#order'!r})"
        joined = self.source.fresh("l")
        self.source.line(f"{joined} = run.joined(({', '.join(lists)},), {restored}, {order})")
        with self.source.block(f"if {joined}:"):
            self.write(scope, end, joined)

    # --- constants and defaults -------------------------------------------------------------

    def constants_read(self, scope: Scope) -> list[str]:
        """Write the check of values that the other direction writes as constants."""
        names: list[str] = []
        for value in self.plan.constants.get(other(self.direction), ()):
            v = self.source.fresh("v")
            name = value.end.names[0]
            self.source.line(f"{v} = {scope.o}.pop({name!r}, None)")
            constant = self.source.constant(value.value)
            place = self.source.constant(Place(self.file, value.line, 1))
            at = scope.spec("." + name)
            self.source.line(f"run.constant({v}, {constant}, {at}, {place})")
            names.append(name)
        return names

    def constants_write(self, scope: Scope) -> None:
        for value in self.plan.constants.get(self.direction, ()):
            constant = self.source.constant(value.value)
            self.source.line(f"put({scope.o}, {value.end.names!r}, run.copied({constant}))")
        for value in self.plan.defaults.get(self.direction, ()):
            names = value.end.names
            constant = self.source.constant(value.value)
            place = self.source.constant(Place(self.file, value.line, 1))
            at = scope.spec("." + value.end.text)
            call = f"run.default({scope.o}, {names!r}, {constant}, {at}, {place})"
            if len(names) == 1:
                with self.source.block(f"if {names[0]!r} not in {scope.o}:"):
                    self.source.line(call)  # which looks for `_name` as well
            else:
                self.source.line(call)

    def rewriting(self, scope: Scope, block: Block, steps: list[Step]) -> None:
        """Write the rewriting of references inside everything that was copied in place."""
        names = [
            end.name
            for step in steps
            if step.operation == "copy" and (self.is_passive(step) or self.in_place(step))
            for end in step.source(self.direction)
            if not end.element.is_primitive
        ]
        version = self.plan.version(self.direction)
        type_name = block.type(self.direction)
        elements = schema(version).type(type_name).elements
        holding = tuple(name for name in names if can_hold(version, elements[name].type))
        coded = {
            step.target(self.direction)[0].names[0] for step in steps if step.operation == "coding"
        }
        others = (*sorted({*names, *coded} - {*holding}), "extension", "modifierExtension")
        with self.source.block("if not plain:"):
            if holding:
                self.source.line(f"run.rewrite({scope.o}, {holding!r}, {scope.spec()})")
            with self.source.block("if run.far:"):
                self.source.line(f"run.rewrite({scope.o}, {others!r}, {scope.spec()})")
            for step in filter(self.is_any, steps):
                v = self.source.fresh("v")
                self.source.line(f"{v} = {scope.s}.get({step.source(self.direction)[0].name!r})")
                self.one(scope, step, v, "None")


def compiled(plan: Plan, direction: Direction, pairs: dict[str, Pair]) -> tuple[str, Compiled]:
    """Compile one direction of a plan; return its source and the function."""
    return Compiler(plan, direction, pairs).compile()
