"""A project of a test's own: a copy of this repository's, with few dialects, that may be edited."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from town import REPOSITORY, environment
from typer.testing import CliRunner, Result

from engine.cli import build
from engine.project import Project, load
from engine.replacing import started

TEAM = "us-core/careteam"
START = "2026-01-01T00:00:00.000000Z"
LEFT_OUT = ("r5", "synthea", "text-first", "fast-consent", "us-core-8")


def own_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the project into a folder and let the environment hold its secrets."""
    shutil.copy(REPOSITORY / "config.yaml", folder)
    for name in ("mappings", "profiles", "rules"):
        shutil.copytree(REPOSITORY / name, folder / name)
    for extra in LEFT_OUT:
        shutil.rmtree(folder / "mappings" / extra)
    for name, value in environment(f"sqlite:///{folder / 'carelane.db'}").items():
        monkeypatch.setenv(name, value)
    return folder


def starting(folder: Path) -> Project:
    """Return the project as an engine that starts now runs it."""
    return started(load(folder / "config.yaml"), START)


def run(folder: Path, *words: str) -> Result:
    """Run one command of the project."""
    return CliRunner().invoke(build(words[0]), [*words, "--config", str(folder / "config.yaml")])


def edit(folder: Path, old: str, new: str, name: str = f"{TEAM}.yaml") -> None:
    """Change the first place in a file of the mappings folder that says `old`."""
    path = folder / "mappings" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
