"""The short way to the endpoints that take submissions in, past the layers that only others need.

FastAPI takes each request through five layers of its own and solves dependencies that these
endpoints do not have, which costs more than reading the request. They are found by their path here
and answered by the same functions; everything else goes the common way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from engine.diagnostics import Diagnostic
from engine.fhir.schema import schema
from engine.server.answers import Refusal

Endpoint = Callable[..., Awaitable[Response]]
Handlers = Mapping[type[Exception], Callable[[Request, Any], Response]]
"""How each kind of failure is answered; the first that fits counts, so the widest stands last."""

_SAMPLES = {"create": ("POST", "/fhir/{}"), "update": ("PUT", "/fhir/{}/x")}


@dataclass(frozen=True, slots=True)
class Taken:
    """Hold one request that goes the short way: its endpoint, and what its path says."""

    endpoint: Endpoint
    values: Mapping[str, str] = field(default_factory=dict)


class Express:
    """Know what goes the short way.

    `bundle` answers at the base, `create` at a type, `update` at a type and an id. A type for which
    the application has an endpoint of its own is left to that.
    """

    def __init__(
        self,
        common: FastAPI,
        handlers: Handlers,
        *,
        bundle: Endpoint,
        create: Endpoint,
        update: Endpoint,
    ) -> None:
        self._bundle, self._create, self._update = bundle, create, update
        self._handlers = handlers
        types = schema("R4").resources
        self._created = {t for t in types if _called(common, "create", t) == create}
        self._updated = {t for t in types if _called(common, "update", t) == update}

    def take(self, scope: Scope) -> Taken | None:
        """Return what answers a request, or None where it goes the common way."""
        if scope["type"] != "http":
            return None
        method, parts = scope["method"], scope["path"].split("/")
        if parts[:2] != ["", "fhir"]:
            return None
        match method, parts[2:]:
            case "POST", [] | [""]:
                return Taken(self._bundle)
            case "POST", [type_name] if type_name in self._created:
                return Taken(self._create, {"type_name": type_name})
            case "PUT", [type_name, id] if id and type_name in self._updated:
                return Taken(self._update, {"type_name": type_name, "id": id})
        return None

    async def answer(self, taken: Taken, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        request = Request(scope, receive)
        try:
            response = await taken.endpoint(request, **taken.values)
        except Exception as error:
            response = self._failed(request, error)
        await response(scope, receive, send)

    def _failed(self, request: Request, error: Exception) -> Response:
        for kind, handler in self._handlers.items():
            if isinstance(error, kind):
                return handler(request, error)
        raise error


def _holds_nul(scope: Scope) -> bool:
    """Tell whether a URL asks about what no record can hold."""
    if scope["type"] != "http":
        return False
    return "\0" in scope["path"] or b"%00" in scope.get("query_string", b"")


def _called(common: FastAPI, what: str, type_name: str) -> Endpoint | None:
    """Return what the application would call for a type."""
    method, path = _SAMPLES[what]
    scope = {"type": "http", "method": method, "path": path.format(type_name), "headers": []}
    for route in common.routes:
        if route.matches(scope)[0] is Match.FULL:
            return getattr(route, "endpoint", None)
    return None


class Application(FastAPI):
    """Be the application, with a short way beside the common one."""

    express: Express | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        express = self.express
        if _holds_nul(scope):
            problem = Diagnostic("P014", "A NUL character stands in the URL.")
            await Refusal(400, problem).response()(scope, receive, send)
            return
        if express is not None and (taken := express.take(scope)) is not None:
            await express.answer(taken, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
