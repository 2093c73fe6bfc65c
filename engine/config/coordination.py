"""The settings of coordination: on whose behalf the engine itself writes, and what."""

# ruff: noqa: RUF009 - the calls declare settings; each makes a dataclass field

from __future__ import annotations

from dataclasses import dataclass

from engine.config.kinds import Listed, Section, Text
from engine.config.media import Media, Preference
from engine.config.notifications import Notifications
from engine.config.records import Records
from engine.config.review import Review
from engine.config.settings import absent_or, optional, required


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordination:
    """Let the engine take part in coordination itself; without this section it only carries."""

    acting: str = required(
        Text("the name of a system", r"[a-z][a-z0-9-]*"),
        "The system on whose behalf the engine writes notifications, requests and tasks: its "
        "organization is their sender, and its routes carry them.",
    )
    media: Media | None = absent_or(
        Section(Media),
        "By which media outreach may go; without this section Communications go to systems only.",
    )
    preferences: tuple[Preference, ...] = optional(
        Listed(Section(Preference)), "Which media recipients want, beside their own records.", ()
    )
    review: Review = optional(
        Section(Review), "What is done about what the reviews find.", Review()
    )
    records: Records = optional(
        Section(Records), "How requests for records are tracked.", Records()
    )
    notifications: Notifications | None = absent_or(
        Section(Notifications),
        "Notices to members and guardians; without this section nobody is notified.",
    )
