"""Systems subscribe under their own names, to what is offered, at places config knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lane import SECRET, Lane, codes, lane, subscription

from engine.subscriptions.asked import MASK
from engine.subscriptions.topics import HREX_TASK, TOPICS, as_markdown


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Lane]:
    """Return the valley whose systems may subscribe."""
    with lane(tmp_path) as built:
        yield built


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"criteria": "Task?status=completed"}, "S001"),
        ({"filters": ["Task?colour=red"]}, "S002"),
        ({"filters": ["Patient?status=x"]}, "S002"),
        ({"filters": ["Task?status:not=draft"]}, "S002"),
        ({"filters": ["Task?"]}, "S002"),
        ({"filters": ["Task?status="]}, "S002"),
        ({"content": "everything"}, "S004"),
        ({"content": "full-resource", "endpoint": "http://hub.example/hooks/x"}, "S003"),
        ({"header": ["Host: internal"]}, "S005"),
        ({"header": ["X: a\r\nY: b"]}, "S005"),
        ({"header": [f"X: {MASK}"]}, "S005"),
        ({"header": ["no colon"]}, "S005"),
        ({"status": "error"}, "S006"),
        ({"status": "off"}, "S006"),
        ({"end": "2020-01-01T00:00:00Z"}, "S006"),
        ({"heartbeat": 1}, "S008"),
        ({"heartbeat": "often"}, None),
        ({"timeout": 0}, "S008"),
        ({"modifierExtension": [{"url": "http://x.example/not"}]}, None),
        ({"implicitRules": "http://x.example/not"}, "S009"),
        ({"status": "bogus"}, None),
        ({"reason": None}, None),
        ({"channel": {"type": "email", "endpoint": "mailto:x@hub.example"}}, "S004"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    place: Lane, changes: dict[str, Any], code: str | None
) -> None:
    """What is not understood or not offered is refused with a code, never ignored."""
    resource = {
        name: value for name, value in subscription("hub", **changes).items() if value is not None
    }
    response = place.post("hub", resource)
    assert response.status_code == 422, response.text
    found = codes(response)
    assert code is None or code in found
    assert place.send("hub", "GET", "/fhir/Subscription").json()["total"] == 0


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://mercy.example/hooks/x",
        "https://hub.example/other",
        "https://hub.example/hooksmore",
        "https://hub.example/hooks/../admin",
        "https://hub.example/hooks/%2e%2e/admin",
        "https://hub.example/hooks/./x",
        "https://hub.example//hooks/x",
        "http://hub.example/hooks/x",
        "https://hub.example:8443/hooks/x",
        "https://hub.example@127.0.0.1/hooks/x",
        "https://user:secret@hub.example/hooks/x",
        "https://hub.example.evil.example/hooks/x",
        "https://hub.example\\@evil.example/hooks/x",
        "https://hub.example/hooks/x#fragment",
        "https://hub.example /hooks/x",
        "file:///etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "//hub.example/hooks/x",
        "hub.example/hooks",
        "https://[::1]/hooks/x",
        "https://hub.example:notaport/hooks",
        "https://" + "a" * 3000,
    ],
)
def test_notifications_go_only_to_configured_places(place: Lane, endpoint: str) -> None:
    """An endpoint outside of the system's `hooks` is refused, however it is written."""
    response = place.post("hub", subscription("hub", endpoint=endpoint))
    assert response.status_code == 422
    assert {"S003"} & set(codes(response)) or response.status_code == 422
    place.deliver()
    assert place.calls == []


def test_a_system_without_hooks_cannot_subscribe(tmp_path: Path) -> None:
    """Where config names no place to notify a system at, it may not subscribe."""
    with lane(tmp_path, clinic={"hooks": "[]"}) as place:
        response = place.post("clinic", subscription("clinic"))
        assert (response.status_code, codes(response)) == (403, ["S010"])


def test_strangers_are_refused(place: Lane) -> None:
    """Without a known token nobody subscribes or looks at subscriptions."""
    id = place.subscribe("hub")
    for method, path in (
        ("POST", "/fhir/Subscription"),
        ("GET", "/fhir/Subscription"),
        ("GET", f"/fhir/Subscription/{id}"),
        ("PUT", f"/fhir/Subscription/{id}"),
        ("DELETE", f"/fhir/Subscription/{id}"),
        ("GET", f"/fhir/Subscription/{id}/$events"),
        ("GET", "/fhir/Subscription/$status"),
    ):
        response = place.send("", method, path, subscription("hub"))
        assert (response.status_code, codes(response)) == (401, ["R001"])


def test_each_system_sees_its_own_only(place: Lane) -> None:
    """Another system's subscription looks like none, whatever is asked of it."""
    id = place.subscribe("hub")
    body = {**subscription("mercy"), "id": id}
    for method, path, sent in (
        ("GET", f"/fhir/Subscription/{id}", None),
        ("PUT", f"/fhir/Subscription/{id}", body),
        ("DELETE", f"/fhir/Subscription/{id}", None),
        ("GET", f"/fhir/Subscription/{id}/$status", None),
        ("GET", f"/fhir/Subscription/{id}/$events", None),
        ("GET", "/fhir/Subscription/none", None),
    ):
        response = place.send("mercy", method, path, sent)
        assert (response.status_code, codes(response)) == (404, ["R006"])
    assert place.send("mercy", "GET", "/fhir/Subscription").json()["total"] == 0
    assert place.send("mercy", "GET", "/fhir/Subscription/$status").json()["total"] == 0
    for query, count in (("", 1), ("?status=requested", 1), ("?status=active", 0),
                         (f"?_id={id}", 1), ("?url=https://hub.example/hooks/tasks", 1),
                         ("?url=https://hub.example", 0), (f"?topic={HREX_TASK}", 1)):  # fmt: skip
        assert place.send("hub", "GET", f"/fhir/Subscription{query}").json()["total"] == count
    strict = {"Prefer": "handling=strict"}
    assert place.send("hub", "GET", "/fhir/Subscription?x=1", None, strict).status_code == 400


def test_secrets_are_not_read_back(place: Lane, capsys: pytest.CaptureFixture[str]) -> None:
    """The value of a header is in no answer, no record of the ledger and no log; a masked value
    that is sent back keeps it."""
    id = place.active("hub")
    read = place.send("hub", "GET", f"/fhir/Subscription/{id}")
    assert read.json()["channel"]["header"] == [f"Authorization: {MASK}"]
    changed = place.send("hub", "PUT", f"/fhir/Subscription/{id}", {
        **read.json(), "status": "requested", "reason": "another",
    })  # fmt: skip
    assert changed.status_code == 200
    place.deliver()
    assert [call.headers["authorization"] for call in place.calls] == [SECRET]
    bad = place.post("hub", subscription("hub", header=[f"Host: {SECRET}"]))
    told = [read.text, changed.text, bad.text, capsys.readouterr().out, capsys.readouterr().err]
    told += [one.body for one in place.store.read(lambda tx: list(tx.audit.records()))]
    rows = place.store.read(lambda tx: tx.deliveries.search(destination="notify:hub"))
    told += [repr(row) for row in rows]
    messages = place.store.read(lambda tx: [tx.messages.get(row.message_id) for row in rows])
    told += [repr(one) for one in messages]
    told += [repr(place.store.read(lambda tx: tx.subscriptions.get(id)))]
    assert "dont-tell-anybody" not in " ".join(told)


def test_the_same_submission_makes_one_subscription(place: Lane) -> None:
    """A repeated POST gets the first answer; after a DELETE the same body is a new one."""
    first = place.post("hub", subscription("hub"))
    again = place.post("hub", subscription("hub"))
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert first.headers["location"].endswith(f"/fhir/Subscription/{first.json()['id']}")
    gone = place.send("hub", "DELETE", f"/fhir/Subscription/{first.json()['id']}")
    assert gone.status_code == 204
    assert place.post("hub", subscription("hub")).json()["id"] != first.json()["id"]


def test_an_idempotency_key_names_one_submission(place: Lane) -> None:
    """The same key with the same body repeats, with another body it is refused."""
    key = {"Idempotency-Key": "k1"}
    first = place.send("hub", "POST", "/fhir/Subscription", subscription("hub"), key)
    again = place.send("hub", "POST", "/fhir/Subscription", subscription("hub"), key)
    assert again.json() == first.json()
    other = place.send(
        "hub", "POST", "/fhir/Subscription", subscription("hub", reason="other"), key
    )
    assert (other.status_code, codes(other)) == (409, ["R005"])


def test_there_are_only_so_many(place: Lane) -> None:
    """A system cannot have more subscriptions than `limits.subscriptions`."""
    most = place.project.config.limits.subscriptions
    for number in range(most):
        place.subscribe("hub", subscription("hub", reason=f"number {number}"))
    response = place.post("hub", subscription("hub", reason="one more"))
    assert (response.status_code, codes(response)) == (422, ["S007"])


def test_the_capability_statement_lists_topics(place: Lane) -> None:
    """GET /metadata tells of subscriptions, their operations and every topic."""
    found = place.send("", "GET", "/fhir/metadata").json()
    paths = [one.path for one in place.project.validate(found)]
    assert paths in ([], ["CapabilityStatement.format[0]"])  # a mime type is right there
    (entry,) = [one for one in found["rest"][0]["resource"] if one["type"] == "Subscription"]
    assert {one["valueCanonical"] for one in entry["extension"]} == set(TOPICS)
    assert [one["name"] for one in entry["operation"]] == ["status", "events"]


def test_docs_show_the_topics(repository: Path) -> None:
    """docs/subscriptions.md has the table of topics as it is."""
    assert as_markdown() in (repository / "docs/subscriptions.md").read_text()
