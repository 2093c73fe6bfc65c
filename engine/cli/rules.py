"""The analysts' rules in `carelane lint` and `carelane test`: their problems and their cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.diagnostics import Diagnostic
from engine.rules.rule_cases import RuleCase, cases_path, run_rule_cases
from engine.rules.rule_files import load_file, load_rules, rule_files


@dataclass(frozen=True, slots=True)
class RulesTested:
    """Hold how the cases of one file went."""

    name: str
    rules: int
    cases: tuple[RuleCase, ...]

    @property
    def failed(self) -> tuple[RuleCase, ...]:
        return tuple(case for case in self.cases if case.problem is not None)

    def to_json(self) -> dict[str, Any]:
        """Render in the shape of a tested mapping."""
        return {
            "rules": self.name,
            "cases": len(self.cases),
            "failed": len(self.failed),
            "failures": [
                {"case": case.name, "at": str(case.problem.place), "diff": [case.problem.text()]}
                for case in self.failed
                if case.problem is not None
            ],
        }

    def lines(self) -> list[str]:
        """Render for a terminal."""
        word = f"{len(self.failed)} FAILED" if self.failed else "ok"
        head = f"{self.name}: {self.rules} rules, {len(self.cases)} cases, {word}"
        return [head, *(f"  {c.problem.text()}" for c in self.failed if c.problem)]


def check_rules(folder: Path) -> list[Diagnostic]:
    """Return every problem of the files of rules and of their cases; `lint` says them."""
    _, problems = load_rules(folder)
    for path in rule_files(folder):
        _, found = _tested(folder, path)
        problems += found
    return problems


def run_rules(folder: Path, only: Path | None = None) -> tuple[list[RulesTested], list[Diagnostic]]:
    """Run the cases beside every file of rules, or beside one."""
    done, problems = [], []
    for path in rule_files(folder):
        if only is None or only.resolve() in (path.resolve(), cases_path(path).resolve()):
            tested, found = _tested(folder, path)
            done.append(tested)
            problems += found
    return done, problems


def _tested(folder: Path, path: Path) -> tuple[RulesTested, list[Diagnostic]]:
    shown = f"{folder.name}/{path.name}"
    book, problems = load_file(path, shown)
    cases, found = run_rule_cases(book, path, shown)
    failed = [case.problem for case in cases if case.problem is not None]
    return RulesTested(shown, len(book.everything), tuple(cases)), [*problems, *found, *failed]
