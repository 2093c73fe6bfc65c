"""`carelane bench` prints its rows, and the reason of each that it could not measure."""

from __future__ import annotations

import ast
import json
import platform
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import build

SHIPPED = Path(__file__).resolve().parent.parent / "benchmarks"

BENCHMARK = """\
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Side:
    name: str

def run():
    row = {"name": "hop", "ratio": 2.5, "target": 1.0, "better": "higher", "against": "by hand"}
    return [row, {"name": "hop.other", "skipped": "it is not installed"}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with one benchmark of two rows."""
    (tmp_path / "hop.py").write_text(BENCHMARK)
    return tmp_path


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.py")), ids=lambda file: file.stem)
def test_every_benchmark_can_be_asked_for_its_rows(file: Path) -> None:
    """`carelane bench` runs whatever lies in the folder, so each file there defines `run`."""
    names = {node.name for node in ast.parse(file.read_text()).body if hasattr(node, "name")}
    assert "run" in names


def test_what_was_not_measured_is_told_with_its_reason(folder: Path) -> None:
    """A row that was skipped is no result: it stands by itself, with why."""
    told = CliRunner().invoke(build("bench"), ["bench", "--json", "--folder", str(folder)])
    report = json.loads(told.output)
    assert [row["name"] for row in report["results"]] == ["hop"]
    assert report["skipped"] == [{"name": "hop.other", "skipped": "it is not installed"}]


def test_the_table_ends_with_what_was_skipped(folder: Path) -> None:
    """Without --json the reason is a line below the table."""
    told = CliRunner().invoke(build("bench"), ["bench", "--folder", str(folder)])
    assert told.exit_code == 0
    assert "hop.other was skipped: it is not installed" in told.output


def test_the_page_tells_what_was_missed(folder: Path) -> None:
    """A page about a run names the machine, each ratio with its target, and what was left out."""
    (folder / "slow.py").write_text(BENCHMARK.replace("2.5", "0.5").replace('"hop"', '"leap"'))
    page = folder / "page.md"
    asked = ["bench", "--folder", str(folder), "--report", str(page)]
    assert CliRunner().invoke(build("bench"), asked).exit_code == 0
    text = page.read_text()
    assert f"Python {platform.python_version()}" in text
    assert "| `hop` | 2.5 | >= 1 | met | by hand |" in text
    assert "| `leap` | 0.5 | >= 1 | **missed** | by hand |" in text
    assert "- `hop.other`: it is not installed" in text
