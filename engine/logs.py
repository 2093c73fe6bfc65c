"""Logs: one line of JSON for each event, with ids, paths and codes, never a payload value."""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog


def configure(level: int = logging.INFO) -> None:
    """Write structured logs to standard error; call it once, at the start of a process.

    What the web server, the event loop and other libraries log is written alike, and loses the
    text of exceptions.
    """
    logging.basicConfig(handlers=[_foreign_lines()])
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *_STAMPED,
            _frames_only,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )


_STAMPED = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _foreign_lines() -> logging.Handler:
    """Return what writes the records of others as lines of ours."""
    handler = logging.StreamHandler(cast("TextIO", _StandardError()))
    written = (
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    )
    handler.addFilter(_without_text)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=written, foreign_pre_chain=_STAMPED)
    )
    return handler


class _StandardError(io.TextIOBase):
    """Write to standard error as it is at that moment, wherever it was led since."""

    def write(self, text: str, /) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def _without_text(record: logging.LogRecord) -> bool:
    """Name the type and the frames of a logged exception; its text may hold a payload."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        said = origin(error)
        record.msg, record.args = f"{said['exception']} at {'; '.join(said['frames'][-5:])}", ()
        record.exc_info = None
    return True


def origin(error: BaseException) -> dict[str, Any]:
    """Return an exception's type and frames, for a log: its text and values may hold a payload."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "exception": type(error).__name__,
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }


def _frames_only(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Show where an exception came from; its text and local values may hold a payload."""
    error = event.pop("exc_info", None)
    return {**event, **origin(error)} if isinstance(error, BaseException) else event
