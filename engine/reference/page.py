"""The page: its prose, with tables from the definitions and the examples in their places."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from engine.diagnostics import CODES
from engine.reference.examples import Example, examples, outcome, shown
from engine.schemas import CASES, HEAD, MERGED, RULES, SIBLINGS
from engine.transform.cases import KEYS
from engine.transform.read import TOP
from engine.transform.read_rules import ALWAYS, MAIN, OPTIONS
from engine.transform.registry import FUNCTIONS
from engine.transform.tables import COLUMNS, RELATIONSHIPS

PROSE = Path(__file__).parent / "mapping.md"
_DIRECTIVE = re.compile(r"^@(\w+)(?: (.+))?$", re.MULTILINE)
_COLUMNS: Mapping[str, str] = {
    "dialect_system": "The system of the dialect's code; for all rows: `dialect:` of the table.",
    "dialect": "The dialect's code.",
    "dialect_display": "Its display, written on the way back.",
    "canonical_system": "The system of the canonical code; for all rows: `canonical:`.",
    "canonical": "The canonical code.",
    "canonical_display": "Its display, written on the way to canonical.",
    "relationship": f"What canonical is, compared with dialect: {', '.join(RELATIONSHIPS)}.",
    "preferred": "The direction in which this row is chosen among several: to_canonical, "
    "to_dialect or both.",
    "only": "The one direction that the row takes part in.",
    "note": "For readers.",
}
"""What each column of a table is for."""


def page() -> str:
    """Return the reference as Markdown."""
    prose = PROSE.read_text(encoding="utf-8")
    beside: dict[str, str] = {}

    def made(match: re.Match[str]) -> str:
        word, rest = match[1], match[2] or ""
        return _examples(rest, beside) if word == "example" else _DIRECTIVES[word](rest)

    return _DIRECTIVE.sub(made, prose)


def _rows(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    names = head.split(", ")
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _head(_: str) -> str:
    return _rows("key, what it is for", ((f"`{key}`", HEAD[key]) for key in TOP))


def _operations(_: str) -> str:
    words = [
        ("`copy`", "The same value, at the same place or where `to:` says; the operation of a "
         "field that names no other.", _options("copy")),
    ]  # fmt: skip
    words += [(f"`{key}`", RULES[key], _options(main)) for key, main in MAIN.items()]
    return _rows("operation, what it does, its own options", words)


def _options(operation: str) -> str:
    return ", ".join(f"`{key}`" for key in sorted(OPTIONS.get(operation, ())))


def _always(_: str) -> str:
    own = sorted(set().union(*OPTIONS.values()))
    rows = [(f"`{key}`", "every operation", RULES[key]) for key in sorted(ALWAYS)]
    for key in own:
        users = ", ".join(f"`{name}`" for name, keys in OPTIONS.items() if key in keys)
        rows.append((f"`{key}`", users, RULES[key]))
    rows.append(("`take`", "cases of a `split`", RULES["take"]))
    return _rows("option, goes with, what it says", rows)


def _columns(_: str) -> str:
    return _rows("column, what it holds", ((f"`{key}`", _COLUMNS[key]) for key in COLUMNS))


def _cases(_: str) -> str:
    return _rows("key, what it says", ((f"`{key}`", CASES[key]) for key in KEYS))


def _siblings(_: str) -> str:
    return _rows("key, what it says", ((f"`{key}`", about) for key, about in SIBLINGS.items()))


def _merged(_: str) -> str:
    return _rows("word, what the whole has", ((f"`{key}`", text) for key, text in MERGED.items()))


def _functions(_: str) -> str:
    rows = ((f"`{name}`", pair.about) for name, pair in FUNCTIONS.items())
    return _rows("function, what it does", rows)


def _codes(letter: str) -> str:
    found = (code for key, code in sorted(CODES.items()) if re.match(f"{letter}[0-9]", key))
    return _rows("code, means", ((code.code, code.title) for code in found))


def _examples(names: str, beside: dict[str, str]) -> str:
    """Return examples; a file that was the same in one before is not shown again."""
    parts = []
    for example in (examples()[name] for name in names.split()):
        files = {path: text for path, text in example.files.items() if beside.get(path) != text}
        beside.update(files)
        parts.append("\n".join(_told(example, files)))
    return "\n\n".join(parts)


def _told(example: Example, files: Mapping[str, str]) -> Iterator[str]:
    yield f"**{example.about}**"
    for path, text in files.items():
        yield f"`mappings/{path}`:"
        yield from _fenced(text, Path(path).suffix.removeprefix("."))
    if example.text:
        yield from _fenced(example.text)
    if example.cases:
        yield from _fenced(example.cases)
    way = "dialect to canonical" if example.only == "to_canonical" else "canonical to dialect"
    kind = "" if example.resource == "CareTeam" else f" ({example.resource})"
    if example.dialect is not None:
        yield f"- dialect{kind}: `{shown(example.dialect)}`"
    if example.canonical is not None and not (example.refused and example.dialect is not None):
        said = "canonical, in part" if example.part else "canonical"
        yield f"- {said}: `{shown(example.canonical)}`"
    if example.only:
        yield f"- {way} only"
    for code in (*example.notes, *([example.refused] if example.refused else ())):
        yield f"- {'refused' if code == example.refused else 'noted'}: {_sentence(example, code)}"


def _fenced(text: str, language: str = "yaml") -> Iterator[str]:
    yield from (f"```{language}", text.rstrip("\n"), "```")


def _sentence(example: Example, code: str) -> str:
    """Return what the check said of the example itself."""
    said = outcome(example.name).refusal(code)
    if said is None:
        return code
    where = f" (`{said.path}`)" if said.path else ""
    remedy = f" To do: {' '.join(said.remedy.split())}" if said.remedy and not said.path else ""
    return f"**{code}**{where} {said.message}{remedy}"


_DIRECTIVES: Mapping[str, Callable[[str], str]] = {
    "head": _head,
    "operations": _operations,
    "options": _always,
    "columns": _columns,
    "cases": _cases,
    "functions": _functions,
    "siblings": _siblings,
    "merged": _merged,
    "codes": _codes,
}
