"""What was sent and what is asked for: JSON only, and within its limit."""

from __future__ import annotations

from starlette.requests import Request

from engine.diagnostics import Diagnostic
from engine.parse import nul_problem
from engine.server.answers import FHIR_JSON, Refusal

_JSON = frozenset({FHIR_JSON, "application/json", "application/json+fhir", "text/json"})


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, which may be as long as `limit` bytes.

    Refuses with 415 what is not JSON or is compressed, with 413 what is too large, and with 400
    what has a NUL character.
    """
    kind = request.headers.get("content-type", FHIR_JSON).split(";")[0].strip().lower()
    if kind not in _JSON:
        problem = Diagnostic(
            "R004", "The content type is not FHIR JSON.", expected=f"Content-Type: {FHIR_JSON}"
        )
        raise Refusal(415, problem)
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        problem = Diagnostic("R004", "The body is compressed.", expected="no Content-Encoding")
        raise Refusal(415, problem)
    declared = request.headers.get("content-length", "")
    if declared != "0" and _offers_upgrade(request):
        raise _not_read()
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    body = b"".join(chunks)
    if found := nul_problem(body):
        raise Refusal(400, found)
    return body


def expect_json(request: Request) -> None:
    """Refuse to answer in a format other than JSON, where `_format` asks for one."""
    for asked in filter(None, request.query_params.getlist("_format")):
        if asked.replace(" ", "+").partition(";")[0].lower() not in ("json", *_JSON):
            problem = Diagnostic("R004", "This format is not offered.", expected=FHIR_JSON)
            raise Refusal(406, problem)


def expect_no_condition(request: Request) -> None:
    """Refuse a write that is to happen only on a condition: it would happen on any."""
    for name in ("If-Match", "If-None-Match"):
        if name in request.headers:
            problem = Diagnostic("R022", f"{name} cannot be checked here.", path=name)
            raise Refusal(412, problem)


def _offers_upgrade(request: Request) -> bool:
    """Tell whether the client would change the protocol (RFC 9110, section 7.8)."""
    options = ",".join(request.headers.getlist("connection")).lower().split(",")
    return "upgrade" in request.headers and "upgrade" in map(str.strip, options)


def _not_read() -> Refusal:
    """Say where the body went: the server's parser takes what follows for another protocol."""
    problem = Diagnostic(
        "P015",
        "The body was not read: the request asks for another protocol (Upgrade).",
        expected="HTTP/1.1 without Upgrade",
        remedy="let the client speak HTTP/1.1 only (in Java: HttpClient.Version.HTTP_1_1).",
    )
    return Refusal(400, problem, headers={"Connection": "close"})


def _too_large(limit: int) -> Refusal:
    problem = Diagnostic(
        "P002",
        "The body is larger than this server accepts.",
        expected=f"at most {limit} bytes",
        remedy="send the Bundle in parts.",
    )
    return Refusal(413, problem, headers={"Connection": "close"})
