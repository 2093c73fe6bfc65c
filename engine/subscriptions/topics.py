"""The topics that systems may subscribe to: one table, for the server, its answers and the docs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from engine.message import Resource

IG = "http://hl7.org/fhir/uv/subscriptions-backport"
HREX_TASK = "http://hl7.org/fhir/us/davinci-hrex/SubscriptionTopic/Task"
_OWN = "https://carelane.example/fhir/SubscriptionTopic"

Way = Literal["token", "reference", "id"]
"""How a filter is compared: with a code, with a reference, with the resource's own id."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Say what a search parameter of a filter criterion looks at: an element's path."""

    path: str
    way: Way


@dataclass(frozen=True, slots=True)
class Topic:
    """Describe one topic: which versions of which type are events, and what narrows them.

    `counts` tells of one version of a canonical resource whether the topic speaks of it at all;
    an event is a create or update to such a version from one such version (or from none).
    """

    url: str
    type: str
    title: str
    when: str
    counts: Callable[[Resource], bool]
    filters: Mapping[str, Filter]


def _ordered(task: Resource) -> bool:
    return task.get("status") != "draft" and task.get("intent") == "order"


def _meant(resource: Resource) -> bool:
    return resource.get("status") not in ("draft", "preparation")


_BASIC = {"_id": Filter("id", "id"), "status": Filter("status", "token")}
_MEMBER = {"patient": Filter("subject", "reference"), "subject": Filter("subject", "reference")}
_TALK = {
    **_BASIC,
    **_MEMBER,
    "category": Filter("category", "token"),
    "sender": Filter("sender", "reference"),
    "recipient": Filter("recipient", "reference"),
}

TOPICS: Mapping[str, Topic] = MappingProxyType(
    {
        topic.url: topic
        for topic in (
            Topic(
                HREX_TASK,
                "Task",
                "Task update (Da Vinci HRex, used by CDex)",
                "a Task with intent `order` is created, or updated, and is no draft",
                _ordered,
                {
                    **_BASIC,
                    "patient": Filter("for", "reference"),
                    "subject": Filter("for", "reference"),
                    "code": Filter("code", "token"),
                    "owner": Filter("owner", "reference"),
                    "requester": Filter("requester", "reference"),
                    "business-status": Filter("businessStatus", "token"),
                },
            ),
            Topic(
                f"{_OWN}/communication",
                "Communication",
                "Communication",
                "a Communication is created or updated and is past its preparation",
                _meant,
                _TALK,
            ),
            Topic(
                f"{_OWN}/communication-request",
                "CommunicationRequest",
                "Request for communication, also for records",
                "a CommunicationRequest is created or updated and is no draft",
                _meant,
                {**_TALK, "requester": Filter("requester", "reference")},
            ),
        )
    }
)
"""Every topic by its canonical URL."""

TYPES = frozenset(topic.type for topic in TOPICS.values())
"""The types of which a topic speaks."""


def as_markdown() -> str:
    """Return the table as docs/subscriptions.md shows it."""
    rows = [
        f"| `{topic.url}` | {topic.type} | {topic.when} | "
        f"{', '.join(f'`{name}`' for name in topic.filters)} |"
        for topic in TOPICS.values()
    ]
    return "\n".join(["| topic | type | an event is when | can be filtered by |",
                      "|---|---|---|---|", *rows])  # fmt: skip
