"""A bare FastAPI application that gives back what it was sent: what the engine is held against."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

app = FastAPI(openapi_url=None)


@app.post("/fhir/{type_name}")
async def echo(request: Request, type_name: str) -> Response:
    """Answer with the body of the request."""
    return Response(await request.body(), 201, media_type="application/fhir+json")


@app.get("/readyz")
async def ready() -> Response:
    """Say that requests may come."""
    return Response(b"{}")
