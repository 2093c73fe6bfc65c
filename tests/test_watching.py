"""`--watch` runs a command again after each change of a file, and ends with Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from engine.cli import build
from engine.cli.watching import watch, watched


def test_a_change_runs_it_again_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    """It runs once, again after a change, an addition and a removal, and no more often."""
    file, more = tmp_path / "a.yaml", tmp_path / "mappings" / "b.csv"
    file.write_text("a: 1")
    runs: list[int] = []
    naps = iter(range(20))

    def run() -> None:
        runs.append(len(runs))
        raise typer.Exit(1)

    def sleep(seconds: float) -> None:
        nap = next(naps)
        assert 0 < seconds <= 1
        if nap == 1:
            file.write_text("a: 12")
        if nap == 3:
            more.parent.mkdir()
            more.write_text("x")
        if nap == 5:
            more.unlink()
        if nap == 7:
            (tmp_path / "notes.txt").write_text("nobody watches this")
        if nap == 9:
            raise KeyboardInterrupt

    watch(tmp_path, run, sleep)
    assert runs == [0, 1, 2, 3]


def test_the_record_is_not_watched(tmp_path: Path) -> None:
    """What the engine writes under var/ starts no run; a single file may be watched."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "history.json").write_text("[]")
    (tmp_path / "one.yaml").write_text("a: 1")
    assert list(watched(tmp_path)) == [tmp_path / "one.yaml"]
    assert list(watched(tmp_path / "one.yaml")) == [tmp_path / "one.yaml"]


@pytest.mark.parametrize("command", ["lint", "test"])
def test_lint_and_test_can_watch(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both commands take --watch and end cleanly when interrupted."""

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.cli.watching.watch.__defaults__", (interrupted,))
    (tmp_path / "mappings").mkdir()
    told = CliRunner().invoke(build(command), [command, str(tmp_path), "--watch"])
    assert told.exit_code == 0, told.output
    assert "Ctrl-C ends" in told.output
