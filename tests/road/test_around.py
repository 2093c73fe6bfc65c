"""What stands around the resources of a message: the Bundle, its entries, its MessageHeader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from town import Town, town

from engine.fhir.json import dumps
from engine.intake import Arrival

PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "identifier": [{"system": "http://mercy.example/mrn", "value": "1"}],
    "name": [{"family": "Zed"}],
    "gender": "male",
}
HEADER = {
    "resourceType": "MessageHeader",
    "id": "h1",
    "eventUri": "http://mercy.example/events/plan",
    "source": {"endpoint": "http://mercy.example/fhir"},
}
MODIFIER = {"modifierExtension": [{"url": "http://x.example/not", "valueBoolean": True}]}
RULES = {"implicitRules": "http://x.example/rules"}
REQUEST = {"method": "PUT", "url": "Patient/p1"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Return a town in which nothing has happened."""
    with town(tmp_path_factory.mktemp("around")) as built:
        yield built


def transaction(bundle: Any = None, entry: Any = None, request: Any = None) -> dict[str, Any]:
    one = {"resource": PATIENT, "request": {**REQUEST, **(request or {})}, **(entry or {})}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [one], **(bundle or {})}


def message(**header: Any) -> dict[str, Any]:
    entries = [{"resource": {**HEADER, **header}}, {"resource": PATIENT}]
    return {"resourceType": "Bundle", "type": "message", "entry": entries}


BAD = [
    (transaction(MODIFIER), "Bundle.modifierExtension", "R021"),
    (transaction(RULES), "Bundle.implicitRules", "R021"),
    (transaction(entry=MODIFIER), "Bundle.entry[0].modifierExtension", "R021"),
    (transaction(request=MODIFIER), "Bundle.entry[0].request.modifierExtension", "R021"),
    (transaction(request={"ifMatch": 'W/"1"'}), "Bundle.entry[0].request.ifMatch", "R022"),
    (transaction(request={"ifNoneMatch": "*"}), "Bundle.entry[0].request.ifNoneMatch", "R022"),
    (transaction({"nonsense": 1}), "Bundle.nonsense", "V001"),
    (transaction({"identifier": {"system": []}}), "Bundle.identifier.system", "V003"),
    (message(**MODIFIER), "Bundle.entry[0].resource.modifierExtension", "R021"),
    (message(**RULES), "Bundle.entry[0].resource.implicitRules", "R021"),
    (message(id={"a": 1}), "Bundle.entry[0].resource.id", "V003"),
    (message(source=None), "Bundle.entry[0].resource.source", "V003"),
]


@pytest.mark.parametrize(("bundle", "path", "code"), BAD)
def test_what_is_invalid_or_not_understood_is_refused_whole(
    place: Town, bundle: dict[str, Any], path: str, code: str
) -> None:
    """Nothing around the resources is ignored that could change what they mean or become."""
    answer = place.post("mercy", bundle)
    assert answer.status_code == 422, answer.text
    told = [
        (issue["details"]["coding"][0]["code"], issue["expression"])
        for issue in answer.json()["issue"]
    ]
    assert (code, [path]) in told
    assert place.send("mercy", "GET", "/fhir/Patient/p1").status_code == 404


def test_a_header_that_is_not_first_is_none(place: Town) -> None:
    """Behind an entry that cannot be used, a MessageHeader does not head the message."""
    bundle = message()
    bundle["entry"].insert(0, {"resource": {"resourceType": "Nothing"}})
    answer = place.post("mercy", bundle)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "R015"


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_an_update_on_a_condition_is_refused(place: Town, header: str) -> None:
    """A write that should depend on a version is not done as if it did not."""
    answer = place.send("mercy", "PUT", "/fhir/Patient/p1", PATIENT, {header: 'W/"7"'})
    assert answer.status_code == 412
    assert answer.json()["issue"][0]["expression"] == [header]
    assert place.send("mercy", "GET", "/fhir/Patient/p1").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_a_subscription_is_not_written_on_a_condition_either(place: Town, method: str) -> None:
    """Its version is told as an ETag, but two who write at once are not told apart."""
    body = {"resourceType": "Subscription", "id": "s1"} if method == "PUT" else None
    answer = place.send("mercy", method, "/fhir/Subscription/s1", body, {"If-Match": 'W/"1"'})
    assert answer.status_code == 412


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/fhir/CareTeam?_id=%00"),
        ("GET", "/fhir/Subscription/%00"),
        ("GET", "/fhir/AuditEvent/%00"),
        ("POST", "/fhir/$notify/%00"),
        ("PUT", "/fhir/Patient/%00"),
    ],
)
def test_a_url_with_a_nul_is_refused(place: Town, method: str, path: str) -> None:
    """No database is asked for what it may not be able to be asked for."""
    answer = place.send("mercy", method, path, None if method == "GET" else {})
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "P014"


def test_a_body_with_a_nul_is_refused_however_it_comes(place: Town) -> None:
    """What was looked up or polled goes past the server; PostgreSQL cannot be asked about it."""
    body = dumps({**PATIENT, "identifier": [{"system": "http://mercy.example/mrn", "value": "\0"}]})
    arrival = Arrival("mercy", "create Patient", body)
    assert place.app.state.intake.submit(arrival).result().answer.status == 400


@pytest.mark.parametrize("path", ["/fhir/Patient", "/fhir/Subscription", "/fhir/Consent/$decide"])
def test_a_body_with_a_nul_is_refused(place: Town, path: str) -> None:
    """It is told at once; on PostgreSQL it looked like a database that is away, for ever."""
    name = {**PATIENT, "name": [{"family": "Z\0ed"}]}
    answer = place.send("mercy", "POST", path, name)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "P014"


def test_a_backslash_before_u0000_is_only_text(place: Town) -> None:
    """An escaped backslash begins no escape."""
    told = {**PATIENT, "id": "p2", "name": [{"family": "\\u0000"}]}
    assert place.send("mercy", "POST", "/fhir/Patient", told).status_code == 201


def test_a_compressed_body_is_refused_as_such(place: Town) -> None:
    """Who compresses is told so, not that it is no text."""
    answer = place.send("mercy", "POST", "/fhir", PATIENT, {"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "compressed" in answer.text


def test_an_upgrade_that_nobody_asks_for_here_is_passed_over(place: Town) -> None:
    """Without `Connection: Upgrade`, as behind a proxy, the body was read."""
    for connection in ({}, {"Connection": "keep-alive"}):
        answer = place.send(
            "mercy", "POST", "/fhir/Patient", PATIENT, {"Upgrade": "h2c", **connection}
        )
        assert answer.status_code in (200, 201)


def test_a_request_for_another_protocol_is_told_where_its_body_went(place: Town) -> None:
    """Java's client offers HTTP/2 with every request; the body is not read, not empty."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
    answer = place.send("mercy", "POST", "/fhir/Patient", PATIENT, offer)
    assert answer.status_code == 400
    assert answer.headers["connection"] == "close"
    assert "Upgrade" in answer.json()["issue"][0]["diagnostics"]
    assert "empty" not in answer.text
    assert place.send("mercy", "GET", "/fhir/Patient/p2", None, offer).status_code == 200


CONTAINED = [{"resourceType": "Observation", "nonsense": 1}]


@pytest.mark.parametrize("bundle", [transaction({"id": "b_1"}), message(contained=CONTAINED)])
def test_what_nobody_reads_is_not_judged(place: Town, bundle: dict[str, Any]) -> None:
    """The id of a Bundle is not kept, and all that a header contains may take minutes to judge."""
    assert place.post("mercy", bundle).status_code == 200


def test_a_long_identifier_of_a_bundle_is_a_key_like_any_other(place: Town) -> None:
    """It is kept by its digest: no index of PostgreSQL holds it, so it was answered with 503."""
    bundle = transaction({"identifier": {"system": "http://mercy.example/b", "value": "7" * 9000}})
    first = place.post("mercy", bundle)
    again = place.post("mercy", bundle)
    assert again.headers["X-Message-Id"] == first.headers["X-Message-Id"]
    other = transaction({"identifier": bundle["identifier"], "language": "en"})
    assert place.post("mercy", other).status_code == 409
    kept = place.store.read(lambda tx: tx.messages.get(first.headers["X-Message-Id"]))
    assert kept is not None
    assert len(kept.key or "") < 100
