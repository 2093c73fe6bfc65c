"""Before the first review is due: rules compiled and libraries loaded, on an example."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.coordination.member_record import MemberRecord
from engine.coordination.review import findings_of
from engine.message import Resource
from engine.project import Project

_AT = "2026-01-01T00:00:00.000000Z"
_MEMBER = "example"


def warm(project: Project) -> int:
    """Review an example member; return what was found.

    A review runs in the turn of the one writer, so the time that its first run takes longer than
    all later ones is spent here, where nobody waits for it.
    """
    if project.config.coordination is None:
        return 0
    resources: dict[str, list[Resource]] = {}
    for resource in (*_example(), *_of_every_rule(project)):
        resources.setdefault(resource["resourceType"], []).append(resource)
    return len(findings_of(project, MemberRecord(_MEMBER, resources), _AT))


def _example() -> Iterator[Resource]:
    """Yield two plans and two prescriptions that disagree."""
    for times in (1, 2):
        repeat = {"frequency": times, "period": 1, "periodUnit": "wk", "duration": 1,
                  "durationUnit": "h"}  # fmt: skip
        detail = {
            "kind": "ServiceRequest",
            "status": "scheduled",
            "code": {"text": "Speech therapy"},
            "scheduledTiming": {"repeat": repeat},
        }
        yield _about("CarePlan", f"plan-{times}", intent="plan", activity=[{"detail": detail}])
        dose = {"value": times, "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"}
        yield _about(
            "MedicationRequest",
            f"order-{times}",
            intent="order",
            medicationCodeableConcept={"text": "Methylphenidate"},
            dosageInstruction=[
                {
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
                    "doseAndRate": [{"doseQuantity": dose}],
                }
            ],
        )
    yield _about("CareTeam", "team", participant=[{"role": [{"text": "Teacher"}]}])


def _of_every_rule(project: Project) -> Iterator[Resource]:
    """Yield a resource of each type that a rule looks at."""
    for type_name in sorted(project.rules.watched_types):
        yield _about(type_name, "watched", code={"text": "Example"})


def _about(type_name: str, id: str, **more: Any) -> Resource:
    subject = {"reference": f"Patient/{_MEMBER}"}
    return {"resourceType": type_name, "id": id, "status": "active", "subject": subject, **more}
