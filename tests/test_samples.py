"""The samples: systems that answer as real ones do, and Bundles that are what they claim."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fhir.resources.R4B import get_fhir_model_class

from engine.samples.bundles import names, sample
from engine.samples.endpoint import endpoint
from engine.samples.running import running
from engine.samples.system import Outage, SampleSystem

TEAM = {
    "resourceType": "CareTeam",
    "id": "7",
    "identifier": [{"system": "http://a.example/team", "value": "T,7"}],
    "status": "active",
}


@pytest.fixture
def system() -> SampleSystem:
    """Return an empty sample system."""
    return SampleSystem("hub", "A sample hub", "secret")


@pytest.fixture
def client(system: SampleSystem) -> Iterator[httpx.Client]:
    """Return a client that the sample system knows, over real HTTP."""
    with running(endpoint(system)) as url:
        headers = {"Authorization": "Bearer secret", "Content-Type": "application/fhir+json"}
        with httpx.Client(base_url=f"{url}/fhir", headers=headers) as known:
            yield known


def issue(response: httpx.Response) -> str:
    """Return the issue code of the OperationOutcome that a failure must be."""
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    code: str = body["issue"][0]["code"]
    return code


def test_an_update_creates_then_replaces(client: httpx.Client, system: SampleSystem) -> None:
    """PUT answers 201 with a Location the first time and 200 with the next ETag after."""
    first = client.put("/CareTeam/7", json=TEAM)
    again = client.put("/CareTeam/7", json=TEAM | {"name": "Team"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["location"].endswith("/fhir/CareTeam/7/_history/1")
    assert again.headers["etag"] == 'W/"2"'
    assert client.get("/CareTeam/7").json()["name"] == "Team"
    assert [one.status for one in system.attempts("CareTeam")] == [201, 200]


def test_minimal_answers_have_no_body(client: httpx.Client) -> None:
    """`Prefer: return=minimal` is honoured."""
    answer = client.put("/CareTeam/7", json=TEAM, headers={"Prefer": "return=minimal"})
    assert (answer.status_code, answer.content) == (201, b"")


def test_a_conditional_create_makes_no_second_copy(client: httpx.Client) -> None:
    """POST with If-None-Exist answers the one that is there, also with escaped characters."""
    condition = {"If-None-Exist": "identifier=http://a.example/team|T%2C7"}
    first = client.post("/CareTeam", json=TEAM, headers=condition)
    again = client.post("/CareTeam", json=TEAM, headers=condition)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert client.get("/CareTeam?identifier=http://a.example/team|T,7").json()["total"] == 1


def test_a_transaction_is_taken_whole(client: httpx.Client, system: SampleSystem) -> None:
    """A Bundle with one bad entry stores nothing."""
    good = {"resource": TEAM, "request": {"method": "PUT", "url": "CareTeam/7"}}
    bad = {"resource": TEAM, "request": {"method": "PUT", "url": "CarePlan/7"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [good, bad]}
    assert client.post("/", json=bundle).status_code == 400
    assert system.holding("CareTeam") == []
    answer = client.post("/", json=bundle | {"entry": [good]})
    assert answer.json()["entry"][0]["response"]["status"] == "201"


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "code"),
    [
        ("PUT", "/CareTeam/8", TEAM, 400, "value"),
        ("PUT", "/CarePlan/7", TEAM, 400, "invalid"),
        ("PUT", "/CareTeam/7", TEAM | {"participant": "x"}, 422, "invalid"),
        ("PUT", "/Nothing/7", {"resourceType": "Nothing", "id": "7"}, 404, "not-supported"),
        ("POST", "/CareTeam", [], 400, "structure"),
        ("GET", "/CareTeam/9", None, 404, "not-found"),
    ],
)
def test_a_bad_request_gets_an_operation_outcome(
    client: httpx.Client, method: str, url: str, body: Any, status: int, code: str
) -> None:
    """What is wrong is refused with the status and issue code of a FHIR server."""
    answer = client.request(method, url, json=body)
    assert (answer.status_code, issue(answer)) == (status, code)


def test_a_stranger_is_not_let_in(client: httpx.Client, system: SampleSystem) -> None:
    """Without the token nothing is read or written; only the capability statement is open."""
    stranger = {"Authorization": "Bearer guess"}
    assert client.get("/CareTeam/7", headers=stranger).status_code == 401
    refused = client.put("/CareTeam/7", json=TEAM, headers=stranger)
    assert issue(refused) == "login"
    assert system.attempts() == []
    assert client.get("/metadata", headers=stranger).json()["fhirVersion"] == "4.0.1"


def test_an_outage_ends_after_its_last_failure(client: httpx.Client, system: SampleSystem) -> None:
    """A scripted 503 carries Retry-After, concerns its type only, and passes."""
    system.fail(Outage(times=2, type="CareTeam", retry_after=3))
    statuses = [client.put("/CareTeam/7", json=TEAM).status_code for _ in range(3)]
    assert statuses == [503, 503, 201]
    system.fail(Outage(times=1, retry_after=3))
    down = client.put("/CareTeam/7", json=TEAM)
    assert (down.headers["retry-after"], issue(down)) == ("3", "transient")


def test_a_token_is_never_recorded(client: httpx.Client, system: SampleSystem) -> None:
    """What the play looks at holds the idempotency key, and no credential."""
    client.put("/CareTeam/7", json=TEAM, headers={"Idempotency-Key": "k1"})
    (arrival,) = system.attempts()
    assert arrival.headers["idempotency-key"] == "k1"
    assert "authorization" not in arrival.headers
    assert "secret" not in repr(system)


def resources(name: str) -> list[dict[str, Any]]:
    """Return the resources of a sample: the entries of a Bundle, or the one it is."""
    body = json.loads(sample(name))
    if body["resourceType"] != "Bundle":
        return [body]
    return [entry["resource"] for entry in body["entry"]]


@pytest.mark.parametrize("name", names())
def test_every_sample_is_valid(name: str) -> None:
    """The authority on structure accepts each sample and each of its entries."""
    for resource in [json.loads(sample(name)), *resources(name)]:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


def test_an_unknown_sample_is_a_key_error() -> None:
    """A name is never taken as a path."""
    with pytest.raises(KeyError):
        sample("../system")
