"""Answers and logs never hold what the member is hiding: a real server's, read whole."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from town import REPOSITORY, TOKENS, environment

from engine.diagnostics import CODES
from engine.samples.bundles import sample
from engine.samples.running import free_port, running
from engine.store import Store

MARKS = {
    "family name": "Zyxwvutson",
    "given name": "Quillabelle",
    "birth date": "2011-03-29",
    "street": "77 Hideaway Lane",
    "phone": "+1-555-0173-88",
    "record number": "MRN-88417-Q",
    "member number": "W99817-77",
    "message": "the needle exchange visit went well",
    "note": "asked not to tell the stepfather",
    "reason": "crystal dependence",
    "condition": "F15.21",
    "label": "ETHUD",
    "denied organization": "Stepfather Employer Insurance",
    "denied identifier": "1770000013",
    "form": "release-signed-in-shelter.pdf",
    "garbled status": "activeish-Zq9",
    "garbled date": "2011-93-29Zq",
    "unknown person": "shelter-worker-31",
    "stray key": "stray-secret-value-5",
}
"""One value for each sensitive field of the fixtures, found nowhere else."""

ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
LEVEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ICD = {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": MARKS["condition"]}
NORMAL = {"system": LEVEL, "code": "N"}


@dataclass
class Suite:
    """Talk to a running server and keep every answer."""

    client: httpx.Client
    answers: list[httpx.Response] = field(default_factory=list)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"Content-Type": "application/fhir+json", **headers}
        answer = self.client.request(method, path, content=content, headers=given)
        self.answers.append(answer)
        return answer

    def post(self, resource: dict[str, Any], **headers: str) -> httpx.Response:
        kind = resource["resourceType"]
        return self.send(
            "POST", "/fhir" if kind == "Bundle" else f"/fhir/{kind}", resource, **headers
        )


def people() -> dict[str, Any]:
    """Return who is who, every sensitive field of the member marked."""
    bundle: dict[str, Any] = json.loads(sample("01-who-is-who"))
    for entry in bundle["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource["name"] = [{"family": MARKS["family name"], "given": [MARKS["given name"]]}]
            resource["birthDate"] = MARKS["birth date"]
            resource["address"] = [{"line": [MARKS["street"]], "city": "Omaha"}]
            resource["telecom"] = [{"system": "phone", "value": MARKS["phone"]}]
            resource["identifier"][0]["value"] = MARKS["record number"]
            resource["identifier"][1]["value"] = MARKS["member number"]
    hidden = {
        "resourceType": "Organization",
        "id": "hidden",
        "active": True,
        "identifier": [
            {"system": "http://hl7.org/fhir/sid/us-npi", "value": MARKS["denied identifier"]}
        ],
        "name": MARKS["denied organization"],
    }
    request = {"method": "PUT", "url": "Organization/hidden"}
    bundle["entry"].append({"resource": hidden, "request": request})
    return bundle


def consent(**changes: Any) -> dict[str, Any]:
    """Return a consent that permits the plan, and hides a label, a code and an organization."""
    bundle: dict[str, Any] = json.loads(sample("04-signed-consent"))
    resource: dict[str, Any] = bundle["entry"][0]["resource"]
    resource["sourceAttachment"]["url"] = f"https://ehr.mercy.example/{MARKS['form']}"
    resource["sourceAttachment"]["title"] = MARKS["form"]
    resource.pop("policy")
    resource["policy"] = [{"uri": "http://example.org/policy"}]
    actor = {**resource["provision"]["actor"][1], "reference": {"reference": "Organization/hidden"}}
    resource["provision"]["provision"] = [
        {"type": "deny", "securityLabel": [{"system": ACT, "code": MARKS["label"]}]},
        {"type": "deny", "code": [{"coding": [ICD], "text": MARKS["reason"]}]},
        {"type": "deny", "actor": [actor]},
    ]
    return {**resource, **changes}


def outreach(id: str, **changes: Any) -> dict[str, Any]:
    """Return a Communication with sensitive words everywhere that words can stand."""
    resource: dict[str, Any] = json.loads(sample("05-outreach"))
    resource["identifier"][0]["value"] = resource["id"] = id
    resource["payload"] = [{"contentString": MARKS["message"]}]
    resource["note"] = [{"text": MARKS["note"]}]
    resource["reasonCode"][0]["text"] = MARKS["reason"]
    return {**resource, **changes}


def labelled() -> dict[str, Any]:
    return {"security": [NORMAL, {"system": ACT, "code": MARKS["label"]}]}


@contextmanager
def server(folder: Path, hub: str) -> Iterator[httpx.Client]:
    """Run the real server; its log goes to `engine.log`."""
    port = free_port()
    more = environment(f"sqlite:///{folder / 'leaks.db'}", HUB_URL=hub)
    command = [sys.executable, "-m", "engine", "serve", "--port", str(port), "--processes", "1"]
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **more}, stdout=log, stderr=log
        )
    headers = {"Authorization": f"Bearer {TOKENS['mercy']}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            _await(client, process)
            yield client
    finally:
        process.terminate()
        process.wait(20)


def _await(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert process.poll() is None, "the server ended"
        try:
            if client.get("/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the server did not come up")


async def echo(request: Request) -> Response:
    """Refuse, with the whole payload in the reason, as careless servers do."""
    body = (await request.body()).decode()
    issue = {"severity": "error", "code": "invalid", "diagnostics": f"cannot take {body}"}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    if "Communication" not in str(request.url):
        return Response(body, 201, media_type="application/fhir+json")
    return Response(json.dumps(outcome), 500, media_type="application/fhir+json")


def play(suite: Suite) -> None:
    """Play everything that can be refused, held or go wrong."""
    assert suite.post(people()).status_code == 200
    assert suite.post(outreach("o-1")).status_code == 403
    assert suite.send("PUT", "/fhir/Consent/release", consent()).status_code == 201
    suite.post(outreach("o-2", reasonCode=[{"coding": [ICD], "text": MARKS["reason"]}]))
    plain = outreach("o-3")
    refusals(suite, plain)
    garbled(suite, plain)
    questions(suite)
    others(suite)
    assert suite.post({**plain, "id": "last"}).status_code == 201


def refusals(suite: Suite, plain: dict[str, Any]) -> None:
    """Be refused for every reason that a consent can have."""
    hidden = [{"reference": "Organization/hidden", "display": MARKS["denied organization"]}]
    for number, changes in enumerate(
        (
            {"meta": labelled()},
            {"recipient": hidden},
            {"recipient": [*plain["recipient"], *hidden]},
            {"sender": {"reference": "Organization/org-lakeside"}},
            {"sent": "2020-01-01T00:00:00Z"},
        )
    ):
        suite.post({**plain, "id": f"r-{number}", **changes})
    batch = [
        {"resource": one, "request": {"method": "POST", "url": "Communication"}}
        for one in (outreach("b-1"), {**plain, "id": "b-2", "meta": labelled()})
    ]
    suite.post({"resourceType": "Bundle", "type": "batch", "entry": batch})
    suite.post({"resourceType": "Bundle", "type": "transaction", "entry": batch})


def garbled(suite: Suite, plain: dict[str, Any]) -> None:
    """Send what cannot be read; the values of the broken parts are secrets too."""
    for changes in (
        {"status": MARKS["garbled status"]},
        {"sent": MARKS["garbled date"]},
        {"sent": {"stray": MARKS["stray key"]}},
        {"subject": {"reference": f"Patient/{MARKS['unknown person']}"}},
        {"recipient": [{"reference": f"Practitioner/{MARKS['unknown person']}"}]},
        {"payload": [{"contentReference": {"reference": f"#{MARKS['unknown person']}"}}]},
        {"id": MARKS["street"]},
        {"priority": 7, "note": [{"text": MARKS["note"], "time": MARKS["garbled date"]}]},
        {"category": [{"coding": [{"code": MARKS["stray key"]}]}]},
        {"contained": [{"resourceType": "Basic", "id": MARKS["stray key"]}]},
        {"modifierExtension": [{"url": "urn:x", "valueString": MARKS["stray key"]}]},
    ):
        suite.post({**plain, **changes})
    text = json.dumps(plain)
    suite.send("POST", "/fhir/Communication", text[:-20].encode())
    suite.send("POST", "/fhir/Communication", text.replace("{", "{{", 1).encode())
    suite.send("POST", "/fhir/Communication", f'{{"a":1,"a":"{MARKS["message"]}"}}'.encode())
    suite.send("POST", "/fhir/Communication", text.encode(), **{"Content-Type": "text/xml"})
    suite.send("PUT", "/fhir/Communication/another", plain)
    suite.send("POST", "/fhir/Patient", plain)
    suite.post(plain, **{"Idempotency-Key": "k"})
    suite.post({**plain, "priority": "urgent"}, **{"Idempotency-Key": "k"})
    suite.post({**plain, "resourceType": "Observation"})


def questions(suite: Suite) -> None:
    """Ask the registry, in ways that it answers with a deny or not at all."""
    number = {"system": "http://mercy.example/mrn", "value": MARKS["record number"]}
    ask = {
        "patient": {"identifier": [number]},
        "recipient": [{"reference": "Organization/hidden"}],
        "purpose": [{"code": "COC"}],
    }
    suite.send("POST", "/fhir/Consent/$decide", ask)
    suite.send("POST", "/fhir/Consent/$decide", {"request": {**ask, "stray": MARKS["stray key"]}})
    wrong = {"policy": {"combine": MARKS["stray key"]}, "at": MARKS["garbled date"]}
    suite.send("POST", "/fhir/Consent/$decide", {"request": ask, **wrong})
    suite.send("POST", "/fhir/Consent/$decide", {"request": ask, "at": "2030-01-01T00:00:00Z"})
    call = {
        "hook": "patient-consent-consult",
        "hookInstance": MARKS["stray key"],
        "context": {
            "patientId": ask["patient"]["identifier"],
            "actor": [{"value": MARKS["denied identifier"]}],
            "purposeOfUse": ["COC"],
            "content": {"resourceType": "Bundle", "entry": [{"resource": outreach("c-1")}]},
        },
    }
    suite.send("POST", "/cds-services/patient-consent-consult", call)
    bad = {**call, "context": {**call["context"], "purposeOfUse": {MARKS["stray key"]: 1}}}
    suite.send("POST", "/cds-services/patient-consent-consult", bad)


def others(suite: Suite) -> None:
    """Look where there is nothing for this system, or for nobody."""
    suite.send("GET", "/fhir/AuditEvent")
    suite.send("GET", "/fhir/Provenance?target=Communication/o-1")
    suite.send("GET", f"/fhir/Communication/{MARKS['unknown person']}")
    suite.send("GET", "/fhir/Patient/avery", Authorization="Bearer wrong")
    suite.send("GET", "/fhir/Patient?identifier=x", Authorization="Bearer wrong")
    for path in ("/healthz", "/readyz", "/metrics", "/fhir/metadata"):
        assert suite.send("GET", path).status_code == 200, path


def revoked(suite: Suite) -> None:
    """Revoke, by a Consent that is held because nobody knows its witness."""
    witness = [{"reference": f"Practitioner/{MARKS['unknown person']}"}]
    held = suite.send("PUT", "/fhir/Consent/release", consent(status="inactive", performer=witness))
    assert held.status_code == 202, held.text
    assert suite.post(outreach("after")).status_code == 403


def _failed(folder: Path) -> bool:
    """Wait until the destination has echoed a Communication in its refusal."""
    with Store.open(f"sqlite:///{folder / 'leaks.db'}") as store:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            rows = store.read(lambda tx: tx.deliveries.search(limit=100))
            tried = [row.id for row in rows if row.type == "Communication" and row.attempts]
            made = store.read(
                lambda tx, tried=tried: [one for id in tried for one in tx.attempts.of_delivery(id)]
            )
            if made:
                return all(one.outcome != "delivered" for one in made)
            time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Suite, str]]:
    """Return every answer of the suite, and the whole log."""
    folder = tmp_path_factory.mktemp("leaks")
    app = Starlette(routes=[Route("/{path:path}", echo, methods=["POST", "PUT"])])
    with running(app) as url:
        with server(folder, f"{url}/fhir") as client:
            found = Suite(client)
            play(found)
            assert _failed(folder)
            revoked(found)
        yield found, (folder / "engine.log").read_text("utf-8")


@pytest.mark.parametrize("what", MARKS)
def test_no_answer_holds_a_sensitive_value(suite: tuple[Suite, str], what: str) -> None:
    """Not one answer of the suite, its headers included, repeats what the member is hiding."""
    for answer in suite[0].answers:
        said = answer.text + str(dict(answer.headers))
        assert MARKS[what] not in said, (answer.request.method, answer.request.url.path, said)


@pytest.mark.parametrize("what", MARKS)
def test_no_log_holds_a_sensitive_value(suite: tuple[Suite, str], what: str) -> None:
    """The log of the whole suite, failures at the destination included, holds no payload value."""
    assert MARKS[what] not in suite[1]


def denials(suite: Suite) -> list[dict[str, Any]]:
    """Return every consent code's issue that was told to the sender."""
    found = []
    for answer in suite.answers:
        if "json" not in answer.headers.get("content-type", "") or not answer.text:
            continue
        found += [
            issue
            for issue in _issues(answer.json())
            if issue["code"] == "forbidden"
            and str(issue["details"]["coding"][0]["code"]).startswith("consent-")
        ]
    return found


def _issues(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        if tree.get("resourceType") == "OperationOutcome":
            yield from tree["issue"]
        for value in tree.values():
            yield from _issues(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _issues(item)


def test_a_deny_says_its_code_and_nothing_else(suite: tuple[Suite, str]) -> None:
    """Each deny consists of the code, the code's own title and the place of the resource."""
    found = denials(suite[0])
    assert len(found) >= 10
    assert len({issue["details"]["coding"][0]["code"] for issue in found}) >= 4
    for issue in found:
        code = issue["details"]["coding"][0]["code"]
        assert issue.keys() == {"severity", "code", "details", "diagnostics", "expression"}
        assert issue["details"]["text"] == CODES[code].title
        assert issue["diagnostics"] in (
            f"{CODES[code].title}.",
            "The consent does not cover this disclosure.",
        )
        assert re.fullmatch(r"Communication|Bundle\.entry\[\d+\]\.resource", issue["expression"][0])
        assert issue["code"] == "forbidden"


def test_denies_for_different_secrets_look_the_same(suite: tuple[Suite, str]) -> None:
    """A hidden label and a hidden diagnosis are refused in the same words."""
    told = {
        (issue["details"]["text"], issue["diagnostics"])
        for issue in denials(suite[0])
        if issue["details"]["coding"][0]["code"] == "consent-denied"
    }
    assert len(told) <= 2
