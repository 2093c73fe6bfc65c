"""Code for steps that change structure: carry, drop, functions, expressions and splits."""

from __future__ import annotations

from engine.transform.frame import Scope
from engine.transform.plan import Step
from engine.transform.values import Values


class Moves(Values):
    """Write steps that have no element, or several, on the other side."""

    __slots__ = ()

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

    def function(self, scope: Scope, step: Step) -> None:
        task = self.source.constant(self.task(step))
        self.source.line(f"run.function({task}, {scope.s}, {scope.o}, {scope.r}, {scope.spec()})")

    def expression(self, scope: Scope, step: Step) -> None:
        if self.direction in step.rule.expressions and step.target(self.direction):
            task = self.source.constant(self.task(step))
            self.source.line(f"run.expression({task}, {scope.s}, {scope.o}, {scope.spec()})")

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
