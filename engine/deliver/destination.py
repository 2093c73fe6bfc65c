"""Say where and how one system wants to be written to: what the deliver room knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.deliver.retry import RetryPolicy

Interaction = Literal["update", "create", "transaction", "medium", "hook"]
"""How resources are written: PUT by id, POST by type, or a transaction Bundle with one PUT.

`medium` is none of a FHIR endpoint: fax, mail, a call or a meeting (`engine.outreach`). `hook` is
the endpoint that each subscription names (`engine.subscriptions`).
"""


@dataclass(frozen=True, slots=True)
class Destination:
    """Hold the settings of one system that resources are delivered to.

    `timeout` is in seconds and covers a whole exchange; `concurrency` bounds what is under way at
    once; `conditional` lets a create carry If-None-Exist, so that a repeat makes no second copy.
    """

    name: str
    base_url: str
    interaction: Interaction = "update"
    bearer: str | None = field(default=None, repr=False)
    concurrency: int = 4
    timeout: float = 10.0
    conditional: bool = True
    retry: RetryPolicy = field(default_factory=RetryPolicy)


Destinations = Mapping[str, Destination]
"""Every destination by its system's name."""
