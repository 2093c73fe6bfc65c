"""The member view over HTTP: `GET /fhir/Patient/{id}/$coordination-summary`."""

from __future__ import annotations

import asyncio
import re

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from engine.coordination.summary import summary_for
from engine.coordination.summary_document import document
from engine.coordination.summary_page import HEADERS, page
from engine.coordination.summary_pdf import pdf
from engine.diagnostics import Diagnostic
from engine.intake import Intake
from engine.server.answers import FHIR_JSON, Refusal, fhir_response
from engine.server.senders import Senders
from engine.store import Store

_ID = re.compile(r"[A-Za-z0-9\-._]{1,64}")
_HTML, _PDF = "text/html", "application/pdf"
_FORMATS = {
    "json": FHIR_JSON, FHIR_JSON: FHIR_JSON, "application/json": FHIR_JSON,
    "html": _HTML, _HTML: _HTML, "pdf": _PDF, _PDF: _PDF,
}  # fmt: skip


class SummaryEndpoints:
    """Answer with the member view as FHIR, as a page, or as a PDF."""

    def __init__(self, intake: Intake, store: Store, senders: Senders) -> None:
        self._intake = intake
        self._store = store
        self._senders = senders

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoint to the application."""
        path = "/fhir/Patient/{id}/$coordination-summary"
        app.add_api_route(path, self.summary, methods=["GET"], response_model=None)

    async def summary(self, request: Request, id: str) -> Response:
        """Return what the asker may be told of a member now; what was decided is recorded."""
        system = self._senders.require(request)
        wanted = _format(request)
        if not _ID.fullmatch(id):
            raise _unknown()
        project = self._intake.project
        told = await asyncio.wrap_future(
            self._store.write(lambda tx: summary_for(tx, project, system, id))
        )
        if told is None:
            raise _unknown()
        if wanted == _HTML:
            return Response(page(told), 200, HEADERS, f"{_HTML}; charset=utf-8")
        if wanted == _PDF:
            content = await asyncio.to_thread(pdf, told)
            return Response(content, 200, HEADERS, _PDF)
        made = document(told, project, str(request.base_url) + "fhir")
        return fhir_response(200, made, {"Cache-Control": "no-store"})


def _format(request: Request) -> str:
    """Return the format that `_format` or the Accept header asks for; FHIR JSON by default."""
    asked = request.query_params.get("_format")
    if asked is not None:
        known = _FORMATS.get(asked.replace(" ", "+").partition(";")[0])
        if known is None:
            said = "This format is not offered."
            expected = "json, text/html or application/pdf"
            raise Refusal(406, Diagnostic("R004", said, expected=expected))
        return known
    accepted = request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip()
    return _FORMATS.get(accepted, FHIR_JSON)


def _unknown() -> Refusal:
    said = "Nothing is known here under this id, or not for this reader."
    return Refusal(404, Diagnostic("R006", said))
