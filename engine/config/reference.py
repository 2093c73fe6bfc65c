"""The settings reference (docs/config.md), written from the same definitions that read the file.

Run `python -m engine.config.reference > docs/config.md` after changing a setting.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from engine.config.kinds import Listed, Named, Secret, Section
from engine.config.model import Config
from engine.config.settings import Kind, Setting, settings_of

_HEAD = """\
# Settings
Everything that `config.yaml` may say. Unknown settings, misspelt names and wrong values are
refused when the file is loaded, all in one run; `carelane lint` shows them as
`file:line:column: CODE: message`.

- `${NAME}` is replaced by an environment variable, `${NAME:-default}` has a default; it must be
  the whole value. Secrets must be given as `${NAME}`, without a default.
- Paths are relative to the folder of the file.
- Where a list has one value, the value may stand alone.

This page is written from the definitions that read the file: `python -m engine.config.reference`.
"""


def reference() -> str:
    """Return the reference as Markdown, one table for each section."""
    return "\n".join([_HEAD, *_section("config.yaml", "", Config)])


def _section(title: str, prefix: str, of: type[Any]) -> Iterator[str]:
    yield f"## {title}\n{(of.__doc__ or '').strip()}\n"
    yield "| setting | value | default | what it does |\n|---|---|---|---|"
    settings = list(settings_of(of))
    for setting in settings:
        yield _row(setting)
    yield ""
    for setting in settings:
        inner, suffix = _inside(setting.kind)
        if inner is not None:
            name = f"{prefix}{setting.key}{suffix}"
            yield from _section(f"`{name}`", f"{name}.", inner)


def _inside(kind: Kind[Any]) -> tuple[type[Any] | None, str]:
    """Return the dataclass of a section inside `kind`, and how its path continues."""
    match kind:
        case Section(of=of):
            return of, ""
        case Listed(item=Section(of=of)):
            return of, "[]"
        case Named(item=Section(of=of)):
            return of, ".NAME"
    return None, ""


def _row(setting: Setting) -> str:
    cells = (f"`{setting.key}`", _value(setting.kind), _default(setting), setting.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value(kind: Kind[Any]) -> str:
    inner, _ = _inside(kind)
    if inner is None or isinstance(kind, Secret):
        return kind.label
    return {"Section": "section", "Listed": "list of sections"}.get(
        type(kind).__name__, "sections by name"
    )


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    shown = _shown(setting.default())
    return f"`{shown}`" if shown else ""


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case Path():
            return value.as_posix()
        case tuple():
            return ", ".join(_shown(each) for each in value)
        case Mapping():
            return "; ".join(f"{key}: {_shown(each)}" for key, each in value.items())
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    if is_dataclass(value):
        return "" if fields(value) else repr(value)
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(reference())
