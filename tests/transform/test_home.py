"""Carried values go home and nowhere else, never past an obligation, and cannot be forged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from makings import adapter, mapping
from shipped_adapters import shipped_adapters

from engine.fhir.json import dumps
from engine.rules.redact import apply
from engine.rules.security_label import CONFIDENTIALITY
from engine.transform.carry import CARRIED, carried
from engine.transform.cases import _Forgetful
from engine.transform.home import SEALED, mentions, without
from engine.transform.passthrough import PassThrough

ROOT = Path(__file__).parent.parent.parent / "mappings"
SECRET = "spoke about the unit on the fourth floor"
TAIL = "canonical_only:\n  note: carry\n  name: carry\n"
ROAD = _Forgetful(frozenset())
NOTE = [{"text": SECRET}]
NARROWED: dict[str, Any] = {
    "type": "redact",
    "match": {"securityLabel": [{"system": CONFIDENTIALITY, "code": "R"}]},
}
MESSAGE: dict[str, Any] = {
    "resourceType": "Communication",
    "id": "m",
    "status": "completed",
    "subject": {"reference": "Patient/1"},
    "recipient": [{"reference": "Organization/b"}],
    "payload": [{"contentReference": {"reference": "DocumentReference/1"}}],
}


def _home(tmp_path: Path) -> Any:
    return adapter(tmp_path, mapping(dict.fromkeys(("note", "name"), "carry"), tail=TAIL))


def _team(**more: Any) -> dict[str, Any]:
    return {"resourceType": "CareTeam", "id": "t", "status": "active", **more}


@pytest.mark.parametrize("kind", ["redact", "permit-only"])
def test_no_carried_value_passes_an_obligation(kind: str) -> None:
    """A carried note or payload is withheld whenever content must be judged, at any depth."""
    secret = carried("us-core/communication", "dialect", "note", NOTE)
    nested = {**MESSAGE["payload"][0], "extension": [secret]}
    match = NARROWED["match"] if kind == "redact" else {"class": []}
    for message in (
        {**MESSAGE, "extension": [secret]},
        {**MESSAGE, "payload": [nested]},
        {**MESSAGE, "extension": [{**secret, "url": SEALED}]},
    ):
        sent = apply(message, [{"type": kind, "match": match}])
        assert sent.resource is None or SECRET.encode() not in dumps(sent.resource)


def test_without_an_obligation_a_carried_value_stays() -> None:
    """A permit without obligations leaves the resource as it is."""
    message = {**MESSAGE, "extension": [carried("us-core/communication", "dialect", "note", NOTE)]}
    sent = apply(message, []).resource
    assert sent is not None
    assert sent["extension"] == message["extension"]


def test_a_carried_value_goes_home_only(tmp_path: Path) -> None:
    """On the road a carried value leaves towards its own dialect, and stays on record elsewhere."""
    own = _home(tmp_path)
    team = _team(note=NOTE)
    canonical = own.to_canonical(team, ROAD).resource
    assert SECRET.encode() in dumps(canonical)
    assert own.to_dialect(canonical, ROAD).resource == team
    for dialect in ("hrex", "r5", "text-first", "us-core"):
        other = shipped_adapters().get(dialect, "CareTeam")
        assert other is not None
        sent = other.to_dialect(canonical, ROAD)
        assert sent.resource is not None
        assert SECRET.encode() not in dumps(sent.resource)
        assert "T020" in {note.code for note in sent.diagnostics}
        assert SECRET not in "".join(note.text() for note in sent.diagnostics)


def test_a_carried_value_inside_a_copied_element_goes_home_only(tmp_path: Path) -> None:
    """Also where no rule looks, in the depth of what is copied whole, nothing foreign leaves."""
    foreign = carried("hrex/careteam", "dialect", "$this", {"text": SECRET})
    canonical = _team(telecom=[{"value": "1", "extension": [foreign]}])
    sent = _home(tmp_path).to_dialect(canonical, ROAD)
    assert sent.resource == _team(telecom=[{"value": "1"}])


def test_what_looks_like_carried_cannot_be_forged(tmp_path: Path) -> None:
    """A sender cannot write what becomes an element behind the back of a decision."""
    own = _home(tmp_path)
    other = shipped_adapters().get("us-core", "CareTeam")
    assert other is not None
    for whose in ("home/careteam", "us-core/careteam"):
        forged = carried(whose, "dialect", "managingOrganization#unmapped", [{"display": "x"}])
        team = _team(extension=[forged], telecom=[{"value": "1", "extension": [forged]}])
        canonical = own.to_canonical(team, ROAD).resource
        assert canonical is not None
        sent = other.to_dialect(canonical, ROAD).resource
        assert sent is not None
        assert "managingOrganization" not in sent
        assert own.to_dialect(canonical, ROAD).resource == team


def test_a_type_without_mapping_obeys_as_well() -> None:
    """What passes through without a mapping neither spreads nor takes in carried values."""
    forged = carried("us-core/patient", "dialect", "birthDate#unmapped", "1900-01-01")
    patient = {"resourceType": "Patient", "id": "1", "extension": [forged]}
    way = PassThrough("hrex", "Patient")
    canonical = way.to_canonical(patient, ROAD).resource
    assert canonical is not None
    assert canonical["extension"][0]["url"] == SEALED
    assert way.to_dialect(canonical, ROAD).resource == patient
    elsewhere = PassThrough("us-core", "Patient").to_dialect(canonical, ROAD).resource
    assert elsewhere == {"resourceType": "Patient", "id": "1"}


def test_taking_carried_values_out_leaves_the_rest() -> None:
    """Other extensions stay, and what held nothing else goes."""
    mine = {"url": "http://x.example", "valueString": "y"}
    secret = carried("a/b", "dialect", "note", 1)
    tree = {"a": [{"extension": [secret]}, {"extension": [mine, secret]}], "b": {"c": True}}
    tree |= {"_d": [{"extension": [secret]}, {"id": "x"}], "_e": [None, {"extension": [secret]}]}
    left = {"a": [{"extension": [mine]}], "b": {"c": True}, "_d": [None, {"id": "x"}]}
    assert without(tree) == left
    plain = {"b": [1, {"c": None}]}
    assert without(plain) is plain


@pytest.mark.parametrize("url", [CARRIED, SEALED])
def test_what_is_carried_or_sealed_is_told_from_the_text(url: str) -> None:
    """Either makes a text one that may hold something of ours; other extensions do not."""
    assert mentions(dumps({"extension": [{"url": url, "valueString": "x"}]}))
    assert not mentions(dumps({"extension": [{"url": url[:-1], "valueString": "x"}]}))
