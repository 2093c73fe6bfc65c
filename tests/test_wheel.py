"""What is installed is whole: a project begun from the wheel, not the checkout, works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from town import REPOSITORY

pytest.importorskip("hatchling")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it, as an installer would."""
    made, site = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(made)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture
def carelane(installed: Path, tmp_path: Path) -> Run:
    """Return a command that runs what was installed, in an empty folder."""
    environ = {**os.environ, "PYTHONPATH": str(installed)}

    def run(
        *words: str, cwd: str = "", start: tuple[str, ...] = ("-m", "engine")
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *start, *words],
            cwd=tmp_path / cwd,
            env=environ,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return run


def test_a_new_project_notifies_and_reviews_out_of_the_box(
    installed: Path, tmp_path: Path, carelane: Run
) -> None:
    """Templates and rules come along: with the section `coordination` lint finds nothing wrong."""
    where = carelane(start=("-c", "import engine; print(engine.__file__)"))
    assert Path(where.stdout.strip()).is_relative_to(installed)
    assert carelane("init", "ours").returncode == 0
    config = tmp_path / "ours" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(re.sub(r"^# (coordination:|  )", r"\1", text, flags=re.MULTILINE))
    assert "\ncoordination:\n  acting: plan" in config.read_text(encoding="utf-8")
    linted = carelane("lint", cwd="ours")
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert carelane("test", "rules", cwd="ours").returncode == 0
    (tmp_path / "ours" / "mappings" / "notifications" / "plan-changed.yaml").unlink()
    assert "G010" in carelane("lint", cwd="ours").stdout


def test_the_wheel_has_what_documents_and_pages_are_made_of(installed: Path) -> None:
    """The page's template, the samples and the tables of labels are in it."""
    for part in (
        "coordination/templates/summary.html",
        "samples/bundles/01-who-is-who.json",
        "rules/sensitivity.yaml",
        "shipped/rules/therapies.yaml",
        "shipped/mappings/notifications/notice.yaml",
    ):
        assert (installed / "engine" / part).is_file()
