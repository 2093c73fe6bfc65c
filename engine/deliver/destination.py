"""Say where and how one system wants to be written to: what the deliver room knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.deliver.retry import RetryPolicy

Interaction = Literal["update", "create", "transaction", "batch", "medium", "hook"]
"""How resources are written: PUT by id, POST by type, or a Bundle with a PUT for each.

`medium` is none of a FHIR endpoint: fax, mail, a call or a meeting (`engine.outreach`). `hook` is
the endpoint that each subscription names (`engine.subscriptions`).
"""


@dataclass(frozen=True, slots=True)
class Destination:
    """Hold the settings of one system that resources are delivered to.

    `timeout` is in seconds and covers a whole exchange; `concurrency` bounds the requests under way
    at once; `batch` is how many deliveries may go in one Bundle; `conditional` lets a create carry
    If-None-Exist, so that a repeat makes no second copy.
    """

    name: str
    base_url: str
    interaction: Interaction = "update"
    bearer: str | None = field(default=None, repr=False)
    concurrency: int = 4
    timeout: float = 10.0
    conditional: bool = True
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    batch: int = 1

    @property
    def at_once(self) -> int:
        """Return how many deliveries may be under way: so many requests, each with a batch."""
        return self.concurrency * self.batch


Destinations = Mapping[str, Destination]
"""Every destination by its system's name."""
