"""Real Tasks and CommunicationRequests (CDex, PAS, HRex), posted to a running engine."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from valley import Valley, valley

from engine.diagnostics import has_errors
from engine.fhir.json import dumps, loads
from engine.transform.crosswalk import new_entity, reference_key
from engine.validate import validate

TYPES = ("Task", "CommunicationRequest")
REPOSITORY = Path(__file__).resolve().parents[2]


def entries() -> list[dict[str, Any]]:
    index = REPOSITORY.parent / "shared" / "corpus" / "index.json"
    if not index.is_file():
        return []
    found = json.loads(index.read_text(encoding="utf-8"))
    return [one for one in found if one["resourceType"] in TYPES]


def known_people(tree: Any, found: set[tuple[str, str]]) -> None:
    """Collect the people and organizations that a resource refers to by a relative reference."""
    if isinstance(tree, dict):
        target = tree.get("reference")
        if isinstance(target, str) and target.count("/") == 1:
            kind, _, id = target.partition("/")
            if kind in ("Patient", "Practitioner", "PractitionerRole", "Organization",
                        "RelatedPerson"):  # fmt: skip
                found.add((kind, id))
        for part in tree.values():
            known_people(part, found)
    elif isinstance(tree, list):
        for part in tree:
            known_people(part, found)


def introduce(place: Valley, resource: Any) -> None:
    """Let the crosswalk know those whom a resource refers to."""
    people: set[tuple[str, str]] = set()
    known_people(resource, people)
    keys = [reference_key("mercy", f"{kind}/{id}") for kind, id in sorted(people)]
    links = {key: new_entity(key) for key in keys}
    place.store.write(lambda tx: tx.crosswalk.link(links, source="test")).result()


def test_every_real_request_is_taken_in_and_read_back_as_it_came(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each valid file is accepted and its sender reads it back; others are refused by path."""
    counts: Counter[tuple[str, str]] = Counter()
    with valley(tmp_path, "unrouted: record", "CareTeam") as place:
        place.settle()
        for number, entry in enumerate(entries()):
            sent = loads((shared / "corpus" / "examples" / entry["file"]).read_bytes())
            sent = {**sent, "id": f"file-{number}"}
            kind, version = entry["resourceType"], entry["fhirVersion"]
            if version.startswith("5"):
                counts[kind, "R5, not for this dialect"] += 1
                continue
            if has_errors(validate(sent, "R4")):
                response = place.send("mercy", "PUT", f"/fhir/{kind}/{sent['id']}", dumps(sent))
                assert response.status_code == 422, response.text
                assert all(issue.get("expression") for issue in response.json()["issue"])
                counts[kind, "not valid R4, refused by path"] += 1
                continue
            introduce(place, sent)
            outcome = take_in(place, sent)
            counts[kind, outcome] += 1
    with capsys.disabled():
        for (kind, outcome), count in sorted(counts.items()):
            print(f"\n  corpus, posted: {kind}: {count} {outcome}", end="")
    assert sum(n for (_, outcome), n in counts.items() if outcome == "came back equal") >= 40


def take_in(place: Valley, sent: dict[str, Any]) -> str:
    """Post one file, which no route passes on, and read it back."""
    kind, id = sent["resourceType"], sent["id"]
    response = place.send("mercy", "PUT", f"/fhir/{kind}/{id}", dumps(sent))
    assert response.status_code == 201, (kind, response.status_code, response.text)
    place.timers()
    back = place.send("mercy", "GET", f"/fhir/{kind}/{id}")
    assert back.status_code == 200, back.text
    came = loads(back.content)
    assert without_version(came) == without_version(sent)
    return "came back equal"


def without_version(resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource without the version and instant that the store gives."""
    bare = {name: part for name, part in resource.items() if name != "meta"}
    meta = {
        name: part
        for name, part in resource.get("meta", {}).items()
        if name not in ("versionId", "lastUpdated")
    }
    return bare | ({"meta": meta} if meta else {})
