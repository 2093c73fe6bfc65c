"""The settings of coordination: on whose behalf the engine itself writes, and what."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.kinds import Text
from engine.config.settings import required


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordination:
    """Let the engine take part in coordination itself; without this section it only carries."""

    acting: str = required(
        Text("the name of a system", r"[a-z][a-z0-9-]*"),
        "The system on whose behalf the engine writes notifications, requests and tasks: its "
        "organization is their sender, and its routes carry them.",
    )
