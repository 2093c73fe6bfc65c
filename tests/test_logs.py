"""Logs tell what happened and where, and nothing of what was in the message."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import structlog

from engine import logs

PROGRAM = """
import structlog
from engine import logs
logs.configure()
secret = "Avery Lindqvist"
try:
    raise ValueError(secret)
except ValueError as error:
    structlog.get_logger("x").error("request.failed", path="/fhir", exc_info=error)
"""


FOREIGN = """
import logging
from engine import logs
logs.configure()
logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
secret = "Avery Lindqvist"
try:
    raise ValueError(secret)
except ValueError as error:
    logging.getLogger("uvicorn.error").error("Exception in ASGI application", exc_info=error)
    logging.getLogger("asyncio").error("Task %r", secret, exc_info=(type(error), error, None))
    logging.getLogger("sqlalchemy.pool").error("Exception during reset", exc_info=True)
"""


def test_libraries_log_no_text_of_exceptions() -> None:
    """What uvicorn and others say is JSON too; of an exception it names type and place only."""
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN], capture_output=True, text=True, check=True, timeout=60
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[0]["event"] == "Invalid HTTP request received."
    assert [line["level"] for line in lines] == ["warning", "error", "error", "error"]
    assert all(line["event"].startswith("ValueError at ") for line in lines[1:])
    assert "Avery" not in done.stderr


def test_an_exception_is_logged_without_its_text_or_values() -> None:
    """The log line names the exception's type and frames, never its message or local values."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    line = json.loads(done.stderr)
    assert line["event"] == "request.failed"
    assert line["exception"] == "ValueError"
    assert line["frames"]
    assert "Avery" not in done.stderr


def test_a_log_line_goes_to_standard_error_as_it_is_now(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error may be led elsewhere after the logs were set up; lines follow it."""
    logs.configure()
    structlog.get_logger("later").error("still.heard")
    assert "still.heard" in capsys.readouterr().err
    structlog.reset_defaults()
