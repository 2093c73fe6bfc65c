"""Bearer tokens: made at random, and kept by the engine as their SHA-256 only."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Token:
    """Hold a new token and what config needs to know of it."""

    text: str = field(repr=False)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def new_token() -> Token:
    """Return a token of 256 random bits."""
    return Token(secrets.token_urlsafe(32))
