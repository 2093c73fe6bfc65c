"""The consent registry: every version kept, merged names followed, revocations never late."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from town import Town, town_after

from engine.samples.bundles import sample
from engine.transform.crosswalk import Key

UNKNOWN = {"reference": "Practitioner/nobody-has-sent-this"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town that knows the sample people and their signed consent."""
    with town_after(tmp_path, "01-who-is-who", "04-signed-consent") as built:
        yield built


def release(**changes: Any) -> dict[str, Any]:
    """Return the sample release of information, changed."""
    bundle: dict[str, Any] = json.loads(sample("04-signed-consent"))
    return {**bundle["entry"][0]["resource"], **changes}


def outreach(number: int = 1) -> dict[str, Any]:
    """Return the sample outreach under another id."""
    base: dict[str, Any] = json.loads(sample("05-outreach"))
    base["identifier"][0]["value"] = base["id"] = f"outreach-{number}"
    return base


def code(response: httpx.Response) -> str:
    return str(response.json()["issue"][0]["details"]["coding"][0]["code"])


def withheld(place: Town) -> list[str | None]:
    rows = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    return [row.reason for row in rows]


def test_every_version_is_kept(place: Town) -> None:
    """A decision can be explained by the version it rested on, long after it was replaced."""
    place.post("mercy", release(status="inactive"))
    rows = place.store.read(
        lambda tx: [
            version
            for row in tx.resources.of_type("Consent")
            for version in tx.resources.versions("Consent", row.id)
        ]
    )
    assert [json.loads(row.body)["status"] for row in rows] == ["active", "inactive"]


def test_a_revocation_counts_for_the_very_next_decision(place: Town) -> None:
    """What is sent right after the revocation is refused; what waits is withheld."""
    assert place.post("mercy", outreach(1)).status_code == 201
    assert place.post("mercy", release(status="inactive")).status_code == 201
    refused = place.post("mercy", outreach(2))
    assert (refused.status_code, code(refused)) == (403, "consent-revoked")
    assert "Communication" not in [one.resource["resourceType"] for one in place.deliver()]
    assert withheld(place) == ["consent-withdrawn"]


@pytest.mark.parametrize("status", ["inactive", "rejected", "entered-in-error"])
def test_a_held_revocation_counts_at_once(place: Town, status: str) -> None:
    """A revocation whose witness nobody knows is held, and nothing leaves meanwhile."""
    place.post("mercy", outreach(1))
    held = place.post("mercy", release(status=status, performer=[UNKNOWN]))
    assert held.status_code == 202, held.text
    assert place.post("mercy", outreach(2)).status_code == 403
    assert "Communication" not in [one.resource["resourceType"] for one in place.deliver()]
    assert withheld(place) == ["consent-withdrawn"]


def test_a_held_revocation_is_explained_by_the_ledger(place: Town) -> None:
    """The ledger says which version of the consent was suspended, for which held unit."""
    place.post("mercy", release(status="inactive", performer=[UNKNOWN]))
    units = place.store.read(lambda tx: tx.units.held())
    records = place.store.read(lambda tx: tx.audit.of_message(units[0].message_id))
    (record,) = [one for one in records if one.kind == "consent.suspended"]
    assert record.unit_id == units[0].id
    assert json.loads(record.body)["consent"].endswith("/_history/2")


def test_a_held_revocation_goes_on_once_it_is_understood(place: Town) -> None:
    """Its own suspension is no later version that overtakes it."""
    place.post("mercy", release(status="inactive", performer=[UNKNOWN]))
    nobody = {
        "resourceType": "Practitioner",
        "id": "nobody-has-sent-this",
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
        "name": [{"family": "Known"}],
    }
    assert place.post("mercy", nobody).status_code == 201
    assert place.store.read(lambda tx: tx.units.held()) == []
    arrived = [one.resource for one in place.deliver()]
    assert [one["status"] for one in arrived if one["resourceType"] == "Consent"] == ["inactive"]
    (row,) = place.store.read(lambda tx: tx.resources.of_type("Consent"))
    assert "modifierExtension" not in json.loads(row.body)


def test_a_held_change_of_a_consent_permits_nothing_until_it_is_read(place: Town) -> None:
    """A newer form is there and not understood yet: the older one must not be relied on."""
    changed = release(performer=[UNKNOWN])
    assert place.post("mercy", changed).status_code == 202
    refused = place.post("mercy", outreach())
    assert (refused.status_code, code(refused)) == (403, "consent-unclear")


def test_a_held_new_consent_denies_at_once(place: Town) -> None:
    """A deny whose signer is not known yet holds beside the permit on record."""
    deny = release(id="stop", identifier=[{"system": "http://mercy.example/consent", "value": "2"}])
    deny["provision"] = {"type": "deny"}
    deny["performer"] = [UNKNOWN]
    assert place.post("mercy", deny).status_code == 202
    refused = place.post("mercy", outreach())
    assert (refused.status_code, code(refused)) == (403, "consent-denied")


def test_a_revocation_of_an_unknown_patient_reference_suspends_what_is_on_record(
    place: Town,
) -> None:
    """The consent is known by its own id, even where the patient in it is not."""
    lost = release(status="inactive", patient={"reference": "Patient/other-name"})
    assert place.post("mercy", lost).status_code == 202
    refused = place.post("mercy", outreach())
    assert (refused.status_code, code(refused)) == (403, "consent-revoked")


def test_a_revocation_counts_beside_bad_entries_of_its_batch(place: Town) -> None:
    """In a batch each entry stands for itself: a broken neighbour saves no consent."""
    broken = {"resourceType": "CarePlan", "status": "nonsense"}
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [
            {"resource": broken, "request": {"method": "POST", "url": "CarePlan"}},
            {
                "resource": release(status="inactive", performer=[UNKNOWN]),
                "request": {"method": "PUT", "url": "Consent/release"},
            },
            {
                "resource": outreach(),
                "request": {"method": "PUT", "url": "Communication/outreach-1"},
            },
        ],
    }
    told = place.post("mercy", bundle).json()
    assert [entry["response"]["status"][:3] for entry in told["entry"]] == ["422", "202", "403"]


def test_a_later_message_overtakes_what_was_held(place: Town) -> None:
    """The held revocation is not run over a consent that was signed anew after it."""
    place.post("mercy", release(status="inactive", performer=[UNKNOWN]))
    place.clock.advance(1)
    assert place.post("mercy", release(dateTime="2025-09-02T08:59:00-05:00")).status_code == 201
    nobody = {"resourceType": "Practitioner", "id": "nobody-has-sent-this", "name": [{"text": "K"}]}
    place.post("mercy", nobody)
    assert place.post("mercy", outreach()).status_code == 201
    (row,) = place.store.read(lambda tx: tx.resources.of_type("Consent"))
    assert json.loads(row.body)["status"] == "active"


def test_a_sender_cannot_name_a_version_for_the_cache(place: Town) -> None:
    """A version id that a sender writes into a Consent never stands for one of the registry."""
    batch = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "resource": release(meta={"versionId": "2"}),
                "request": {"method": "PUT", "url": "Consent/release"},
            },
            {
                "resource": outreach(7),
                "request": {"method": "PUT", "url": "Communication/outreach-7"},
            },
            {
                "resource": {"resourceType": "CarePlan", "status": "nonsense"},
                "request": {"method": "POST", "url": "CarePlan"},
            },
        ],
    }
    assert place.post("mercy", batch).status_code == 422
    assert place.post("mercy", release(status="inactive")).status_code == 201
    refused = place.post("mercy", outreach())
    assert (refused.status_code, code(refused)) == (403, "consent-revoked")


def entity_of(place: Town, local: str) -> str:
    key = Key("mercy", "reference", local)
    return place.store.read(lambda tx: tx.crosswalk.resolve([key]))[key]


def merge(place: Town, stays: str, goes: str) -> None:
    place.store.write(lambda tx: tx.crosswalk.merge(stays, goes)).result()


def newcomer(place: Town, type_name: str, id: str, **more: Any) -> str:
    """Let the hospital send one more record of somebody; return its canonical id."""
    resource = {"resourceType": type_name, "id": id, **more}
    assert place.post("mercy", resource).status_code == 201
    return entity_of(place, f"{type_name}/{id}")


@pytest.mark.parametrize("first_stays", [True, False])
def test_a_consent_of_a_merged_record_counts_for_the_member(place: Town, first_stays: bool) -> None:
    """Consents are found under every id that a member ever had, whichever record stayed."""
    other = newcomer(
        place,
        "Patient",
        "old",
        identifier=[{"system": "http://mercy.example/mrn", "value": "OLD-1"}],
        name=[{"family": "Lindqvist"}],
    )
    avery = entity_of(place, "Patient/avery")
    merge(place, *((avery, other) if first_stays else (other, avery)))
    about = {**outreach(), "subject": {"reference": "Patient/old"}}
    assert place.post("mercy", about).status_code == 201
    place.post("mercy", release(status="inactive", patient={"reference": "Patient/old"}))
    refused = place.post("mercy", outreach(2))
    assert (refused.status_code, code(refused)) == (403, "consent-revoked")
    assert "Communication" not in [one.resource["resourceType"] for one in place.deliver()]


def test_a_deny_of_an_organization_holds_after_its_records_were_merged(place: Town) -> None:
    """A recipient cannot slip through under the other of its two ids."""
    twin = newcomer(place, "Organization", "twin", name="Prairie")
    deny = release(id="stop", identifier=[{"system": "http://mercy.example/consent", "value": "2"}])
    actor = {**deny["provision"]["actor"][1], "reference": {"reference": "Organization/twin"}}
    deny["provision"] = {"type": "deny", "actor": [actor]}
    assert place.post("mercy", deny).status_code == 201
    assert place.post("mercy", outreach(1)).status_code == 201
    merge(place, entity_of(place, "Organization/org-prairie"), twin)
    refused = place.post("mercy", outreach(2))
    assert (refused.status_code, code(refused)) == (403, "consent-denied")
    place.deliver()
    assert "consent-withdrawn" in withheld(place)


def test_what_waits_is_sent_under_the_id_that_stayed(place: Town) -> None:
    """A merger between acceptance and sending changes names, not what is permitted."""
    twin = newcomer(place, "Organization", "twin", name="Prairie")
    place.deliver()
    place.arrived.clear()
    assert place.post("mercy", outreach()).status_code == 201
    merge(place, twin, entity_of(place, "Organization/org-prairie"))
    assert [one.resource["resourceType"] for one in place.deliver()] == ["Communication"]
