"""The settings of running it: what is removed after a while, and how payloads are encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.config.kinds import Named, Secret, Text, Whole
from engine.config.settings import optional, required

_DAYS = Whole(0, 36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Say after how many days what is removed; 0 keeps it for ever.

    Who sent what when, what became of it and every decision stay; see docs/operations.md.
    """

    messages: int = optional(
        _DAYS,
        "Days after which the body of a submission, and of its answer, is removed. A message that "
        "still holds something keeps its body.",
        0,
    )
    deliveries: int = optional(
        _DAYS, "Days after which the body of a delivery that arrived or was given up is removed.", 0
    )
    history: int = optional(
        _DAYS,
        "Days after which a canonical version that a newer one has replaced is removed. Consents "
        "keep every version, because decisions name them.",
        0,
    )
    audit: int = optional(
        _DAYS,
        "Days after which records leave the ledger's chain; what stays can still be checked.",
        0,
    )

    @property
    def nothing(self) -> bool:
        """Tell whether everything is kept for ever."""
        return not (self.messages or self.deliveries or self.history or self.audit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """Let payloads be encrypted in the record (AES-256-GCM)."""

    active: str = required(
        Text("the name of a key", r"[a-z][a-z0-9-]{0,39}"),
        "The key that seals what is written from now on.",
    )
    keys: Mapping[str, str] = optional(
        Named(
            Secret(
                "32 bytes in base64, from the environment",
                r"[A-Za-z0-9+/]{43}=",
                "`carelane store key` prints a new one.",
            ),
            "the name of a key",
        ),
        "Every key by its name, each from the environment: the active one, and older ones that "
        "records are still sealed with. `carelane store key` prints a new key.",
        MappingProxyType({}),
        secret=True,
    )
