"""`carelane records`: ask, list, see what is overdue, review."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from valley import Valley, valley

from engine.cli import records as records_command
from engine.clock import SystemClock


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valley]:
    """Return a valley whose config.yaml the commands read, at the present time."""
    monkeypatch.chdir(tmp_path)
    for name in ("HUB", "MERCY", "LAKESIDE", "CLINIC"):
        monkeypatch.setenv(f"{name}_SHA256", name.encode().hex().ljust(64, "0"))
    with valley(tmp_path) as built:
        built.clock.advance(SystemClock().time() - built.clock.time())
        built.settle()
        built.permit("hub", "mercy", "lakeside")
        yield built


def run(*words: str) -> Result:
    return CliRunner().invoke(records_command.app, list(words))


def said(*words: str, code: int = 0) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_ask_list_and_review(place: Valley) -> None:
    """A request goes out, is listed, answered, reviewed, and listed as reviewed."""
    told = said("request", "http://mercy.example/numbers|A1", "--to", "mercy", "--text", "Letters")
    assert [(one["system"], one["state"]) for one in told] == [("mercy", "sent")]
    task = told[0]["task"]
    assert [one["stage"] for one in said("list")] == ["requested"]
    assert said("overdue") == []
    assert run("review", task).exit_code == 1
    place.clock.advance(60)
    arrived = place.deliver(100)[0].resource
    place.send("mercy", "PUT", f"/fhir/Task/{task}", {**arrived, "status": "rejected"})
    assert said("review", f"Task/{task}", "--by", "P. Ortega", "--verdict", "irrelevant") == {
        "request": f"Task/{task}",
        "reviewed": "irrelevant",
        "by": "P. Ortega",
    }
    assert said("list", "--stage", "reviewed")[0]["task"] == f"Task/{task}"
    assert said("list", "--stage", "answered") == []
    assert said("list", "--member", "http://mercy.example/numbers|none") == []
    assert "reviewed" in run("list").output


def test_what_is_late_is_listed_with_exit_code_1(place: Valley) -> None:
    """A due date in the past makes a request overdue at once."""
    assert run("request", "http://mercy.example/numbers|A1", "--due", "2020-01-01").exit_code == 0
    assert [one["overdue"] for one in said("overdue", code=1)] == [True, True]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("request", "nobody"), 1),
        (("request", "http://mercy.example/numbers|A1", "--due", "soon"), 2),
        (("request", "http://mercy.example/numbers|A1", "--to", "nowhere"), 1),
        (("review", "nothing"), 1),
    ],
)
def test_misuse_is_said(place: Valley, words: tuple[str, ...], code: int) -> None:
    """What cannot be done is said, with the exit code for it."""
    assert run(*words).exit_code == code
