"""A delivery becomes exactly the request that its destination understands."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from engine.deliver.destination import Destination
from engine.deliver.request import Parcel, Request, build
from engine.diagnostics import Diagnostic

TEAM = (
    b'{"resourceType":"CareTeam","id":"t-1","identifier":'
    b'[{"value":"no system"},{"system":"http://plan.example/team","value":"A|1,$"}],'
    b'"note":[{"text":"dose 72.50"}]}'
)
HUB = Destination("hub", "https://hub.example/fhir/", bearer="secret-token")


def built(destination: Destination, resource: bytes = TEAM) -> Request:
    """Return the request, which must be there."""
    request = build(destination, Parcel(resource, "key-1", "delivery-1", "message-1"))
    assert isinstance(request, Request)
    return request


def test_update_puts_by_id() -> None:
    """`update` writes to [base]/[type]/[id] with the very bytes of the resource."""
    request = built(HUB)
    assert (request.method, request.url) == ("PUT", "https://hub.example/fhir/CareTeam/t-1")
    assert request.content is TEAM


def test_headers_name_key_and_trace() -> None:
    """Each request carries FHIR's media type, its stable key, its ids and the bearer token."""
    headers = built(HUB).headers
    assert headers["Content-Type"] == "application/fhir+json"
    assert headers["Idempotency-Key"] == "key-1"
    assert headers["X-Request-Id"] == "delivery-1"
    assert headers["X-Correlation-Id"] == "message-1"
    assert headers["Authorization"] == "Bearer secret-token"
    assert "If-None-Exist" not in headers


def revised(resource: bytes = TEAM, *, entity: str = "t-1", conditional: bool = True) -> Request:
    """Return the request for the second version of a resource at a system that creates."""
    system = replace(HUB, interaction="create", conditional=conditional)
    request = build(system, Parcel(resource, "key-1", "d-1", "m-1", entity, 2))
    assert isinstance(request, Request)
    assert "If-None-Exist" not in request.headers
    return request


def test_a_later_version_is_no_create_that_would_be_passed_over() -> None:
    """A condition would leave the first version as it was: the second one changes it."""
    request = revised()
    assert request.method == "PUT"
    assert request.url.startswith("https://hub.example/fhir/CareTeam?identifier=http://plan.")
    sent = json.loads(request.content)
    assert sent == {name: part for name, part in json.loads(TEAM).items() if name != "id"}
    assert b"72.50" in request.content


def test_what_a_system_keeps_under_its_own_id_is_written_there() -> None:
    """Once a system told its own id, every version goes to that id, body and all."""
    request = revised(entity="canonical-1")
    assert (request.method, request.url) == ("PUT", "https://hub.example/fhir/CareTeam/t-1")
    assert request.content is TEAM


def test_without_conditions_a_later_version_is_created_anew() -> None:
    """A system that knows no condition and told no id gets each version as a new resource."""
    assert revised(conditional=False).method == "POST"


def test_a_destination_never_shows_its_token() -> None:
    """A destination that is printed does not print its bearer token."""
    assert "secret-token" not in repr(HUB)


def test_create_posts_with_if_none_exist() -> None:
    """`create` asks by the first full identifier, escaped, so a repeat makes no second copy."""
    request = built(replace(HUB, interaction="create", bearer=None))
    assert (request.method, request.url) == ("POST", "https://hub.example/fhir/CareTeam")
    assert (
        request.headers["If-None-Exist"]
        == "identifier=http://plan.example/team|A%5C%7C1%5C%2C%5C%24"
    )
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("destination", "resource"),
    [
        (replace(HUB, interaction="create", conditional=False), TEAM),
        (replace(HUB, interaction="create"), b'{"resourceType":"Binary"}'),
        (replace(HUB, interaction="create"), b'{"resourceType":"Bundle","identifier":{}}'),
    ],
)
def test_create_without_a_condition(destination: Destination, resource: bytes) -> None:
    """A server that refuses conditions, or a resource without identifier, gets none."""
    assert "If-None-Exist" not in built(destination, resource).headers


def test_transaction_wraps_the_bytes() -> None:
    """`transaction` posts a Bundle of one PUT, the resource's own digits untouched."""
    request = built(replace(HUB, interaction="transaction"))
    assert (request.method, request.url) == ("POST", "https://hub.example/fhir")
    assert TEAM in request.content
    assert json.loads(request.content)["entry"][0]["request"] == {
        "method": "PUT",
        "url": "CareTeam/t-1",
    }
    assert request.type == "CareTeam"


def test_an_id_cannot_leave_its_place_in_the_path() -> None:
    """Slashes and questions in an id are escaped; they reach no other endpoint."""
    request = built(HUB, b'{"resourceType":"CareTeam","id":"../Patient?x=1#y"}')
    assert request.url == "https://hub.example/fhir/CareTeam/..%2FPatient%3Fx%3D1%23y"


@pytest.mark.parametrize("interaction", ["update", "transaction"])
def test_put_needs_an_id(interaction: str) -> None:
    """A resource without id cannot be written by PUT, and the remedy is said."""
    destination = replace(HUB, interaction=interaction)
    problem = build(destination, Parcel(b'{"resourceType":"CareTeam"}', "k", "d", "m"))
    assert isinstance(problem, Diagnostic)
    assert (problem.code, problem.path) == ("D008", "CareTeam.id")
