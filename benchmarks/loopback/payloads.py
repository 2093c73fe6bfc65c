"""What is sent: many members with a signed consent each, and numbered resources about them."""

from __future__ import annotations

import copy
import json
from typing import Any

from engine.samples.bundles import sample

MEMBERS = 200
MARK = "#%d#"
"""Stands in every payload with its number, so that the sink can tell what arrived."""

_PLACE = "#987654321#"
_IDENTITY = "http://mercy.example/mrn"
Resource = dict[str, Any]


def settings() -> list[bytes]:
    """Return the Bundles that must be accepted before anything numbered is sent."""
    people = json.loads(sample("01-who-is-who"))
    families: list[Resource] = []
    consents: list[Resource] = []
    signed = json.loads(sample("04-signed-consent"))["entry"][0]
    for number in range(MEMBERS):
        families += [
            _of(entry, number)
            for entry in people["entry"]
            if entry["resource"]["resourceType"] in ("Patient", "RelatedPerson")
        ]
        consents.append(_of(signed, number))
    return [json.dumps(people).encode(), _bundle(families), _bundle(consents)]


def _of(entry: Resource, number: int) -> Resource:
    """Return an entry about another member, with identifiers of its own."""
    text = json.dumps(entry)
    for name in ("avery", "dana", "release"):
        text = text.replace(f"/{name}", f"/{name}-{number}").replace(
            f'"id": "{name}"', f'"id": "{name}-{number}"'
        )
    made: Resource = json.loads(text)
    for identifier in made["resource"].get("identifier", ()):
        identifier["value"] += f"-{number}"
    return made


def _bundle(entries: list[Resource]) -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": "batch", "entry": entries}).encode()


def template(kind: str) -> tuple[str, bytes]:
    """Return the type and the text of one kind of payload, to be numbered."""
    made = {"communication": _communication, "careplan": _careplan}[kind]()
    return made["resourceType"], json.dumps(made).encode()


def numbered(text: bytes, number: int) -> bytes:
    """Return the payload of one number."""
    member = b"avery-%d" % (number % MEMBERS)
    return text.replace(b"987654321", b"%d" % number).replace(b"avery-x", member)


def _communication() -> Resource:
    made: Resource = json.loads(sample("05-outreach"))
    made["id"] = "outreach-987654321"
    made["identifier"][0]["value"] = "outreach-987654321"
    made["subject"]["reference"] = "Patient/avery-x"
    made["payload"][0]["contentString"] += f" {_PLACE}"
    return made


def _careplan() -> Resource:
    """Return a plan of a member, to be revised with each number: nobody has a plan a second."""
    bundle = json.loads(sample("02-team-and-plan"))
    made: Resource = next(
        e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "CarePlan"
    )
    for name in ("careTeam", "goal"):
        made.pop(name, None)
    made["id"] = "plan-of-avery-x"
    for identifier in made.get("identifier", ()):
        identifier["value"] = "plan-of-avery-x"
    made["subject"]["reference"] = "Patient/avery-x"
    made["title"] = f"Plan {_PLACE}"
    first = made["activity"]
    made["activity"] = [copy.deepcopy(first[n % len(first)]) for n in range(20)]
    for n, activity in enumerate(made["activity"]):
        activity.pop("reference", None)
        detail = activity.setdefault("detail", {})
        detail.setdefault("status", "scheduled")
        detail["description"] = f"Session {n} of the plan"
        detail.pop("goal", None)
    return made
