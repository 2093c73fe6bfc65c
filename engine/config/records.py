"""The settings of records requests: how long they may take, and who is told of a late one."""

# ruff: noqa: RUF009 - the calls declare settings; each makes a dataclass field

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from engine.config.kinds import Choice, Listed, Named, Number, Section, Text, Whole
from engine.config.settings import optional

_SYSTEM = r"[a-z][a-z0-9-]*"
OWN_CATEGORY = "https://carelane.example/fhir/CodeSystem/request-category|records-request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Ask the systems for the state of requests that they do not report themselves."""

    systems: tuple[str, ...] = optional(
        Listed(Text("the name of a system", _SYSTEM)),
        "The systems whose Task endpoint is asked.",
        (),
    )
    every: int = optional(
        Whole(10, 604_800), "How many seconds lie between two rounds of asking.", 900
    )
    timeout: float = optional(
        Number(0.1, 120, "seconds"), "How long one answer may take to arrive.", 10.0
    )
    most: int = optional(
        Whole(1, 1000), "How many requests are asked about at most in one round.", 100
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribe:
    """Be notified by the systems whose `updates` are by `subscription`."""

    heartbeat: int = optional(
        Whole(10, 604_800),
        "After how many seconds at most such a system sends a sign of life; after twice that "
        "without one it is asked for the state of the subscription.",
        900,
    )
    retry: int = optional(
        Whole(1, 604_800),
        "How many seconds lie between two tries to subscribe; meanwhile the system is polled.",
        600,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Say how records requests are tracked."""

    due_days: int = optional(
        Whole(1, 365), "In how many days a request is due that names no date itself.", 14
    )
    reminders: tuple[int, ...] = optional(
        Listed(Whole(1, 365)),
        "How many days before the due date the provider who was asked is reminded; each once.",
        (7, 2),
    )
    escalate_to: str = optional(
        Text("a name"), "Who gets the Task to follow up a request that is overdue.",
        "Care coordinator",
    )  # fmt: skip
    form: Mapping[str, str] = optional(
        Named(
            Choice(("task", "communication-request")),
            "the name of a system",
            _SYSTEM,
        ),
        "How a system is asked: by a Task (Da Vinci HRex and CDex), which is the default, or by a "
        "CommunicationRequest.",
        MappingProxyType({}),
    )
    categories: tuple[str, ...] = optional(
        Listed(Text("`system|code`, or `system|` for all of its codes", r"\S+\|\S*")),
        "Which categories make a CommunicationRequest a records request.",
        (OWN_CATEGORY, "https://codesystem.x12.org/005010/755|"),
    )
    poll: Poll = optional(Section(Poll), "Asking instead of waiting to be told.", Poll())
    subscribe: Subscribe = optional(Section(Subscribe), "Being told by subscription.", Subscribe())
