"""The demo as a newcomer runs it, and the commands that begin a project."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from engine.samples.bundles import names
from engine.samples.day import DAY, Expected
from engine.samples.guide import SEEN
from engine.samples.play import Happening
from engine.samples.shipped import shipped
from engine.samples.tokens import new_token


def carelane(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", **environ},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_the_demo_plays_the_day_and_fits_a_narrow_terminal(tmp_path: Path) -> None:
    """`carelane demo` ends by itself, every outcome as expected, and 80 columns are enough."""
    done = carelane("demo", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    shown, told = done.stdout.split("The fax is in fax", maxsplit=1)
    column = " ".join(line[14:36].strip() for line in shown.splitlines())
    for told_by in ("one by FHIR", "One fax (PDF)", "One phone Task", "One meeting invitation"):
        assert told_by in column
    rows = sum(len(step.expected) + len(SEEN.get(step.sample, ())) for step in DAY)
    assert f"{rows} of {rows} outcomes are as expected" in shown
    for code in ("consent-missing", "consent-recipient", "consent-withdrawn", "consent-revoked"):
        assert code in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert "…" not in shown
    ledger = re.search(r"sqlite:///(\S+)", told)
    assert ledger is not None
    assert Path(ledger[1]).is_file()
    folder = Path(ledger[1]).parent
    assert [one.read_bytes()[:5] for one in folder.glob("fax/*.pdf")] == [b"%PDF-"]
    (mail,) = folder.glob("mail/*.eml")
    assert b"text/calendar" in mail.read_bytes()
    assert (folder / "summary.pdf").read_bytes()[:5] == b"%PDF-"
    assert "Different frequency" in (folder / "summary.html").read_text(encoding="utf-8")
    traced = re.search(r"(ledger trace \S+)", told)
    assert traced is not None
    trace = carelane(
        *traced[1].split(), "--config", str(shipped() / "config.yaml"),
        cwd=tmp_path, CARELANE_STORE=f"sqlite:///{ledger[1]}",
    )  # fmt: skip
    assert "consent-withdrawn" in trace.stdout


def happening(outcome: str, why: str, arrived: str) -> Happening:
    wanted = Expected(("Communication",), "after the revocation", "rejected", "consent-revoked")
    return Happening(1, "m", "mercy", wanted, outcome, why, arrived)


def test_an_unexpected_outcome_is_seen() -> None:
    """The demo fails where a reason differs, and where something arrived that must not."""
    assert happening("rejected", "consent-revoked", "nowhere").as_expected
    assert not happening("rejected", "consent-missing", "nowhere").as_expected
    assert not happening("rejected", "consent-revoked", "plan").as_expected
    assert not happening("delivered", "", "plan").as_expected


def test_the_day_uses_every_sample_once() -> None:
    """No sample lies about unused, and the day plays them in the order of their names."""
    assert tuple(step.sample for step in DAY) == names()


def test_what_is_seen_belongs_to_a_step_of_the_day() -> None:
    """No check of the second act waits for a step that is never played."""
    assert set(SEEN) <= {step.sample for step in DAY}


def test_init_makes_a_project_that_is_clean(tmp_path: Path) -> None:
    """A new project has config, mappings, profiles and a test, and lint and test find nothing."""
    made = carelane("init", "ours", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    project = tmp_path / "ours"
    for part in ("config.yaml", "mappings/my-ehr/careteam.test.yaml", "profiles", ".gitignore"):
        assert (project / part).exists()
    for command in (["lint"], ["test", "mappings/my-ehr"]):
        done = carelane(*command, cwd=project)
        assert done.returncode == 0, done.stdout + done.stderr


def test_init_never_writes_over_anything(tmp_path: Path) -> None:
    """A folder with something in it is left alone, with exit code 2."""
    (tmp_path / "mine").write_text("kept")
    done = carelane("init", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing was written" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_token_comes_with_its_hash(tmp_path: Path) -> None:
    """`carelane token` prints a token once, with the SHA-256 that config needs."""
    done = carelane("token", "--json", cwd=tmp_path)
    made = json.loads(done.stdout)
    assert sha256(made["token"].encode()).hexdigest() == made["sha256"]
    assert made["sha256"] not in carelane("token", cwd=tmp_path).stdout


def test_tokens_are_never_the_same() -> None:
    """Each token is new, and is not printed by accident."""
    made = new_token()
    assert made.text != new_token().text
    assert made.text not in repr(made)
