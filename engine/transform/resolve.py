"""Find what a mapping names: elements of both sides, tables, functions; and say what is near."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.diagnostics import Place, Problems, did_you_mean
from engine.fhir.schema import Element, schema
from engine.transform.expressions import check_expression, unknown_functions, unknown_names
from engine.transform.functions import Pair
from engine.transform.mapping import Direction, Expression, MappingFile, Name, Path, Rule
from engine.transform.plan import Block, End, Version
from engine.transform.selectors import Condition
from engine.transform.tables import Table
from engine.transform.types import asked, names_of, resolve


@dataclass(slots=True)
class Resolver(Problems):
    """Look up names for one mapping; `tables` and `functions` are what it may name."""

    mapping: MappingFile
    tables: Mapping[str, Table]
    functions: Mapping[str, Pair]
    used: dict[str, Table] = field(default_factory=dict)

    @property
    def left(self) -> Version:
        return self.mapping.dialect.fhir

    @property
    def right(self) -> Version:
        return self.mapping.canonical.fhir

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

    def condition(
        self, condition: Condition, place: Place, version: Version, type_name: str, code: str
    ) -> None:
        """Note each path of a condition that a type does not have, and codes that never come."""
        for names in condition.names:
            found = asked(version, type_name, names)
            if isinstance(found, Element):
                continue
            here, name, known = found
            self.problem(
                code,
                f"{here} ({version}) has no element '{name}', which the condition asks.",
                place,
                remedy=_chosen(name, known) or did_you_mean(name, known),
            )
        for names, text in condition.compared:
            found = asked(version, type_name, names)
            if isinstance(found, Element) and found.codes and text not in found.codes:
                self.problem(
                    "M038",
                    f"'{found.name}' is never '{text}', which the condition asks.",
                    place,
                    ", ".join(sorted(found.codes)),
                    did_you_mean(text, found.codes),
                )

    def table(self, name: Name) -> Table | None:
        table = self.tables.get(name.text)
        if table is None:
            self.problem(
                "M014",
                f"There is no table '{name.text}'.",
                name.place,
                "a file of mappings/tables/",
                did_you_mean(name.text, self.tables)
                or f"write mappings/tables/{name.text}.csv with the columns "
                "dialect_system,dialect,canonical_system,canonical.",
            )
            return None
        self.used[table.name] = table
        return table

    def arguments(self, name: Name, pair: Pair, given: Mapping[str, str]) -> None:
        """Note arguments that a function lacks, and those that it does not know."""
        known = (*pair.needs, *pair.takes)
        expected = ", ".join(known) or "no arguments"
        for argument in pair.needs:
            if argument not in given:
                said = f"The function '{name.text}' needs the argument '{argument}'."
                remedy = f"write `arguments: {{{argument}: ...}}`."
                self.problem("M029", said, name.place, expected, remedy)
        for argument in given:
            if argument not in known:
                said = f"The function '{name.text}' takes no argument '{argument}'."
                near = did_you_mean(argument, known)
                self.problem("M029", said, name.place, expected, near)

    def expression(
        self, expression: Expression, version: Version, type_name: str, direction: Direction
    ) -> None:
        """Note what an expression cannot be read for, or would look for without ever finding it."""
        place = expression.place
        refused = check_expression(expression.text)
        if refused:
            self.problem("M027", refused, place, "FHIRPath")
            return
        for name, known in unknown_functions(expression.text):
            said = f"There is no function '{name}' in FHIRPath."
            self.problem("M027", said, place, remedy=did_you_mean(name, known))
        code = "M006" if direction == "to_canonical" else "M007"
        for name, known in unknown_names(expression.text, version, (type_name,)):
            said = f"Nothing in {type_name} ({version}) has the name '{name}'."
            self.problem(code, said, place, remedy=did_you_mean(name, known))

    def names(self, rule: Rule, block: Block) -> None:
        """Note a function or expression that does not exist."""
        if rule.function is not None and rule.function.text not in self.functions:
            self.problem(
                "M026",
                f"There is no function '{rule.function.text}'.",
                rule.function.place,
                ", ".join(sorted(self.functions)),
                did_you_mean(rule.function.text, self.functions),
            )
        elif rule.function is not None:
            self.arguments(rule.function, self.functions[rule.function.text], rule.arguments)
        for direction, expression in rule.expressions.items():
            version = self.left if direction == "to_canonical" else self.right
            self.expression(expression, version, block.type(direction), direction)


def variants_of(version: Version, type_name: str, choice: str) -> list[str]:
    elements = schema(version).type(type_name).elements
    return [name for name, element in elements.items() if element.choice == choice]


def _chosen(name: str, known: Iterable[str]) -> str | None:
    """Return what to write in place of the name of a choice element."""
    variants = sorted(one for one in known if re.match(f"{re.escape(name)}[A-Z]", one))
    return f"write `{variants[0]}`, or `{name}.ofType(TYPE)`." if variants else None
