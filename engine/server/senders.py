"""Who sends: each system by its bearer token, of which only the SHA-256 is known here."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from starlette.requests import Request

from engine.config import System
from engine.diagnostics import Diagnostic
from engine.server.answers import Refusal

_NOBODY = "0" * 64


class Senders:
    """Know the systems by their tokens."""

    def __init__(self, systems: Mapping[str, System]) -> None:
        self._digests = {
            name: (system.token_sha256 or "").lower() for name, system in systems.items()
        }

    def name(self, token: str) -> str | None:
        """Return the system whose token this is; takes the same time for every token."""
        digest = hashlib.sha256(token.encode()).hexdigest()
        found = None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known or _NOBODY):
                found = name
        return found

    def require(self, request: Request) -> str:
        """Return the sending system, or refuse with 401."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        system = self.name(token.strip()) if scheme.lower() == "bearer" else None
        if system is None:
            problem = Diagnostic(
                "R001",
                "No known system sends with this authorization.",
                expected="Authorization: Bearer <the system's token>",
            )
            raise Refusal(401, problem, headers={"WWW-Authenticate": 'Bearer realm="carelane"'})
        return system
