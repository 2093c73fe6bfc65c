"""From `rules/*.yaml` to a RuleBook: every problem in one run, each with place and nearest name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.diagnostics import Diagnostic, Place, Problems, did_you_mean, has_errors
from engine.document import Node, read
from engine.fhir.schema import schema
from engine.rules.expression import Expression, expression
from engine.rules.rulebook import EMPTY, GROUPS, Contradiction, Need, Rule, RuleBook, Side

CASES = ".test.yaml"
SECTIONS = ("rules", "contradictions", "needs", "note")
_RULE = ("name", "when", "check", "outcome", "message", "severity", "note")
_CONTRADICTION = ("name", "one", "other", "outcome", "message", "severity", "note")
_NEED = ("name", "group", "when", "outcome", "message", "note")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,59}")
_OUTCOMES = ("warn", "task", "hold", "reject")
_TOLD = ("warn", "task", "hold")
_GRAVITIES = ("high", "moderate", "low")
_ORDERED = ("ServiceRequest", "MedicationRequest", "NutritionOrder", "DeviceRequest")
_NEEDING = ("CarePlan", *_ORDERED)
_LONGEST_MESSAGE = 300
_MOST_RULES = 500
_MEMBER = ("subject", "patient", "for", "beneficiary", "individual")


def rule_files(folder: Path) -> list[Path]:
    """Return the files of rules in a folder, in order of name."""
    return [path for path in sorted(folder.glob("*.yaml")) if not path.name.endswith(CASES)]


def load_rules(folder: Path, shown: str | None = None) -> tuple[RuleBook, list[Diagnostic]]:
    """Read every file of rules; a folder that is not there holds none."""
    books, problems = {}, []
    for path in rule_files(folder):
        books[path.stem], found = load_file(path, f"{shown or folder.name}/{path.name}")
        problems += found
    book = joined(list(books.values()))
    return book, [*problems, *_doubles(book)]


def load_file(path: Path, shown: str) -> tuple[RuleBook, list[Diagnostic]]:
    """Read one file of rules."""
    root, problems = read(path, name=shown)
    if root is None:
        return EMPTY, problems
    reader = _Reader(problems=list(problems))
    return reader.book(root), reader.problems


def joined(books: Sequence[RuleBook]) -> RuleBook:
    """Return the rules of several files as one book."""
    return RuleBook(
        tuple(rule for book in books for rule in book.rules),
        tuple(rule for book in books for rule in book.contradictions),
        tuple(rule for book in books for rule in book.needs),
    )


def _doubles(book: RuleBook) -> Iterator[Diagnostic]:
    seen: dict[str, Place] = {}
    for rule in book.everything:
        first = seen.setdefault(rule.name, rule.place)
        if first is not rule.place:
            said = f"There is another rule '{rule.name}'."
            yield Diagnostic("A006", said, place=rule.place, expected=f"a name unlike {first}'s")


@dataclass(slots=True)
class _Reader(Problems):
    """Read one file, and note what is wrong with it."""

    def book(self, root: Node) -> RuleBook:
        if not root.is_map:
            said = "The file is no mapping of rules."
            self.problem("A002", said, root.place, expected=", ".join(SECTIONS[:3]))
            return EMPTY
        self.known(root, SECTIONS)
        return RuleBook(
            tuple(filter(None, map(self.rule, self.listed(root.get("rules"))))),
            tuple(filter(None, map(self.contradiction, self.listed(root.get("contradictions"))))),
            tuple(filter(None, map(self.need, self.listed(root.get("needs"))))),
        )

    def listed(self, node: Node | None) -> list[Node]:
        if node is None:
            return []
        if not node.is_list or len(node.value) > _MOST_RULES:
            self.problem("A002", f"This is no list of up to {_MOST_RULES} rules.", node.place)
            return []
        return list(node.value)

    # --- the three kinds of rule --------------------------------------------------------------

    def rule(self, node: Node) -> Rule | None:
        before = len(self.problems)
        self.known(node, _RULE)
        when = node.get("when")
        types, condition = self.when(node, when, schema("R4").resources)
        check = self.path(node, "check", types)
        outcome = self.choice(node, "outcome", _OUTCOMES)
        name, message = self.name(node), self.message(node)
        gravity = self.choice(node, "severity", _GRAVITIES, "moderate")
        if outcome in ("warn", "task"):
            self.about_a_member(types, node.get("outcome") or node)
        if self.failed(before) or check is None:
            return None
        return Rule(name, node.place, types, condition, check, outcome, message, gravity)  # type: ignore[arg-type]

    def contradiction(self, node: Node) -> Contradiction | None:
        before = len(self.problems)
        self.known(node, _CONTRADICTION)
        one, other = self.side(node, "one"), self.side(node, "other")
        outcome = self.choice(node, "outcome", _TOLD, "")
        name, message = self.name(node), self.message(node)
        gravity = self.choice(node, "severity", _GRAVITIES, "high")
        if self.failed(before) or one is None or other is None:
            return None
        return Contradiction(name, node.place, one, other, message, outcome or None, gravity)  # type: ignore[arg-type]

    def need(self, node: Node) -> Need | None:
        before = len(self.problems)
        self.known(node, _NEED)
        group = self.choice(node, "group", GROUPS)
        types, when = self.when(node, node.get("when"), _NEEDING)
        outcome = self.choice(node, "outcome", _TOLD, "")
        name, message = self.name(node), self.message(node)
        if when is None and not self.failed(before):
            self.problem("A002", "The need does not say when.", node.place, expected="when.path")
        if self.failed(before) or when is None:
            return None
        return Need(name, node.place, group, types, when, message, outcome or None)  # type: ignore[arg-type]

    # --- their parts ---------------------------------------------------------------------------

    def when(
        self, node: Node, when: Node | None, known: Sequence[str] | frozenset[str]
    ) -> tuple[tuple[str, ...], Expression | None]:
        if when is None or not when.is_map:
            place = when.place if when else node.place
            self.problem(
                "A002", "The rule does not say when it applies.", place,
                expected="when: {type: CarePlan, path: status = 'active'}",
            )  # fmt: skip
            return (), None
        self.known(when, ("type", "path"))
        types = self.types(when, known)
        return types, self.path(when, "path", types) if when.get("path") else None

    def side(self, node: Node, key: str) -> Side | None:
        given = node.get(key)
        if given is None or not given.is_map:
            place = given.place if given else node.place
            said = f"The rule does not say what '{key}' is."
            self.problem("A002", said, place, expected=f"{key}: {{type: ..., path: ...}}")
            return None
        self.known(given, ("type", "path"))
        types = self.types(given, _ORDERED)
        path = self.path(given, "path", types)
        return Side(types, path) if types and path else None

    def types(self, node: Node, known: Sequence[str] | frozenset[str]) -> tuple[str, ...]:
        given = node.get("type")
        nodes = given.value if given is not None and given.is_list else [given]
        found = []
        for each in nodes:
            if each is None or not isinstance(each.value, str):
                place = each.place if each else node.place
                self.problem("A002", "A resource type is missing here.", place, expected="type:")
            elif each.value not in known:
                self.unknown("A007", each, known, "type here")
            else:
                found.append(each.value)
        return tuple(dict.fromkeys(found))

    def path(self, node: Node, key: str, types: tuple[str, ...]) -> Expression | None:
        given = node.get(key)
        if given is None:
            said = f"'{key}' is missing."
            self.problem("A002", said, node.place, expected=f"{key}: a FHIRPath expression")
            return None
        read, found = expression(given.value, given.place, types)
        self.problems += found
        return read

    def choice(
        self, node: Node, key: str, options: tuple[str, ...], default: str | None = None
    ) -> str:
        given = node.get(key)
        if given is None:
            if default is None:
                said = f"'{key}' is missing."
                self.problem("A002", said, node.place, expected=", ".join(options))
            return default or ""
        if given.value not in options:
            self.unknown("A007", given, options, f"'{key}'")
        return str(given.value)

    def name(self, node: Node) -> str:
        given = node.get("name")
        if given is None or not isinstance(given.value, str) or not _NAME.fullmatch(given.value):
            place = given.place if given else node.place
            expected = "name: lower-case letters, digits and '-', up to 60"
            self.problem("A006", "The rule has no proper name.", place, expected=expected)
            return ""
        return given.value

    def message(self, node: Node) -> str:
        given = node.get("message")
        text = given.value if given is not None else None
        if not isinstance(text, str) or not 0 < len(text.strip()) <= _LONGEST_MESSAGE:
            place = given.place if given else node.place
            expected = f"message: one sentence of up to {_LONGEST_MESSAGE} characters"
            self.problem("A002", "The rule says nothing to the reader.", place, expected=expected)
            return ""
        return " ".join(text.split())

    def about_a_member(self, types: tuple[str, ...], node: Node) -> None:
        for name in types:
            elements = schema("R4").type(name).elements
            if name != "Patient" and not any(key in elements for key in _MEMBER):
                said = f"{name} is about no member, so nobody can be told."
                self.problem("A008", said, node.place, expected="outcome: hold or reject")

    def known(self, node: Node, names: Sequence[str]) -> None:
        if not node.is_map:
            self.problem("A002", "This is no mapping.", node.place, expected=", ".join(names))
        for key, place, _ in node.items():
            if key not in names:
                self.problem(
                    "A001", f"There is no '{key}' here.", place,
                    expected=", ".join(names), remedy=did_you_mean(key, names),
                )  # fmt: skip

    def unknown(self, code: str, node: Node, known: Any, what: str) -> None:
        shown = str(node.value)[:60]
        expected = ", ".join(known) if len(known) < 12 else None
        self.problem(
            code, f"'{shown}' is no {what}.", node.place,
            expected=expected, remedy=did_you_mean(shown, known),
        )  # fmt: skip

    def failed(self, before: int) -> bool:
        return has_errors(self.problems[before:])
