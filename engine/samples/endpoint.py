"""The FHIR endpoint of a sample system: it validates what it gets and answers as real ones do.

Nothing of the engine is imported, so it judges what arrives on its own: `fhir.resources` decides
whether a resource is valid.
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.samples.system import Arrival, Resource, SampleSystem

FHIR_JSON = "application/fhir+json"
_KEPT = ("idempotency-key", "x-request-id", "x-correlation-id", "content-type")

Handler = Callable[[Request], Awaitable[Response]]
Write = Callable[[Request, str, Resource], Response]


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """End a request with an OperationOutcome of one issue."""

    def __init__(self, status: int, code: str, said: str, headers: Mapping[str, str] | None = None):
        super().__init__(said)
        issue = {"severity": "error", "code": code, "diagnostics": said}
        body = {"resourceType": "OperationOutcome", "issue": [issue]}
        self.response = JSONResponse(body, status, dict(headers or {}), FHIR_JSON)


def endpoint(system: SampleSystem) -> Starlette:
    """Return the web application of a sample system; its FHIR base is `/fhir`."""
    serves = _Endpoint(system)
    routes = [
        Route("/fhir/metadata", serves.metadata),
        Route("/fhir", serves.guarded(serves.bundle), methods=["POST"]),
        Route("/fhir/", serves.guarded(serves.bundle), methods=["POST"]),
        Route("/fhir/{type}", serves.guarded(serves.create), methods=["POST"]),
        Route("/fhir/{type}", serves.guarded(serves.search)),
        Route("/fhir/{type}/{id}", serves.guarded(serves.update), methods=["PUT"]),
        Route("/fhir/{type}/{id}", serves.guarded(serves.read)),
    ]
    return Starlette(routes=routes)


class _Endpoint:
    def __init__(self, system: SampleSystem) -> None:
        self.system = system

    def guarded(self, handler: Handler) -> Handler:
        """Let only the known client in, and turn a refusal into its answer."""

        async def guard(request: Request) -> Response:
            try:
                self._admit(request)
                return await handler(request)
            except Refused as refused:
                return refused.response

        return guard

    def _admit(self, request: Request) -> None:
        sent = request.headers.get("authorization", "")
        if not hmac.compare_digest(sent.encode(), f"Bearer {self.system.token}".encode()):
            said = "This endpoint needs a bearer token that it knows."
            raise Refused(401, "login", said, {"WWW-Authenticate": "Bearer"})

    async def metadata(self, request: Request) -> Response:
        """Answer the CapabilityStatement; the only thing that needs no token."""
        statement = {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": "2025-09-01",
            "kind": "instance",
            "implementation": {"description": self.system.title},
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "rest": [{"mode": "server"}],
        }
        return _fhir(statement)

    async def read(self, request: Request) -> Response:
        resource = self.system.get(request.path_params["type"], request.path_params["id"])
        if resource is None:
            raise Refused(404, "not-found", "There is no such resource.")
        return _fhir(resource, headers={"ETag": _tag(resource)})

    async def search(self, request: Request) -> Response:
        type_name, token = request.path_params["type"], request.query_params.get("identifier")
        system = self.system
        found = system.identified(type_name, token) if token else system.holding(type_name)
        bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
        if found:
            bundle["entry"] = [{"resource": one, "search": {"mode": "match"}} for one in found]
        return _fhir(bundle)

    async def update(self, request: Request) -> Response:
        target = f"{request.path_params['type']}/{request.path_params['id']}"
        return await self._recorded(request, target, self._put)

    async def create(self, request: Request) -> Response:
        return await self._recorded(request, request.path_params["type"], self._post)

    async def bundle(self, request: Request) -> Response:
        return await self._recorded(request, "Bundle", self._transact)

    async def _recorded(self, request: Request, target: str, write: Write) -> Response:
        """Answer a write, and keep what came whatever the answer is."""
        resource = None
        try:
            resource = _json(await request.body(), request.headers.get("content-type", ""))
            self._maybe_fail(target.partition("/")[0])
            answer = write(request, target, resource)
        except Refused as refused:
            answer = refused.response
        kept = {name: request.headers[name] for name in _KEPT if name in request.headers}
        now = datetime.now(UTC)
        status = answer.status_code
        self.system.record(Arrival(now, request.method, target, status, resource, kept))
        return answer

    def _maybe_fail(self, type_name: str) -> None:
        outage = self.system.failing(type_name)
        if outage is None:
            return
        wait = {} if outage.retry_after is None else {"Retry-After": str(outage.retry_after)}
        raise Refused(outage.status, "transient", f"{self.system.title} is not available.", wait)

    def _put(self, request: Request, target: str, resource: Resource) -> Response:
        type_name, _, id = target.partition("/")
        if resource.get("id") != id:
            raise Refused(400, "value", "The id of the resource is not the id of the URL.")
        _validate(resource, type_name)
        stored, first = self.system.store(type_name, id, resource)
        return _written(request, stored, 201 if first else 200)

    def _post(self, request: Request, target: str, resource: Resource) -> Response:
        _validate(resource, target)
        condition = dict(parse_qsl(request.headers.get("if-none-exist", "")))
        if token := condition.get("identifier"):
            found = self.system.identified(target, token)
            if len(found) > 1:
                raise Refused(412, "multiple-matches", "More than one resource matches.")
            if found:
                return _written(request, found[0], 200)
        stored, _ = self.system.store(target, uuid.uuid4().hex, resource)
        return _written(request, stored, 201)

    def _transact(self, request: Request, target: str, bundle: Resource) -> Response:
        _validate(bundle, "Bundle")
        if bundle.get("type") != "transaction":
            raise Refused(422, "not-supported", "Only a transaction Bundle is taken here.")
        writes = [_entry(entry) for entry in bundle.get("entry", ())]
        answers = []
        for type_name, id, resource in writes:
            stored, first = self.system.store(type_name, id or uuid.uuid4().hex, resource)
            response = {"status": "201" if first else "200", "location": _location(stored)}
            answers.append({"response": response})
        return _fhir({"resourceType": "Bundle", "type": "transaction-response", "entry": answers})


def _json(body: bytes, content_type: str) -> Resource:
    if content_type.partition(";")[0].strip() not in (FHIR_JSON, "application/json"):
        raise Refused(415, "not-supported", f"Only {FHIR_JSON} is read here.")
    try:
        resource = json.loads(body)
    except ValueError:
        raise Refused(400, "structure", "The body is not JSON.") from None
    if not isinstance(resource, dict):
        raise Refused(400, "structure", "The body is no FHIR resource.")
    return resource


def _validate(resource: Any, type_name: str) -> None:
    """Refuse what is no valid resource of the type that the URL says."""
    if not isinstance(resource, dict) or resource.get("resourceType") != type_name:
        raise Refused(400, "invalid", f"The body is no {type_name}.")
    try:
        model = get_fhir_model_class(type_name)
    except ValueError:
        raise Refused(404, "not-supported", "There is no such resource type.") from None
    try:
        model.model_validate(resource)
    except ValidationError as error:
        paths = [".".join(map(str, problem["loc"])) for problem in error.errors()]
        said = f"The {type_name} is not valid at {', '.join(paths[:5])}."
        raise Refused(422, "invalid", said) from None


def _entry(entry: Resource) -> tuple[str, str | None, Resource]:
    """Return type, id and resource of one entry of a transaction."""
    asked, resource = entry.get("request", {}), entry.get("resource")
    type_name, _, id = str(asked.get("url", "")).partition("/")
    if asked.get("method") not in ("PUT", "POST") or not isinstance(resource, dict):
        raise Refused(422, "not-supported", "Only PUT and POST entries are taken here.")
    _validate(resource, type_name)
    return type_name, id or None, resource


def _location(resource: Resource) -> str:
    version = resource["meta"]["versionId"]
    return f"{resource['resourceType']}/{resource['id']}/_history/{version}"


def _tag(resource: Resource) -> str:
    return f'W/"{resource["meta"]["versionId"]}"'


def _written(request: Request, resource: Resource, status: int) -> Response:
    """Answer a write; the body comes only where the client wants it."""
    place = f"{request.base_url}fhir/{_location(resource)}"
    headers = {"ETag": _tag(resource), "Location": place}
    if "return=minimal" in request.headers.get("prefer", ""):
        return Response(None, status, headers)
    return _fhir(resource, status, headers)


def _fhir(
    resource: Resource, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return JSONResponse(resource, status, dict(headers or {}), FHIR_JSON)
