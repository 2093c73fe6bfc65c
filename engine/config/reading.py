"""One reading of config.yaml: the folder, the environment, and every problem met on the way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.diagnostics import Place, Problems, Severity, did_you_mean
from engine.document import Node, parse

Plain = str | int | bool

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Scalar:
    """Hold a single value after `${NAME}` was replaced; `shown` is safe to print."""

    value: Plain
    shown: str


@dataclass(slots=True)
class Reading(Problems):
    """Collect what one reading finds.

    `root` is the folder of the file, `environ` the environment that `${NAME}` is looked up in,
    `absent_secrets` the severity of a secret whose variable is not set: an error where the engine
    is about to run, None (nothing is said) where the project is only looked at.
    """

    root: Path
    environ: Mapping[str, str]
    absent_secrets: Severity | None = None

    def wrong_kind(self, node: Node, label: str) -> None:
        """Note that a value is not of the kind that belongs there."""
        self.problem(
            "C103", f"This is {_described(node)}, not {label}.", node.place, expected=label
        )

    def unknown(self, code: str, name: str, what: str, known: Iterable[str], place: Place) -> None:
        """Note a name that nobody knows, with the nearest one and all that exist."""
        names = sorted(known)
        self.problem(
            code,
            f"'{name}' is no {what}.",
            place,
            expected=_listed(names) if names else f"no {what} exists yet",
            remedy=did_you_mean(name, names),
        )

    def scalar(self, node: Node, label: str) -> Scalar | None:
        """Return a single value with `${NAME}` replaced, or None after saying what is wrong."""
        value = node.value
        if isinstance(value, dict | list) or value is None:
            self.wrong_kind(node, label)
            return None
        if not (isinstance(value, str) and "${" in value):
            return Scalar(value, f"'{value}'")
        match = _VARIABLE.fullmatch(value)
        if match is None:
            self._half_variable(node)
            return None
        return self._from_environment(node, match["name"], match["default"])

    def secret(self, node: Node, label: str, remedy: str) -> str | None:
        """Return a secret from the environment; one written in the file is refused."""
        match = _VARIABLE.fullmatch(node.value) if isinstance(node.value, str) else None
        if match is None or match["default"] is not None:
            self.written_secret(node.place)
            return None
        value = self.environ.get(match["name"])
        if value or self.absent_secrets is None:
            return value or None
        self.problem(
            "C108",
            f"The environment variable {match['name']} is not set.",
            node.place,
            expected=label,
            remedy=f"set {match['name']} before the engine starts: {remedy}",
            severity=self.absent_secrets,
        )
        return None

    def written_secret(self, place: Place) -> None:
        """Note a secret that stands in the file itself."""
        self.problem(
            "C109",
            "A secret must not be written in the file.",
            place,
            expected="the name of an environment variable, as ${NAME}, without a default",
            remedy="write ${NAME} here, set NAME in the environment, and replace the secret "
            "wherever it was in use: it has been in a file.",
        )

    def _half_variable(self, node: Node) -> None:
        self.problem(
            "C107",
            "A '${...}' must be the whole value.",
            node.place,
            expected="${NAME} or ${NAME:-default}, and nothing around it",
            remedy="put the whole value into the variable.",
        )

    def _from_environment(self, node: Node, name: str, default: str | None) -> Scalar | None:
        text = self.environ.get(name) or default
        if text is None:
            self.problem(
                "C108",
                f"The environment variable {name} is not set.",
                node.place,
                remedy=f"set {name}, or give a default as ${{{name}:-default}}.",
            )
            return None
        return Scalar(_as_yaml(text), f"the value of {name}")


def _as_yaml(text: str) -> Plain:
    """Read a number or a truth value in a variable as the file itself would."""
    if re.fullmatch(r"true|false|-?(0|[1-9][0-9]{0,17})", text):
        node, _ = parse(text, "environment")
        if node is not None and isinstance(node.value, int):
            return node.value
    return text


def _described(node: Node) -> str:
    match node.value:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case None:
            return "empty"
        case bool():
            return "a truth value"
        case int():
            return "a number"
    return "text"


def _listed(names: list[str], most: int = 12) -> str:
    shown = names[:most] + (["..."] if len(names) > most else [])
    return "one of " + ", ".join(shown) if len(names) > 1 else names[0]
