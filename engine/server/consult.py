"""Questions about consent: POST /fhir/Consent/$decide and CDS Hooks patient-consent-consult."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from engine.deciding import Question, Reply, asked
from engine.diagnostics import Diagnostic
from engine.fhir.json import JSONError, dumps, loads
from engine.intake import Intake
from engine.message import Resource
from engine.rules import consent_consult
from engine.server.answers import Refusal
from engine.server.bodies import read_body
from engine.server.senders import Senders
from engine.store import Store

HOOK = f"/cds-services/{consent_consult.HOOK}"


class ConsultEndpoints:
    """Answer whether something may be disclosed; every answer is on record before it is given."""

    def __init__(self, intake: Intake, store: Store, senders: Senders) -> None:
        self._intake = intake
        self._store = store
        self._senders = senders

    def add_to(self, app: FastAPI) -> None:
        """Add the endpoints to the application."""
        for path, method, endpoint in (
            ("/fhir/Consent/$decide", "POST", self.decide),
            ("/cds-services", "GET", self.services),
            (HOOK, "POST", self.consult),
        ):
            app.add_api_route(path, endpoint, methods=[method], response_model=None)

    async def decide(self, request: Request) -> Response:
        """Answer a consent question from the registry, or from Consents sent along."""
        system = self._senders.require(request)
        question = asked(await self._json(request))
        if not isinstance(question, Question):
            raise Refusal(422, *question)
        return JSONResponse((await self._answer(question, system)).to_json())

    async def services(self, request: Request) -> Response:
        """Say which hooks this service answers (CDS Hooks 2.0, discovery)."""
        self._senders.require(request)
        return JSONResponse(consent_consult.discovery())

    async def consult(self, request: Request) -> Response:
        """Answer one call of the hook with a card."""
        system = self._senders.require(request)
        call = consent_consult.read_call(await self._json(request))
        if not isinstance(call, consent_consult.Call):
            raise Refusal(422, *call)
        reply = await self._answer(Question(call.request, call.consents), system)
        told = consent_consult.answer(
            reply.decision,
            call,
            label="Carelane",
            url=f"{request.url.scheme}://{request.url.netloc}/fhir",
            supporting=reply.supporting,
            table=self._intake.project.labels,
        )
        return Response(dumps(_without_reasons(told, reply)), media_type="application/json")

    async def _answer(self, question: Question, system: str) -> Reply:
        project = self._intake.project
        if problem := question.barred(project, system):
            raise Refusal(403, problem)
        future = self._store.write(lambda tx: question.answer(tx, project, system))
        return await asyncio.wrap_future(future)

    async def _json(self, request: Request) -> Resource:
        limits = self._intake.project.config.limits
        try:
            tree = loads(await read_body(request, limits.bytes), limits.depth)
        except JSONError:
            tree = None
        if not isinstance(tree, dict):
            raise Refusal(400, Diagnostic("P008", "The body is not a JSON object."))
        return tree


def _without_reasons(told: dict[str, Any], reply: Reply) -> dict[str, Any]:
    """Leave out which Consent an answer rests on where the asker may not know."""
    if not reply.reasons:
        for card in told["cards"]:
            card["extension"].pop("basedOn", None)
    return told
