"""The teams of one member as one: the six groups, who is missing, and what is doubtful."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.rules.finding import Finding
from engine.rules.rule_files import load_rules
from engine.rules.rulebook import GROUPS
from engine.rules.team import load_groups, one_team, review_teams

ROOT = Path(__file__).resolve().parents[2]
AT = "2026-05-01T10:00:00Z"
TABLE = load_groups(ROOT / "mappings" / "tables" / "careteam-role.csv")
SNOMED = "http://snomed.info/sct"
ME = {"member": {"reference": "Patient/1"}}


def seat(who: str, code: str = "", text: str = "", **more: Any) -> dict[str, Any]:
    """Return a participant with a role by SNOMED CT code or by words."""
    role = {"coding": [{"system": SNOMED, "code": code}]} if code else {"text": text}
    return {"member": {"reference": who, "display": who}, "role": [role]} | more


def team(id: str, *participants: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an active team."""
    return {
        "resourceType": "CareTeam",
        "id": id,
        "status": "active",
        "subject": {"reference": "Patient/1"},
        "participant": list(participants),
    } | more


def reviewed(*teams: dict[str, Any], **more: Any) -> list[Finding]:
    """Return what is found in these teams."""
    related = more.pop("related", [])
    return review_teams(teams, related, AT, member="1", groups=TABLE, **more)


def test_the_table_knows_all_six_groups() -> None:
    """Roles of every group of the guide stand in the shipped table."""
    assert set(TABLE.codes.values()) == set(GROUPS)


@pytest.mark.parametrize(
    ("participant", "group"),
    [
        (seat("Practitioner/1", "80584001"), "behavioral health"),
        (seat("Practitioner/1", "82296001"), "physical health"),
        (seat("Practitioner/1", "17561000"), "specialty"),
        (seat("Practitioner/1", "159026005"), "therapy"),
        (seat("Practitioner/1", "106304008"), "educational and community supports"),
        (seat("RelatedPerson/1", "58626002"), "family"),
        ({"member": {"reference": "RelatedPerson/1"}}, "family"),
        (seat("Practitioner/1", text="pediatrician"), "physical health"),
        (
            {
                "member": {"reference": "Organization/1"},
                "role": [
                    {
                        "coding": [
                            {"system": "http://nucc.org/provider-taxonomy", "code": "208000000X"}
                        ]
                    }
                ],
            },
            "physical health",
        ),
    ],
)
def test_roles_of_either_dialect_lead_to_their_group(
    participant: dict[str, Any], group: str
) -> None:
    """SNOMED CT, NUCC and the code's own words are understood; a relative is family."""
    (one,) = one_team([team("a", participant)], [], AT, TABLE).seats
    assert one.group == group


def test_teams_of_several_systems_are_one() -> None:
    """The member on one system's team is on the team; nobody has to stand on both."""
    doctor = seat("Practitioner/1", "82296001")
    assert reviewed(team("a", doctor), team("b", ME)) == []
    assert one_team([team("a", doctor), team("b", ME)], [], AT, TABLE).teams == (
        "CareTeam/a",
        "CareTeam/b",
    )


def test_a_team_without_the_member_is_told() -> None:
    """Collaboration always includes the member; a guardian does not stand for them."""
    guardian = seat("RelatedPerson/2", "58626002")
    (one,) = reviewed(team("a", guardian))
    assert one.code == "member-missing"
    assert one.evidence == ("CareTeam/a",)
    gone = ME | {"period": {"end": "2026-01-31"}}
    assert "member-missing" in {each.code for each in reviewed(team("a", guardian, gone))}


def test_no_active_team_is_no_finding() -> None:
    """A member without any team, or whose teams are over, is not reported as left out."""
    assert reviewed() == []
    assert reviewed(team("a", status="inactive")) == []
    assert reviewed(team("a", period={"end": "2026-02"})) == []


def test_somebody_whose_period_ended() -> None:
    """An ended participation is told; an end far ahead, or another seat still held, is none."""
    ended = seat("Practitioner/1", "82296001", period={"end": "2026-04-30"})
    (one,) = reviewed(team("a", ME, ended))
    assert one.code == "participation-ended"
    assert "2026-04-30" in one.reason
    open_end = seat("Practitioner/1", "82296001", period={"end": "2100-12-31"})
    assert reviewed(team("a", ME, open_end)) == []
    assert reviewed(team("a", ME, ended, seat("Practitioner/1", "82296001"))) == []


def test_a_role_that_could_not_be_translated() -> None:
    """An unknown code and unknown words are told with the role's own words."""
    unknown = seat("Practitioner/1", text="Wizard of hours")
    (one,) = reviewed(team("a", ME, unknown))
    assert one.code == "role-unknown"
    assert "Wizard of hours" in one.reason
    both = seat("Practitioner/1", text="Wizard")
    both["role"].append({"coding": [{"system": SNOMED, "code": "82296001"}]})
    assert reviewed(team("a", ME, both)) == []


def test_one_person_under_two_identifiers() -> None:
    """One name, and one group or telecom, under two entities is told; two names are not."""
    related = [
        {"resourceType": "Practitioner", "id": id, "name": [{"given": ["Lena"], "family": name}]}
        for id, name in (("1", "Novak"), ("2", "Novak"), ("3", "Other"))
    ]
    one, other, third = (seat(f"Practitioner/{id}", "159026005") for id in "123")
    (twice,) = reviewed(team("a", ME, one), team("b", other), related=related)
    assert twice.code == "participant-twice"
    assert {"Practitioner/1", "Practitioner/2"} <= set(twice.evidence)
    assert reviewed(team("a", ME, one, third), related=related) == []
    elsewhere = seat("Practitioner/2", "82296001")
    assert reviewed(team("a", ME, one, elsewhere), related=related) == []


def test_a_group_that_a_plan_needs() -> None:
    """A plan with speech therapy needs a therapist on the team, who has not left."""
    book, problems = load_rules(ROOT / "rules")
    assert problems == []
    plan = {
        "resourceType": "CarePlan",
        "id": "p",
        "status": "active",
        "intent": "plan",
        "activity": [{"detail": {"status": "scheduled", "code": {"text": "Speech therapy"}}}],
    }
    (one,) = reviewed(team("a", ME), plans=[plan], book=book)
    assert one.code == "group-missing"
    assert one.evidence == ("CarePlan/p", "CareTeam/a")
    assert one.reason == "A plan prescribes therapy. Nobody on the team is from therapy."
    therapist = seat("Practitioner/1", "159026005")
    assert reviewed(team("a", ME, therapist), plans=[plan], book=book) == []
    done = plan | {"status": "completed"}
    assert reviewed(team("a", ME), plans=[done], book=book) == []


def test_a_table_that_is_not_there_knows_no_group(tmp_path: Path) -> None:
    """Without the table every role is unknown, and the review still answers."""
    groups = load_groups(tmp_path / "none.csv")
    found = review_teams(
        [team("a", ME, seat("Practitioner/1", "82296001"))], [], AT, member="1", groups=groups
    )
    assert [each.code for each in found] == ["role-unknown"]
