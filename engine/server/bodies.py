"""What was sent and what is asked for: JSON only, and within its limit."""

from __future__ import annotations

import re

from starlette.requests import Request

from engine.diagnostics import Diagnostic
from engine.server.answers import FHIR_JSON, Refusal

_JSON = frozenset({FHIR_JSON, "application/json", "application/json+fhir", "text/json"})


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, which may be as long as `limit` bytes.

    Refuses with 415 what is not JSON or is compressed, with 413 what is too large, and with 400
    what has a NUL character: the databases differ in what they make of it.
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
    if "upgrade" in request.headers and declared != "0":
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
    if b"\\u0000" in body and _NUL.search(body):
        raise Refusal(400, Diagnostic("P014", "A NUL character stands in a text of the body."))
    return body


def expect_json(request: Request) -> None:
    """Refuse to answer in a format other than JSON, where `_format` asks for one."""
    for asked in request.query_params.getlist("_format"):
        if asked.replace(" ", "+").partition(";")[0].lower() not in ("json", *_JSON):
            problem = Diagnostic("R004", "This format is not offered.", expected=FHIR_JSON)
            raise Refusal(406, problem)


def _not_read() -> Refusal:
    """Say where the body went: the server's parser takes what follows for another protocol."""
    problem = Diagnostic(
        "P001",
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
