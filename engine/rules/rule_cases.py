"""The cases beside a file of rules: read from `.test.yaml`, run, and what each answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.diagnostics import Diagnostic, Place, did_you_mean
from engine.document import Node, read
from engine.fhir.schema import schema
from engine.rules.rule_files import CASES
from engine.rules.rulebook import BROKEN, FAILED, Contradiction, Need, Rule, RuleBook

_KEYS = ("name", "rule", "input", "expect", "note")
_ANSWERS: Mapping[type, tuple[str, str]] = {
    Rule: ("met", "broken"),
    Contradiction: ("together", "contradiction"),
    Need: ("not needed", "needed"),
}
"""What a case of each kind of rule may expect."""


@dataclass(frozen=True, slots=True)
class RuleCase:
    """Hold how one case went; `problem` is None where the rule answered as expected."""

    name: str
    rule: str
    answer: str
    problem: Diagnostic | None = None


def cases_path(path: Path) -> Path:
    """Return where the cases of a file of rules lie."""
    return path.with_name(f"{path.stem}{CASES}")


def run_rule_cases(
    book: RuleBook, path: Path, shown: str
) -> tuple[list[RuleCase], list[Diagnostic]]:
    """Run the cases beside one file; the problems are those of the case file, and what it lacks."""
    beside, name = cases_path(path), shown.removesuffix(".yaml") + CASES
    if not book.everything:
        return [], []
    if not beside.is_file():
        said = "These rules have no cases."
        place = Place(name, 1, 1)
        return [], [Diagnostic("A010", said, place=place, remedy="write a `.test.yaml` beside.")]
    root, problems = read(beside, name=name)
    if root is None:
        return [], problems
    cases = root.get("cases")
    if cases is None or not cases.is_list:
        said = "The file has no `cases:` list."
        return [], [Diagnostic("A010", said, place=root.place, expected="cases: [...]")]
    runner = _Runner({rule.name: rule for rule in book.everything})
    done = [case for node in cases.value if (case := runner.case(node))]
    return done, [*runner.problems, *_unproved(book, done)]


def _unproved(book: RuleBook, done: Sequence[RuleCase]) -> Iterator[Diagnostic]:
    for rule in book.everything:
        given = {case.answer for case in done if case.rule == rule.name}
        for answer in _ANSWERS[type(rule)]:
            if answer not in given:
                said = f"No case shows '{rule.name}' answering '{answer}'."
                yield Diagnostic("A012", said, place=rule.place)


class _Runner:
    """Run the cases of one file."""

    def __init__(self, rules: Mapping[str, Rule | Contradiction | Need]) -> None:
        self.rules = rules
        self.problems: list[Diagnostic] = []

    def case(self, node: Node) -> RuleCase | None:
        before = len(self.problems)
        for key, place, _ in node.items():
            if key not in _KEYS:
                self._unknown("A001", key, _KEYS, place)
        rule = self._rule(node)
        expected = self._expected(node, rule)
        trees = self._input(node, rule)
        if rule is None or len(self.problems) > before:
            return None
        answer = _answer(rule, trees)
        name = node.get("name")
        title = str(name.value) if name else rule.name
        problem = None
        if answer != expected:
            said = f"The case '{title}' of '{rule.name}' answered '{answer}'."
            problem = Diagnostic("A011", said, place=node.place, expected=expected)
        return RuleCase(title, rule.name, answer, problem)

    def _rule(self, node: Node) -> Rule | Contradiction | Need | None:
        given = node.get("rule")
        rule = self.rules.get(str(given.value)) if given else None
        if rule is None:
            place = given.place if given else node.place
            self._unknown("A010", str(given.value) if given else "", self.rules, place)
        return rule

    def _expected(self, node: Node, rule: Rule | Contradiction | Need | None) -> str:
        given = node.get("expect")
        answers = (*_ANSWERS[type(rule)], "failed") if rule else ()
        if rule is not None and (given is None or given.value not in answers):
            place = given.place if given else node.place
            self._unknown("A010", str(given.value) if given else "", answers, place)
        return str(given.value) if given else ""

    def _input(self, node: Node, rule: Rule | Contradiction | Need | None) -> list[dict[str, Any]]:
        given = node.get("input")
        plain = given.plain() if given else None
        trees = plain if isinstance(plain, list) else [plain]
        wanted = 2 if isinstance(rule, Contradiction) else 1
        known = schema("R4").resources
        good = all(isinstance(t, dict) and t.get("resourceType") in known for t in trees)
        if rule is not None and (not good or len(trees) != wanted):
            place = given.place if given else node.place
            expected = "two resources" if wanted == 2 else "one resource with its resourceType"
            said = "The case has no proper input."
            self.problems.append(Diagnostic("A010", said, place=place, expected=expected))
        return [tree for tree in trees if isinstance(tree, dict)] if good else []

    def _unknown(self, code: str, given: str, known: Any, place: Place) -> None:
        said = f"'{given[:60]}' is not known here." if given else "Something is missing here."
        expected, remedy = ", ".join(known), did_you_mean(given, known)
        self.problems.append(Diagnostic(code, said, place=place, expected=expected, remedy=remedy))


def _answer(rule: Rule | Contradiction | Need, trees: Sequence[dict[str, Any]]) -> str:
    no, yes = _ANSWERS[type(rule)]
    if isinstance(rule, Contradiction):
        first, second = (rule.sides(tree) for tree in trees)
        if first is None or second is None:
            return "failed"
        return yes if (first[0] and second[1]) or (first[1] and second[0]) else no
    verdict = rule.ask(trees[0])
    if verdict == FAILED:
        return "failed"
    return yes if verdict == BROKEN else no
