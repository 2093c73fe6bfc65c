"""The play: a day of coordination for one child, step by step, with what must become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["delivered", "rejected", "held", "recorded", "found", "written"]

NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Expected:
    """Say what must become of the resources of these types in one step.

    `about` tells a reader what they are, `why` is the code of a refusal or hold.
    """

    types: tuple[str, ...]
    about: str
    outcome: Outcome = "delivered"
    why: str = ""

    @property
    def title(self) -> str:
        """Return what to call them in the table."""
        return f"{self.types[0]} {self.about}" if len(self.types) == 1 else self.about


@dataclass(frozen=True, slots=True)
class Step:
    """Hold one submission: who sends which sample how, and what must become of it.

    `target` is the path under the FHIR base. `hub` says that the hub goes down before the step or
    is back after it.
    """

    sender: str
    sample: str
    target: str
    expected: tuple[Expected, ...]
    hub: Literal["goes down", "is back"] | None = None


_PEOPLE = ("Organization", "Practitioner", "PractitionerRole", "Patient", "RelatedPerson")

DAY: tuple[Step, ...] = (
    Step("mercy", "01-who-is-who", "", (Expected(_PEOPLE, "who is who, 10 resources"),)),
    Step(
        "mercy",
        "02-team-and-plan",
        "",
        (
            Expected(("CareTeam",), "with guardian and school"),
            Expected(("Goal",), "for speech"),
            Expected(("CarePlan",), "with two therapies"),
        ),
    ),
    Step(
        "mercy",
        "03-outreach-before-consent",
        "Communication",
        (Expected(("Communication",), "before any consent", "rejected", "consent-missing"),),
    ),
    Step("mercy", "04-signed-consent", "", (Expected(("Consent",), "signed by the guardian"),)),
    Step(
        "mercy",
        "05-outreach",
        "Communication",
        (Expected(("Communication",), "that it covers"),),
    ),
    Step(
        "mercy",
        "06-outreach-to-lakeside",
        "Communication",
        (
            Expected(
                ("Communication",),
                "to one it does not name",
                "rejected",
                "consent-recipient",
            ),
        ),
    ),
    Step(
        "mercy",
        "07-outreach-that-waits",
        "Communication",
        (
            Expected(
                ("Communication",),
                "sent while plan is down",
                "held",
                "consent-withdrawn",
            ),
        ),
        hub="goes down",
    ),
    Step(
        "mercy",
        "08-revocation",
        "",
        (Expected(("Consent",), "revoked meanwhile"),),
        hub="is back",
    ),
    Step(
        "mercy",
        "09-outreach-after-revocation",
        "Communication",
        (Expected(("Communication",), "after the revocation", "rejected", "consent-revoked"),),
    ),
    Step(
        "hub",
        "10-answer-of-the-plan",
        "",
        (
            Expected(("Consent",), "signed for the way back"),
            Expected(("CareTeam",), "seen in claims"),
            Expected(("Communication",), "back to the hospital"),
        ),
    ),
    # The second act: what the engine does itself; engine/samples/guide.py says what is seen of it.
    Step(
        "mercy",
        "11-signed-for-four",
        "",
        (Expected(("Consent",), "signed again, for four"),),
    ),
    Step(
        "mercy",
        "12-outreach-to-four",
        "Communication",
        (Expected(("Communication",), "to four, one by FHIR"),),
    ),
    Step("hub", "13-request-for-records", "", ()),
    Step("mercy", "14-plan-revised", "", (Expected(("CarePlan",), "with a category"),)),
    Step("hub", "15-plan-of-the-plan", "", (Expected(("CarePlan",), "of the plan"),)),
)
