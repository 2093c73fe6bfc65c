"""Members, the people around them and messages about them, made from a seed."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import strategies as st

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
LEVEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
MOMENTS = (
    *("2026-01-01T00:00:00Z", "2026-05-01T09:59:59Z", "2026-05-01T10:00:00Z", "2026-05-01"),
    *("2026-05-01T10:00:01Z", "2026-05-01T23:59:59Z", "2026-05-02T00:00:00Z", "2027-01-01"),
)
PERIODS: tuple[Any, ...] = (
    *({"start": "2026-05-01T10:00:00Z"}, {"end": "2026-05-01"}, {"end": "2026-04"}),
    *({"start": "2026"}, {"start": "soon"}, {"start": "2026-05-01T10:00:01Z", "end": "2026-05-02"}),
)


class World:
    """Make messages and the people around a member from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *values: Any) -> Any:
        return self.random.choice(values)

    def maybe(self, **values: Any) -> dict[str, Any]:
        return {name: value for name, value in values.items() if self.random.random() < 0.4}

    def reference(self, *types: str) -> dict[str, Any]:
        kind, number = self.one(*types), self.one("1", "2")
        identifier = {"system": "urn:npi", "value": number}
        made = {"reference": f"{kind}/{number}"} | self.maybe(display="Somebody", type=kind)
        return self.one(made, made, made, {"identifier": identifier}, {"display": "Words"})

    def concept(self) -> dict[str, Any]:
        system, code = self.one(ICD, "urn:x", ""), self.one("B20", " B20", "Z00", "F11.20", "")
        coding = {"code": code} | ({"system": system} if system else {})
        return self.one({"coding": [coding]}, {"coding": [coding, {"code": "Z00"}], "text": "x"})

    def condition(self, name: str) -> dict[str, Any]:
        return {
            "resourceType": "Condition",
            "id": name,
            "code": self.concept(),
            **self.maybe(recordedDate=self.one("2024", "2025-01-01", "bad"), note=[{"text": "x"}]),
        }

    def entry(self) -> dict[str, Any]:
        return self.one(
            {"contentString": "words"},
            {"contentReference": self.reference("Condition", "PractitionerRole")},
            {"contentReference": {"reference": "#inside"}},
            {"contentAttachment": {"contentType": "text/plain", "creation": "2024-01-01"}},
        )

    def message(self) -> dict[str, Any]:
        levels = [{"system": LEVEL, "code": self.one("N", "R")}]
        purposes = [{"system": REASON, "code": self.one("TREAT", "HTEST")}]
        kind = self.one("Communication", "Communication", "CommunicationRequest", "Condition")
        return {
            "resourceType": kind,
            "id": "x",
            "subject": self.reference("Patient"),
            **self.maybe(
                recipient=[self.reference("Organization", "Patient", "PractitionerRole")],
                sender=self.reference("Organization", "Practitioner"),
                meta=self.maybe(security=levels + purposes, profile=["http://p", " q"]),
                category=[self.concept()],
                reasonCode=[self.concept(), self.concept()],
                payload=[self.entry(), self.entry()],
                sent=self.one("2026-04-01", "bad"),
                contained=[{**self.condition("inside"), "identifier": [{"value": "1"}]}],
            ),
        }

    def people(self) -> list[dict[str, Any]]:
        """Make a member, roles, groups and teams whose periods begin and end around a moment."""
        roles = [
            {
                "resourceType": "PractitionerRole",
                "id": id,
                "practitioner": self.reference("Practitioner"),
                "organization": self.reference("Organization"),
                **self.maybe(period=self.one(*PERIODS)),
            }
            for id in ("1", "2")
        ]
        members = [
            {"entity": self.reference("Organization", "Group"), "period": self.one(*PERIODS)},
            {"entity": self.reference("Practitioner")},
        ]
        return [
            {
                "resourceType": "Patient",
                "id": "1",
                **self.maybe(
                    birthDate="2015-01-01",
                    identifier=[{"system": "urn:npi", "value": "1"}],
                    link=[{"type": "replaces", "other": {"reference": "Patient/2"}}],
                ),
            },
            {"resourceType": "Organization", "id": "1", "partOf": self.reference("Organization")},
            {"resourceType": "Practitioner", "id": "1"},
            {"resourceType": "Group", "id": "1", "member": members},
            *roles,
        ]


WORLDS = st.integers(0, 2**32).map(World)
