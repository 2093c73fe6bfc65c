"""docs/first-mapping.md is true: its files, written as it says, lint clean and pass their cases."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner, Result

from engine.cli import build

PAGE = (Path(__file__).parent.parent / "docs" / "first-mapping.md").read_text()
BLOCKS = re.findall(r"```\w+\n# (mappings/\S+)\n(.*?)```", PAGE, re.DOTALL)


def _run(*words: str) -> Result:
    return CliRunner().invoke(build(words[0]), list(words))


def _write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_start_gets_the_diagnostics_that_the_page_tells(tmp_path: Path) -> None:
    """The first attempt is answered with every code of the first step, and what to do."""
    _write(tmp_path, *BLOCKS[0])
    told = _run("lint", str(tmp_path))
    assert told.exit_code == 1
    first_step = PAGE.split("## 2.")[0]
    for code in re.findall(r"\*\*(M\d+)\*\*", first_step):
        assert f"{code}:" in told.output, code
    assert "did you mean 'subject'?" in told.output
    assert "write it under `fields:`" in told.output
    assert "\n  name: copy" in told.output
    assert "\n  encounter: {ref: [Encounter]}" in told.output


def test_what_the_page_ends_with_works(tmp_path: Path) -> None:
    """The finished dialect passes its cases, is certified, and lints clean."""
    for name, text in BLOCKS[1:]:
        _write(tmp_path, name, text)
    told = _run("test", str(tmp_path))
    assert told.exit_code == 0, told.output
    assert "3 cases, ok" in told.output
    certified = _run("certify", str(tmp_path / "mappings" / "valley" / "careteam.yaml"))
    assert certified.exit_code == 0, certified.output
    told = _run("lint", str(tmp_path))
    assert told.exit_code == 0, told.output


def test_a_comma_without_quotes_is_explained(tmp_path: Path) -> None:
    """The mistake that everybody makes once is answered with what to do."""
    for name, text in BLOCKS[1:]:
        _write(tmp_path, name, text.replace('"', ""))
    told = _run("lint", str(tmp_path))
    assert "put a text with a comma in quotes" in told.output


def test_a_missing_table_is_explained(tmp_path: Path) -> None:
    """Without the table, one diagnostic says which file and columns; nothing else complains."""
    _write(tmp_path, *BLOCKS[1])
    told = _run("lint", str(tmp_path)).output
    assert "write mappings/tables/valley-role.csv" in told
    assert "M008" not in told
