"""Code for steps from one element to one: copy, translate, refer, rename, and each inner object."""

from __future__ import annotations

from collections.abc import Callable

from engine.fhir.reference_places import can_hold
from engine.transform.frame import Frame, Scope
from engine.transform.plan import End, Step


class Values(Frame):
    """Write the change of values."""

    __slots__ = ()

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

    def code(self, scope: Scope, step: Step, v: str) -> None:
        end = step.source(self.direction)[0]
        codes = self.source.constant((end.element.codes or frozenset()) | {None})
        place = self.source.constant(step.rule.place)
        with self.source.block(f"if {v} not in {codes}:"):
            self.source.line(f"run.code({scope.spec('.' + end.text)}, {place})")

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
                self.refer(scope, step, v)
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
            self.refer(scope, step, v)
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
        near = "plain" if holds else "plain or not far"
        return f"({v} if {near} else run.rewritten({v}, {at}))"

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
                made = f"{fast}({x}) or run.concept({constant}, {x}, {spec}, {place})"
                undoes = step.rule.only not in (None, self.direction)
                return f"({x} if run.foreign else {made})" if undoes else f"({made})"
            case "ref":
                return self.reference(step, x, spec)
            case "identifier":
                given = step.rule.systems
                if self.direction == "to_dialect":
                    given = {new: old for old, new in given.items()}
                systems = self.source.constant(dict(given))
                made = f"run.identifier({x}, {systems}, {spec})"
                return f"({made} if plain else run.rewritten({made}, {spec}))"
        return None

    def is_far(self, step: Step, x: str) -> str:
        """Return the test for references that need more than a look at their type."""
        starts = self.starts(step)
        return f"not (plain and {starts(x)})" if starts else "not plain"

    def refer(self, scope: Scope, step: Step, v: str) -> None:
        """Write the crossing of references that stay where they are.

        Where identities are the same on both sides only the types are looked at; where any type
        may be, nothing is, and this is not asked for.
        """
        end = step.target(self.direction)[0]
        many = end.element.is_list
        x = self.source.fresh("x") if many else v
        at = scope.spec(f".{end.text}[]", v, x) if many else scope.spec(f".{end.text}")
        call = self.referring(step, x, at)
        starts = self.starts(step)
        if starts is None:
            self.crossing(scope, step, v, x, call)
            return
        with self.source.block("if plain:"):
            if many:
                with (
                    self.source.block(f"for {x} in {v}:"),
                    self.source.block(f"if not {starts(x)}:"),
                ):
                    self.source.line(call)
            else:
                with self.source.block(f"if not {starts(x)}:"):
                    self.source.line(call)
        with self.source.block("else:"):
            self.crossing(scope, step, v, x, call)

    def crossing(self, scope: Scope, step: Step, v: str, x: str, call: str) -> None:
        """Write what a Reference, or each of a list, becomes on the other side."""
        end = step.target(self.direction)[0]
        known, items = self.source.fresh("k"), self.source.fresh("l")
        self.source.line(f"{known} = crossed[{self.source.constant(self.targets(step))}]")
        if x == v:
            self.write(scope, end, self.crossed_one(x, known, call))
            return
        self.source.line(f"{items} = []")
        with self.source.block(f"for {x} in {v}:"):
            self.source.line(f"{items}.append({self.crossed_one(x, known, call)})")
        self.write(scope, end, items)

    def crossed_one(self, x: str, known: str, call: str) -> str:
        """Write the crossing of one reference, by what is known of its literal if that is all."""
        literal, y = self.source.fresh("t"), self.source.fresh("y")
        self.source.line(f"{literal} = {self.read(x, 'reference')}")
        bare = f"len({x}) == (2 if 'display' in {x} else 1)"
        with self.source.block(f"if {literal} in {known} and {bare}:"):
            self.source.line(f"{y} = {{**{x}}}")
            self.source.line(f"{y}['reference'] = {known}[{literal}]")
        with self.source.block("else:"):
            self.source.line(f"{y} = {call}")
        return y

    def starts(self, step: Step) -> Callable[[str], str] | None:
        """Return what writes the test for a literal of one of the types; None where any may be."""
        starts = tuple(f"{name}/" for name in sorted(self.targets(step)))
        if not starts:
            return None
        constant = self.source.constant(starts)
        return lambda x: f"({x}.get('reference') or '').startswith({constant})"

    def referring(self, step: Step, x: str, spec: str) -> str:
        targets, place = self.targets(step), self.source.constant(step.rule.place)
        return f"run.reference({x}, {self.source.constant(targets)}, {spec}, {place})"

    def reference(self, step: Step, x: str, spec: str) -> str:
        return f"({self.referring(step, x, spec)} if {self.is_far(step, x)} else {x})"

    def item(self, scope: Scope, step: Step, x: str, at: str, pair: tuple[str, ...]) -> str:
        """Write what is needed to change one value; return its source expression."""
        inline = self.inline(scope, step, x, at, pair)
        if inline is not None and self.is_looked_up(step):
            return self.looked_up(step, x, inline)
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

    def is_looked_up(self, step: Step) -> bool:
        """Tell whether the commonest concepts need but one look into the table."""
        return (
            step.operation == "coding"
            and step.rule.keep_source
            and step.rule.only is None
            and step.source(self.direction)[0].element.type != "Coding"
        )

    def looked_up(self, step: Step, x: str, other: str) -> str:
        """Write the translation of a concept with one coding that the table has, else `other`."""
        hits = self.source.constant(self.translator(step).hits())
        coding, hit, y = (self.source.fresh(name) for name in ("c", "h", "y"))
        self.source.line(f"{y}, {coding} = None, {x}.get('coding')")
        with self.source.block(f"if {coding} and len({coding}) == 1 and 'extension' not in {x}:"):
            self.source.line(f"{coding} = {coding}[0]")
            self.source.line(f"{hit} = {hits}.get({coding}.get('code'))")
            with self.source.block(f"if {hit} and {hit}[0] == {coding}.get('system'):"):
                self.source.line(f"{y} = {x}.copy()")
                self.source.line(f"{y}['coding'] = [{hit}[1].copy(), {coding}]")
        with self.source.block(f"if {y} is None:"):
            self.source.line(f"{y} = {other}")
        return y

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
