"""The settings of notifications: what members hear about, how often, and by which way."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.kinds import Choice, Listed, Text, Whole
from engine.config.settings import absent_or, optional

EVENTS = (
    "first-outreach",
    "new-team-member",
    "records-requested",
    "records-released",
    "plan-changed",
)
"""What a member may be notified of; each has a template under mappings/notifications/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    """Let members, or those who act for them, hear that their care is being coordinated."""

    events: tuple[str, ...] = optional(
        Listed(Choice(EVENTS)), "What they hear about; all of it by default.", EVENTS
    )
    language: str = optional(
        Text("a language code", r"[a-z]{2,3}"),
        "The language for those whose own is not known or has no template.",
        "en",
    )
    hour: int = optional(
        Whole(0, 23),
        "From which hour (UTC) a further notice of the next day goes out. Nobody gets more than "
        "one a day: what happens after it waits for the next.",
        14,
    )
    through: str | None = absent_or(
        Text("the name of a system", r"[a-z][a-z0-9-]*"),
        "The system that passes notices on to members, a portal. Without it they go by the media "
        "of `coordination.media`.",
    )
