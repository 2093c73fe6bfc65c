"""How the server answers: FHIR JSON always, an OperationOutcome for every failure."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from engine.diagnostics import Diagnostic, operation_outcome
from engine.fhir.json import dumps
from engine.message import Resource

FHIR_JSON = "application/fhir+json"


def fhir_response(
    status: int, resource: Resource, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with a FHIR resource."""
    return Response(dumps(resource), status, headers, FHIR_JSON)


class Refusal(Exception):  # noqa: N818 - an answer, not an error of ours
    """End the handling of a request with an OperationOutcome."""

    def __init__(
        self,
        status: int,
        *problems: Diagnostic,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status)
        self.status = status
        self.problems = problems
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer."""
        return fhir_response(self.status, operation_outcome(self.problems), self.headers)
