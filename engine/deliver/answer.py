"""Read what a destination answered: delivered, to be tried again, or refused, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from engine.deliver.retry import retry_after

Failure = Literal["unreachable", "timeout", "broken"]
"""Why there is no answer: no connection, no answer in time, or a connection cut short."""

Result = Literal["accepted", "again", "refused"]


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold what came back from one request: an HTTP answer, or why there is none.

    `headers` have lower-case names; `body` is empty where it was over the transport's limit, or
    where the connection broke in the midst of it (`cut`).
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    failure: Failure | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Say what a reply means for a delivery.

    `code` is a diagnostic code (none where all is well), `few` marks an answer that seldom changes,
    `down` one that speaks of the whole destination, `wait` is the Retry-After in seconds, `own` the
    destination's own reference (`CareTeam/17`), `issues` the codes of its OperationOutcome.
    """

    result: Result
    code: str | None = None
    status: int | None = None
    few: bool = False
    down: bool = False
    wait: float | None = None
    own: str | None = None
    issues: tuple[Mapping[str, Any], ...] = ()

    def record(self) -> dict[str, Any]:
        """Render for the ledger: codes, paths and references, never a value of the payload."""
        out: dict[str, Any] = {"result": self.result}
        for name in ("code", "status", "own", "wait"):
            if (value := getattr(self, name)) is not None:
                out[name] = value
        if self.issues:
            out["issues"] = [dict(issue) for issue in self.issues]
        return out


FAILURES: Mapping[Failure, str] = {"unreachable": "D001", "timeout": "D002", "broken": "D003"}

OVERLOADED = frozenset({408, 425, 429})
GATEWAY = frozenset({429, 502, 503, 504})
NEVER = frozenset({501, 505})


def read(reply: Reply, type: str, now: float) -> Answer:
    """Return what a reply to a request about a resource of `type` means.

    `now` is in seconds since 1970, for a Retry-After that is a date. docs/deliver.md has the table.
    """
    if reply.status is None:
        return Answer("again", FAILURES[reply.failure or "broken"], down=True)
    body = parsed(reply.body)
    issues = _issues(body)
    if 200 <= reply.status < 300:
        return _success(reply, reply.status, type, body, issues)
    return _failure(reply, reply.status, now, issues)


def _success(reply: Reply, status: int, type: str, body: Any, issues: Issues) -> Answer:
    if body is None and "location" not in reply.headers:
        return Answer("accepted", status=status)
    inner, own = _entry_status(body), _own(reply, type, body)
    if (_failed(issues) and not own) or (inner is not None and not inner.startswith("2")):
        return Answer("refused", "D007", status, issues=issues)
    return Answer("accepted", status=status, own=own, issues=issues)


def _failure(reply: Reply, status: int, now: float, issues: Issues) -> Answer:
    wait = retry_after(reply.headers.get("retry-after"), now)
    if status in OVERLOADED or (500 <= status < 600 and status not in NEVER):
        down = status in GATEWAY
        return Answer("again", "D004", status, down=down, wait=wait, issues=issues)
    if status == 401 or 300 <= status < 400:
        return Answer("again", "D005", status, down=True, wait=wait, issues=issues)
    if status in (403, 409) or (status in (404, 405) and not issues):
        return Answer("again", "D006", status, few=True, wait=wait, issues=issues)
    return Answer("refused", "D007", status, issues=issues)


def parsed(body: bytes) -> Any:
    """Return the tree of an answer, None where it is no JSON."""
    try:
        return msgspec.json.decode(body) if body else None
    except (ValueError, RecursionError):
        return None


Issues = tuple[Mapping[str, Any], ...]

ISSUES_KEPT = 20
_CODE = re.compile(r"[A-Za-z][A-Za-z_-]{0,40}[0-9]{0,4}")
_PATH = re.compile(r"[A-Za-z][A-Za-z_]*(\[[0-9]{1,5}\])?(\.[A-Za-z_]+(\[[0-9]{1,5}\])?)*")


def _issues(body: Any) -> Issues:
    """Return the issues of an OperationOutcome, reduced to codes and element paths."""
    if not isinstance(body, dict) or body.get("resourceType") != "OperationOutcome":
        return ()
    listed = body.get("issue")
    found = listed if isinstance(listed, list) else []
    return tuple(_issue(issue) for issue in found[:ISSUES_KEPT] if isinstance(issue, dict))


def _issue(issue: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in ("severity", "code"):
        if _fits(_CODE, issue.get(name)):
            out[name] = issue[name]
    if details := _details(issue.get("details")):
        out["details"] = details
    expression = issue.get("expression")
    if isinstance(expression, list) and (
        paths := [path for path in expression[:5] if _fits(_PATH, path)]
    ):
        out["expression"] = paths
    return out


def _details(details: Any) -> list[str]:
    codings = details.get("coding") if isinstance(details, dict) else None
    listed = codings[:5] if isinstance(codings, list) else []
    codes = (coding.get("code") for coding in listed if isinstance(coding, dict))
    return [str(code) for code in codes if _fits(_CODE, code)]


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 200 and pattern.fullmatch(value) is not None


def _failed(issues: Issues) -> bool:
    return any(issue.get("severity") in ("error", "fatal") for issue in issues)


def _entry(body: Any) -> dict[str, Any]:
    """Return the response of the only entry of a Bundle, or an empty one."""
    entries = body.get("entry") if isinstance(body, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    response = first.get("response") if isinstance(first, dict) else None
    return response if isinstance(response, dict) else {}


def _entry_status(body: Any) -> str | None:
    status = _entry(body).get("status")
    return str(status) if status is not None else None


_OWN = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9_.-]{1,64})(?:/_history/[^/?#]*)?/?$")


def own_reference(location: str, type: str) -> str | None:
    """Return `Type/id` from a Location: absolute or relative, with `_history` or without.

    None where it names no resource of `type` (http://hl7.org/fhir/R4/http.html#create).
    """
    found = _OWN.search(re.sub(r"[?#].*", "", location))
    return f"{found[1]}/{found[2]}" if found and found[1] == type else None


def _own(reply: Reply, type: str, body: Any) -> str | None:
    said = (reply.headers.get("location"), _entry(body).get("location"), _identity(body))
    named = (own_reference(place, type) for place in said if isinstance(place, str))
    return next((reference for reference in named if reference), None)


def _identity(body: Any) -> str | None:
    return f"{body.get('resourceType')}/{body.get('id')}" if isinstance(body, dict) else None
