"""Read what a mapping says of siblings: several resources of the dialect that are one canonical."""

from __future__ import annotations

from collections.abc import Iterator

from engine.diagnostics import Place
from engine.document import Node
from engine.transform.mapping import MERGING, Clause, Fixed, Merging, Name, Path, SiblingRule
from engine.transform.read_rules import Rules
from engine.transform.selectors import SelectorError, parse_condition

KEYS = ("one", "by", "same", "others", "left", "ended", "closing")
ENDED_KEYS = ("when", "until")


class SiblingRules(Rules):
    """Read `siblings:`."""

    def siblings(self, root: Node) -> SiblingRule | None:
        """Return the declaration, or None where there is none or it cannot be understood."""
        node = root.get("siblings")
        if node is None or not self.is_map(node, "siblings: {one: participant, same: subject, ..}"):
            return None
        self.known(node, KEYS, "`siblings:`")
        one, others = self.need(node, "one"), self.need(node, "others")
        needed = [self.need(node, key) for key in ("by", "same")]
        path = next(iter(self.paths(node, "one")), None) if one else None
        if path is None or others is None or None in needed:
            return None
        ended, until = self.ended(node)
        return SiblingRule(
            place=root.keys["siblings"],
            one=path,
            by=self.paths(node, "by"),
            same=self.paths(node, "same"),
            others_place=node.keys["others"],
            others=tuple(self.others(others)),
            left=self.clause(node, "left"),
            ended=ended,
            until=until,
            closing=tuple(self.closing(node)),
        )

    def ended(self, node: Node) -> tuple[Clause | None, Path | None]:
        given = node.get("ended")
        if given is None or not self.is_map(given, "ended: {when: CONDITION, until: period.end}"):
            return None, None
        self.known(given, ENDED_KEYS, "`ended:`")
        until = next(iter(self.paths(given, "until")), None) if self.need(given, "until") else None
        self.need(given, "when")
        return self.clause(given, "when"), until

    def clause(self, node: Node, key: str) -> Clause | None:
        name = self.text(node, key)
        if name is None:
            return None
        try:
            return Clause(parse_condition(name.text), name.place)
        except SelectorError as error:
            at = Place(name.place.file, name.place.line, name.place.column + 1 + error.offset)
            self.problem(
                "M020",
                f"The condition is not read: {error}.",
                at,
                "dotted names, where(k = 'v'), exists(), ofType(), first(), =, !=, and, or, not()",
            )
            return None

    def closing(self, node: Node) -> Iterator[Fixed]:
        given = self.need(node, "closing")
        if given is not None and self.is_map(given, "closing: {status: inactive}"):
            for text, place, value in given.items():
                path = self.path(text, place)
                if path is not None:
                    yield Fixed(path, value)

    def others(self, node: Node) -> Iterator[Merging]:
        if not self.is_map(node, "others: {name: common, ..}"):
            return
        for text, place, value in node.items():
            path = self.path(text, place)
            found = self.merging(path, value) if path else None
            if found is not None:
                yield found

    def merging(self, path: Path, node: Node) -> Merging | None:
        if isinstance(node.value, str):
            if node.value not in MERGING:
                self.word(Name(node.value, node.place), (*MERGING, "first"))
                return None
            return Merging(path, node.value, path.place)
        if not self.is_map(node, "a word, or {first: [codes]}"):
            return None
        self.known(node, ("first",), f"'{path.text}'")
        if node.get("first") is None:
            return None
        return Merging(path, "first", path.place, tuple(self.names(node, "first")))
