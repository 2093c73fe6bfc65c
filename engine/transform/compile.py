"""Compile a checked plan to Python source: one function for each direction, no user text in it.

Generated code holds element names of FHIR and names of constants, nothing else: whatever an
analyst wrote (codes, reasons, urls, expressions) is in the constants that it refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.diagnostics import Place
from engine.fhir.reference_places import bare_names, can_hold
from engine.fhir.schema import Element, schema
from engine.transform.frame import Scope
from engine.transform.functions import Pair
from engine.transform.mapping import Direction, other
from engine.transform.moves import Moves
from engine.transform.plan import Block, Plan, Step
from engine.transform.runtime import NOTHING, Run, put

Compiled = Callable[[dict[str, Any], Run], dict[str, Any]]


class Compiler(Moves):
    """Write one direction of one plan."""

    __slots__ = ()

    def compile(self) -> tuple[str, Compiled]:
        """Return the source and the function that it defines."""
        root = self.plan.root
        self.source.line(f"# {self.direction}, generated from the mapping; do not edit")
        with self.source.block(f"def {self.direction}(s, run):"):
            self.opening()
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
            self.opening()
            out = self.object(block, "s", "at", "", ())
            self.source.line(f"return {out}")

    def opening(self) -> None:
        """Write what every function looks at again and again."""
        self.source.line("plain, far, crossed = not run.deep, run.far, run.crossed")

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
        self.source.line(f"{o} = {{**{s}}}")
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
        self.copied_backbones(scope, steps, level)
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

    def copied_backbones(self, scope: Scope, steps: list[Step], level: str) -> None:
        """Write the look for modifier extensions inside objects that are taken whole."""
        for step in steps:
            pair = self.pairs.get(step.rule.function.text) if step.rule.function else None
            if step.operation not in ("copy", "cross_version") and (pair is None or pair.modifiers):
                continue
            for end in step.source(self.direction):
                kind = end.element.type
                if ("." in kind or kind == "Resource") and not end.names[1:]:
                    at = scope.spec("." + end.text)
                    with self.source.block(f"if {end.name!r} in {scope.s}:"):
                        value = f"{scope.s}[{end.name!r}]"
                        self.source.line(f"run.modifiers({level}, {value}, {at})")

    def alone(self, s: str, steps: list[Step], taken: dict[Step, list[str]]) -> str:
        """Return the cheaper guard by counting, for objects of which one element is read."""
        active = [step for step in steps if step in taken]
        if len(active) != 1 or len(active[0].source(self.direction)) != 1:
            return ""
        if len(active[0].source(self.direction)[0].names) != 1:
            return ""
        return f"({taken[active[0]][0]} is None or len({s}) != 1) and "

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
                self.source.line(f"{v} = {self.read(scope.s, first)}{where}")
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
            for name in holding:
                with self.source.block(f"if {self.may_refer(scope.o, elements[name])}:"):
                    self.source.line(f"run.rewrite({scope.o}, {(name,)!r}, {scope.spec()})")
            with self.source.block("if far:"):
                self.source.line(f"run.rewrite({scope.o}, {others!r}, {scope.spec()})")
            for step in filter(self.is_any, steps):
                v = self.source.fresh("v")
                read = self.read(scope.s, step.source(self.direction)[0].name)
                self.source.line(f"{v} = {read}")
                self.one(scope, step, v, "None")

    def may_refer(self, o: str, element: Element) -> str:
        """Return the test for an element in which a Reference may stand, extensions left aside."""
        value, there = f"{o}[{element.name!r}]", f"{element.name!r} in {o}"
        names = bare_names(self.plan.version(self.direction), element.type)
        if not names:
            return there
        bare = self.source.constant(names.issuperset)
        every = f"all(map({bare}, {value}))" if element.is_list else f"{bare}({value})"
        return f"{there} and (far or not {every})"


def compiled(plan: Plan, direction: Direction, pairs: dict[str, Pair]) -> tuple[str, Compiled]:
    """Compile one direction of a plan; return its source and the function."""
    return Compiler(plan, direction, pairs).compile()
