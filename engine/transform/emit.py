"""Generated source under way: lines, indents, fresh names, and constants kept out of the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from engine.diagnostics import Place

_BUILTINS = {"all": all, "len": len, "map": map, "sorted": sorted}
"""All that generated code may call beside its constants."""


class Source:
    """Collect the lines of one generated module."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = 0
        self._names: dict[str, int] = {}
        self._constants: list[Any] = []
        self._known: dict[tuple[type, Any], str] = {}

    def line(self, text: str) -> None:
        """Add one line at the present indent."""
        self._lines.append("    " * self._indent + text)

    def comment(self, place: Place, file: str) -> None:
        """Point back to the mapping, by the line alone where the file is the mapping's own."""
        shown = "" if place.file == file else " of a mapping that it extends"
        self.line(f"# line {place.line}{shown}")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write a compound statement; an empty body becomes `pass`."""
        self.line(head)
        before = len(self._lines)
        self._indent += 1
        try:
            yield
        finally:
            body = [line for line in self._lines[before:] if not line.strip().startswith("#")]
            if not body:
                self.line("pass")
            self._indent -= 1

    def fresh(self, prefix: str) -> str:
        """Return a new variable name."""
        self._names[prefix] = self._names.get(prefix, 0) + 1
        return f"{prefix}{self._names[prefix]}"

    def constant(self, value: Any) -> str:
        """Return the name of a constant that generated code may refer to."""
        try:
            key = (type(value), value)
            if key in self._known:
                return self._known[key]
        except TypeError:
            key = (object, len(self._constants))
        name = f"C{len(self._constants) + 1}"
        self._constants.append(value)
        self._known[key] = name
        return name

    def namespace(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Return the globals of the generated code."""
        named = {f"C{index + 1}": value for index, value in enumerate(self._constants)}
        return {"__builtins__": dict(_BUILTINS), **named, **more}

    def text(self) -> str:
        """Return the whole source."""
        return "\n".join(self._lines) + "\n"
