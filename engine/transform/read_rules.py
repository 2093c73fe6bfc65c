"""Read the fields of a mapping: one rule for each, with its operation and options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from engine.diagnostics import Place, did_you_mean
from engine.document import Node
from engine.transform.mapping import (
    DIRECTIONS,
    OPERATIONS,
    Direction,
    Expression,
    Fate,
    Miss,
    Name,
    Path,
    Rule,
)
from engine.transform.pieces import Pieces
from engine.transform.selectors import Condition, SelectorError, parse_condition

MAIN = {
    "fields": "fields",
    "table": "table",
    "coding": "coding",
    "ref": "ref",
    "identifier": "identifier",
    "carry": "carry",
    "drop": "drop",
    "cross_version": "cross_version",
    "split": "split",
    "function": "function",
    "to_canonical": "expression",
    "to_dialect": "expression",
}
ALWAYS = frozenset({"to", "when", "otherwise", "first", "rest"})
OPTIONS: dict[str, frozenset[str]] = {
    "coding": frozenset({"on_miss", "keep_source", "only"}),
    "table": frozenset({"on_miss", "keep_source", "only"}),
    "function": frozenset({"with", "arguments"}),
}
CASES = frozenset({"copy", "fields", "table", "coding", "ref", "identifier"})
"""What a case of a split may do with an item."""
ASKED = {"otherwise": ("when",), "rest": ("first", "split")}
"""Options by those that ask for them."""
RULE_KEYS = frozenset(MAIN) | ALWAYS | {"on_miss", "keep_source", "only", "with", "arguments"}
MISSES = ("reject", "keep-source", "text-only")


class Rules(Pieces):
    """Read rules."""

    def rules(self, node: Node | None) -> Iterator[Rule]:
        """Yield the rules of a `fields:` mapping."""
        if node is None or not self.is_map(node, "path: what happens to it"):
            return
        for text, place, value in node.items():
            path = self.path(text, place)
            if path is not None:
                rule = self.rule(path, value)
                if rule is not None:
                    yield rule

    def rule(self, path: Path, node: Node, case: bool = False) -> Rule | None:
        if isinstance(node.value, str):
            return self.short(path, node)
        if not self.is_map(node, "copy, carry, or a mapping such as {to: name}"):
            return None
        allowed = RULE_KEYS | ({"take"} if case else frozenset())
        if path.text and not allowed & set(node.value):
            self.without_operation(path, node, allowed)
        else:
            self.known(node, allowed, "a field", "M015")
        mains = [key for key in node.value if key in MAIN]
        operations = {MAIN[key] for key in mains}
        if len(operations) > 1:
            self.problem(
                "M029",
                f"The field '{path.text}' has {len(operations)} operations: {', '.join(mains)}.",
                node.keys[mains[1]],
                "one main operation",
            )
            return None
        operation = operations.pop() if operations else "copy"
        self.options(path, node, operation)
        if case:
            self.unlike_case(node)
        else:
            self.idle(path, node)
        return self.filled(path, node, operation)

    def idle(self, path: Path, node: Node) -> None:
        """Note options that nothing asks: the author meant something by them."""
        for key, askers in ASKED.items():
            if node.get(key) is not None and not any(node.get(word) for word in askers):
                words = " or ".join(f"`{word}:`" for word in askers)
                self.problem(
                    "M029",
                    f"'{path.text}' has `{key}:` without {words}, so nothing asks for it.",
                    node.keys[key],
                    f"{words} beside it",
                    f"leave `{key}:` away, or say when.",
                )
        for key in ("to", "ref", "with"):
            given = node.get(key)
            if given is not None and given.value == []:
                self.problem("M003", f"`{key}:` names nothing.", given.place, "at least one name")

    def unlike_case(self, node: Node) -> None:
        """Note what a case of a split cannot do: it takes an item to one place."""
        for key, place, _ in node.items():
            if key in ("otherwise", "first", "rest") or MAIN.get(key, "copy") not in CASES:
                self.problem(
                    "M029",
                    f"A case of `split:` has no `{key}:`.",
                    place,
                    "when, take, to, and one operation: copy, fields, table, coding, ref or "
                    "identifier",
                    "what no case takes is left to `rest:`, beside `split:`.",
                )

    def without_operation(self, path: Path, node: Node, allowed: frozenset[str]) -> None:
        """Say of a field none of whose keys is known that inner elements have a place."""
        for key, place, _ in node.items():
            near = did_you_mean(key, allowed)
            inner = f"if '{key}' is an inner element, write it under `fields:`."
            self.problem(
                "M015",
                f"There is no operation '{key}' (field '{path.text}').",
                place,
                ", ".join(sorted(allowed)),
                f"{near} Or {inner}" if near else f"I{inner[1:]}",
            )

    def short(self, path: Path, node: Node) -> Rule | None:
        if node.value in ("copy", "carry"):
            return Rule(path, node.value, path.place)
        if node.value == "drop":
            self.problem(
                "M017",
                f"'{path.text}' is dropped without a reason.",
                node.place,
                "{drop: why}",
                f"write `{path.text}: {{drop: why nobody needs it}}`.",
            )
            return None
        self.problem(
            "M015",
            f"There is no operation '{node.value}'.",
            node.place,
            "copy, carry, or a mapping with one operation",
            did_you_mean(str(node.value), OPERATIONS),
        )
        return None

    def options(self, path: Path, node: Node, operation: str) -> None:
        allowed = ALWAYS | OPTIONS.get(operation, frozenset())
        allowed |= {key for key, main in MAIN.items() if main == operation} | {"take"}
        for key, place, _ in node.items():
            if key in RULE_KEYS and key not in allowed:
                self.problem(
                    "M029",
                    f"The option '{key}' does not go with {operation} (field '{path.text}').",
                    place,
                    ", ".join(sorted(allowed)),
                )

    def filled(self, path: Path, node: Node, operation: str) -> Rule:
        when, when_place = self.condition(node)
        inner = node.get("fields")
        same = inner is not None and inner.value == "same"
        function, systems = self.text(node, "function"), node.get("identifier")
        return Rule(
            path=path,
            operation=operation,
            place=path.place,
            to=self.paths(node, "to"),
            fields=() if same else tuple(self.rules(node.get("fields"))),
            same=same,
            only=self.only(node),
            table=self.text(node, operation) if operation in ("table", "coding") else None,
            on_miss=self.on_miss(path, node, operation),
            keep_source=self.flag(node, "keep_source", True),
            targets=tuple(self.names(node, "ref")),
            systems=self.texts(systems) if systems else {},
            reason=self.reason(path, node, operation),
            url=self.text(node, "cross_version"),
            cases=tuple(self.cases(path, node)),
            take=self.text(node, "take"),
            function=function,
            with_=self.paths(node, "with"),
            arguments=self.texts(node.get("arguments")),
            expressions=self.expressions(node),
            first=self.flag(node, "first", False),
            rest=self.rest(path, node, operation),
            when=when,
            when_place=when_place,
            otherwise=self.otherwise(path, node, when),
        )

    def reason(self, path: Path, node: Node, operation: str) -> str:
        if operation not in ("drop", "carry"):
            return ""
        given = self.plain_text(node, operation)
        if operation == "drop" and len(given.strip()) < 3:
            place = (node.get("drop") or node).place
            self.problem("M017", f"'{path.text}' is dropped without a reason.", place, "drop: why")
        return given

    def rest(self, path: Path, node: Node, operation: str) -> Fate | None:
        rest = node.get("rest")
        if rest is not None:
            return self.fate(rest, ("carry", "reject"))
        if operation == "split" or self.flag(node, "first", False):
            word = "split" if operation == "split" else "first"
            self.problem(
                "M019",
                f"'{path.text}' has `{word}:` without `rest:`.",
                node.keys.get(word, node.place),
                "rest: carry | reject | {drop: why}",
                "say what becomes of the other items, for example `rest: carry`.",
            )
        return None

    def otherwise(self, path: Path, node: Node, when: Condition | None) -> Fate | None:
        given = node.get("otherwise")
        if given is not None:
            return self.fate(given, ("carry", "reject"))
        if node.get("when") is not None and "take" not in node.value and path.names != ("",):
            self.problem(
                "M019",
                f"'{path.text}' has `when:` without `otherwise:`.",
                node.keys["when"],
                "otherwise: carry | reject | {drop: why}",
                "say what becomes of it where the condition does not hold.",
            )
        return None

    def cases(self, path: Path, node: Node) -> Iterator[Rule]:
        given = node.get("split")
        if given is None:
            return
        if not given.is_list or not given.value:
            self.problem(
                "M003", "`split:` is a list of cases.", given.place, "- {when: .., to: ..}"
            )
            return
        for case in given.value:
            if not self.is_map(case, "{when: CONDITION, to: path}"):
                continue
            rule = self.rule(Path(("",), True, case.place), case, case=True)
            if rule is not None:
                yield rule

    def expressions(self, node: Node) -> dict[Direction, Expression]:
        found = {key: self.text(node, key) for key in DIRECTIONS}
        return {key: Expression(name.text, name.place) for key, name in found.items() if name}

    def condition(self, node: Node) -> tuple[Condition | None, Place | None]:
        name = self.text(node, "when")
        if name is None:
            return None, None
        try:
            return parse_condition(name.text), name.place
        except SelectorError as error:
            self.problem(
                "M020",
                f"The condition is not read: {error}.",
                Place(name.place.file, name.place.line, name.place.column + 1 + error.offset),
                "dotted names, where(k = 'v'), exists(), ofType(), first(), =, !=, and, or, not()",
            )
            return None, None

    def only(self, node: Node) -> Direction | None:
        name = self.text(node, "only")
        if name is not None and name.text not in DIRECTIONS:
            self.word(name, DIRECTIONS)
            return None
        return cast(Any, name.text) if name else None

    def on_miss(self, path: Path, node: Node, operation: str) -> dict[Direction, Miss]:
        if operation not in ("table", "coding"):
            return {}
        given = node.get("on_miss")
        if given is None:
            self.problem(
                "M018",
                f"'{path.text}' uses a table without `on_miss:`.",
                node.place,
                "on_miss: reject | keep-source | text-only | default: ...",
            )
            return {}
        if given.is_map and set(given.value) & set(DIRECTIONS):
            self.known(given, DIRECTIONS, "`on_miss:`")
            parts = {d: given.get(d) for d in DIRECTIONS}
            only = self.plain_text(node, "only")
            for direction, part in parts.items():
                if part is None and only in ("", direction):
                    self.problem("M018", f"`on_miss:` does not say {direction}.", given.place)
            made = {d: self.miss(part, operation) for d, part in parts.items() if part}
        else:
            miss = self.miss(given, operation)
            made = dict.fromkeys(DIRECTIONS, miss)
        return {d: miss for d, miss in made.items() if miss}

    def miss(self, node: Node, operation: str) -> Miss | None:
        words = MISSES if operation == "coding" else ("reject", "keep-source")
        if isinstance(node.value, str):
            if node.value not in words:
                self.word(Name(node.value, node.place), (*words, "default"), "M018")
                return None
            return Miss(cast(Any, node.value), node.place)
        default = node.get("default")
        if default is None or len(node.value) != 1:
            self.problem("M018", "`on_miss:` is not understood.", node.place, " | ".join(words))
            return None
        if operation == "table":
            return Miss("default", default.place, self.scalar("default", default))
        if not self.is_map(default, "default: {system: .., code: ..}"):
            return None
        self.known(default, ("system", "code", "display"), "`default:`")
        if default.get("code") is None:
            self.problem("M018", "The default coding has no code.", default.place, "code: ..")
        return Miss("default", node.place, self.texts(default))
