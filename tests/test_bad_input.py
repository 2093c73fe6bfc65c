"""Bad input over HTTP: the right status, an OperationOutcome, and nothing stored by half."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from town import Town, town

from engine.store import tables

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "http://mercy.example/mrn", "value": "SECRET-1"}],
    "name": [{"family": "SECRET-2"}],
}
TEAM = {"resourceType": "CareTeam", "id": "t1", "status": "active"}
READING = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
TWICE = b'{"resourceType":"Bundle","type":"batch","type":"batch"}'
RECORDS = ("unit", "resource", "history", "entity", "link", "decision", "delivery", "lane")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Return one town for all of these tests: none of them may leave anything behind."""
    with town(tmp_path_factory.mktemp("bad")) as built:
        yield built


def stored(place: Town) -> dict[str, int]:
    """Return how many rows stand in each table that a taken-in resource leaves a mark in."""
    counted = {name: select(func.count()).select_from(getattr(tables, name)) for name in RECORDS}
    return place.store.read(
        lambda tx: {name: tx.execute(query).scalar_one() for name, query in counted.items()}
    )


def bundle(*resources: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    entries = [
        {
            "resource": each,
            "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"},
        }
        for each in resources
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def nested(levels: int) -> bytes:
    inner = '{"url":"u","extension":[' * levels + "]}" * levels
    return f'{{"resourceType":"Patient","extension":[{inner}]}}'.encode()


def big(size: int) -> bytes:
    return b'{"resourceType":"Patient","name":[{"family":"' + b"x" * size + b'"}]}'


def cyclic() -> dict[str, Any]:
    contained = [
        {"resourceType": "Organization", "id": "a", "partOf": {"reference": "#b"}, "name": "A"},
        {"resourceType": "Organization", "id": "b", "partOf": {"reference": "#a"}, "name": "B"},
    ]
    return {**PATIENT, "contained": contained, "managingOrganization": {"reference": "#a"}}


def many(count: int) -> dict[str, Any]:
    return bundle(*({**TEAM, "id": f"t{index}"} for index in range(count)))


BAD = [
    pytest.param("/fhir", b"", 400, id="empty body"),
    pytest.param("/fhir", b"   \n", 400, id="only spaces"),
    pytest.param("/fhir", b"Dear colleagues", 400, id="not JSON"),
    pytest.param("/fhir", b'{"resourceType": "Bundle", "type": ', 400, id="cut off"),
    pytest.param("/fhir", TWICE, 400, id="key twice"),
    pytest.param("/fhir", b'{"resourceType":"Bundle","a":"\xff"}', 400, id="not UTF-8"),
    pytest.param("/fhir", [PATIENT], 400, id="JSON array"),
    pytest.param("/fhir", b"null", 400, id="null"),
    pytest.param("/fhir", {"type": "transaction"}, 422, id="no resourceType"),
    pytest.param("/fhir/Patient", {**PATIENT, "resourceType": "Pateint"}, 422, id="unknown type"),
    pytest.param("/fhir/CareTeam", PATIENT, 422, id="another type than the path"),
    pytest.param("/fhir", PATIENT, 422, id="no Bundle where one belongs"),
    pytest.param("/fhir", {"resourceType": "Bundle", "type": "document"}, 422, id="Bundle type"),
    pytest.param("/fhir", many(5_000), 413, id="5,000 entries"),
    pytest.param("/fhir/Patient", {**PATIENT, "id": "x" * 65}, 422, id="id of 65 characters"),
    pytest.param("/fhir/Patient", cyclic(), 422, id="cyclic contained reference"),
    pytest.param("/fhir/Patient", nested(200), 400, id="nested 200 deep"),
    pytest.param("/fhir/Patient", nested(100_000), 400, id="nested 100,000 deep"),
    pytest.param("/fhir/Patient", big(10_485_760), 413, id="over the limit"),
    pytest.param("/fhir/Observation", READING, 422, id="type not routed"),
    pytest.param("/fhir/Patient", {**PATIENT, "gender": "bogus"}, 422, id="no such code"),
    pytest.param("/fhir/Patient", {**PATIENT, "birthDate": "2026-02-30"}, 422, id="no such day"),
    pytest.param("/fhir/Patient", {**PATIENT, "nmae": []}, 422, id="unknown element"),
    pytest.param("/fhir/CareTeam", {**TEAM, "participant": "x"}, 422, id="text for a list"),
    pytest.param("/fhir/CareTeam", {**TEAM, "contained": [{"resourceType": {}}]}, 422, id="none"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status"), BAD)
def test_bad_input_is_refused_whole(place: Town, path: str, body: Any, status: int) -> None:
    """Each gets its status and an OperationOutcome that says why, and no record of a resource."""
    before = stored(place)
    answer = place.send("mercy", "POST", path, body)
    assert answer.status_code == status, answer.text[:500]
    refused(answer)
    after = stored(place)
    rejected = after.pop("unit") - before.pop("unit")
    assert after == before
    assert rejected in (0, 1)


def refused(answer: httpx.Response) -> None:
    """Check that an answer is an OperationOutcome that explains, and tells nobody's data."""
    assert answer.headers["content-type"].startswith("application/fhir+json")
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    for issue in outcome["issue"]:
        assert issue["severity"] == "error"
        assert issue["code"]
        assert issue["details"]["coding"][0]["code"]
        assert issue["diagnostics"]
    for told in ("SECRET", "Traceback", 'File "', "Dear colleagues"):
        assert told not in answer.text


def test_xml_is_not_read(place: Town) -> None:
    """An XML body gets 415 before anybody looks at it."""
    xml = {"Content-Type": "application/fhir+xml"}
    answer = place.send("mercy", "POST", "/fhir", b"<Bundle/>", xml)
    assert answer.status_code == 415
    refused(answer)


@pytest.mark.parametrize("sender", ["", "guess", "x" * 10_000])
def test_an_unknown_sender_is_turned_away(place: Town, sender: str) -> None:
    """Without a known token nothing is read, whatever is sent; 401 says how to authenticate."""
    before = stored(place)
    answer = place.send(sender, "POST", "/fhir/Patient", PATIENT)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    refused(answer)
    assert stored(place) == before


def test_a_route_that_does_not_exist_says_so_in_fhir(place: Town) -> None:
    """Unknown paths, types and methods answer with an OperationOutcome as well."""
    for method, path, status in (
        ("POST", "/fhir/NoSuchType", 404),
        ("GET", "/fhir/Patient/unknown", 404),
        ("GET", "/fhir/NoSuchType/1", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/fhir/Patient/1", 405),
    ):
        answer = place.send("mercy", method, path, PATIENT if method == "POST" else None)
        assert answer.status_code == status, (method, path)
        refused(answer)


def test_a_type_that_is_not_routed_says_why(place: Town) -> None:
    """The refusal of an unrouted type names the reason, not just a status."""
    answer = place.send("mercy", "POST", "/fhir/Observation", READING)
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "R002"


SPOILT: list[tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = [
    ("an invalid entry", lambda good: {**good, "gender": "bogus"}),
    ("an id that is too long", lambda good: {**good, "id": "x" * 65}),
    ("an unrouted type", lambda good: {"resourceType": "Basic", "id": "b", "code": {"text": "x"}}),
]


@pytest.mark.parametrize(("name", "spoil"), SPOILT, ids=[name for name, _ in SPOILT])
def test_a_transaction_with_one_bad_entry_is_refused_whole(
    place: Town, name: str, spoil: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """The good entries of a transaction are not taken in when one is bad."""
    before = stored(place)
    good = {"resourceType": "Patient", "id": "good"}
    answer = place.send("mercy", "POST", "/fhir", bundle(good, spoil(good)))
    assert answer.status_code == 422
    refused(answer)
    after = stored(place)
    for counts in (before, after):
        counts.pop("unit")
    assert after == before


def test_a_batch_with_one_bad_entry_keeps_the_good_ones(tmp_path: Path) -> None:
    """Each entry of a batch stands for itself: 201 beside 422, in the order of the entries."""
    with town(tmp_path) as place:
        bad = {**PATIENT, "id": "bad", "gender": "bogus"}
        answer = place.send("mercy", "POST", "/fhir", bundle(PATIENT, bad, kind="batch"))
        assert answer.status_code == 200
        statuses = [entry["response"]["status"][:3] for entry in answer.json()["entry"]]
        assert statuses == ["201", "422"]
        assert stored(place)["resource"] == 1


def test_a_body_is_cut_off_at_the_limit_while_it_arrives(tmp_path: Path) -> None:
    """A limit in config holds for a body without a declared length, too."""
    text = json.dumps(PATIENT).encode() + b" " * 4_000
    with town(tmp_path) as place:
        answer = place.send(
            "mercy", "POST", "/fhir/Patient", text * 4_000, {"Transfer-Encoding": "chunked"}
        )
    assert answer.status_code == 413
    refused(answer)


@pytest.mark.parametrize("path", ["/fhir", "/fhir/Subscription"])
def test_who_goes_away_in_the_middle_is_no_failure_of_the_engine(
    place: Town, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A connection that ends before the body does leaves no error in the log."""
    parts = iter(({"type": "http.request", "body": b"{", "more_body": True},))
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer mercy-secret"), (b"host", b"engine")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": headers, "scheme": "http", "http_version": "1.1",
             "server": ("engine", 80), "client": ("x", 1)}  # fmt: skip
    asyncio.run(place.app(scope, receive, send))
    assert sent[0]["status"] == 400
    assert "request.failed" not in "".join(capsys.readouterr())
