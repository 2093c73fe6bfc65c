"""Outreach by every medium: under consent, with its reason, one after the other, truly recorded."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import icalendar
import pytest
import yaml
from outreach_town import (
    ADDRESSES,
    OWNER,
    Mailbox,
    Place,
    consent,
    introduce,
    outreach,
    outreach_town,
    settings,
)
from town import REPOSITORY

from engine.config import load_config
from engine.coordination.outreach import media_of
from engine.coordination.outreach_tasks import Assigner
from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Request
from engine.deliver.transport import HttpTransport, Transport
from engine.deliver.worker import Worker
from engine.outreach.recipients import PARTICIPATION_MODE, PREFERRED_MEDIUM
from engine.outreach.transport import MediaTransport
from engine.sending import Sending, destinations

GUARDIAN = {"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "GUARD"}
MEDIA = ("fhir", "fax", "mail", "phone", "meeting")
FAX, MAIL, PHONE = ADDRESSES["fax"], ADDRESSES["mail"], ADDRESSES["phone"]
DANA, LAKESIDE, PRAIRIE = (
    "RelatedPerson/dana",
    "Organization/org-lakeside",
    "Organization/org-prairie",
)


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    """Return a mail server that is not open yet."""
    return Mailbox(tmp_path)


@pytest.fixture
def place(tmp_path: Path, mailbox: Mailbox) -> Iterator[Place]:
    """Return a town with every medium."""
    with mailbox.open() as port, outreach_town(tmp_path, settings(tmp_path, port)) as built:
        yield built


def prefers(medium: str) -> dict[str, Any]:
    """Return what a record says of a preferred medium."""
    codes = {"fax": "FAXWRIT", "mail": "EMAILWRIT", "phone": "PHONE", "meeting": "FACE"}
    coding = {"system": PARTICIPATION_MODE, "code": codes[medium]}
    return {"extension": [{"url": PREFERRED_MEDIUM, "valueCodeableConcept": {"coding": [coding]}}]}


def ready_for(place: Place, medium: str) -> str:
    """Let the world be such that `medium` is the one to choose; return the recipient."""
    if medium == "fhir":
        introduce(place, {})
        return PRAIRIE
    introduce(place, {"dana": ADDRESSES[medium]}, dana=prefers(medium))
    return DANA


def went_out(place: Place, mailbox: Mailbox) -> dict[str, int]:
    """Count what went out by each medium."""
    codes = [task["code"]["coding"][0]["code"] for task in place.current("Task")]
    return {
        "fhir": len(place.told()),
        "fax": len(place.faxes()),
        "mail": len(mailbox.got),
        "phone": codes.count("call"),
        "meeting": codes.count("meeting"),
    }


def communication(place: Place) -> dict[str, Any]:
    """Return the only Communication as it stands."""
    (found,) = place.current("Communication")
    return found


def codes_of(resource: dict[str, Any]) -> list[str]:
    return [one["coding"][0]["code"] for one in resource.get("medium", [])]


@pytest.mark.parametrize("medium", MEDIA)
def test_without_consent_nothing_goes_out(place: Place, mailbox: Mailbox, medium: str) -> None:
    """No consent at all: refused on the way in where a route leads out, held by every medium."""
    recipient = ready_for(place, medium)
    response = place.post("mercy", outreach(recipient))
    place.go()
    place.retry()
    assert response.status_code == 403
    assert set(went_out(place, mailbox).values()) == {0}


@pytest.mark.parametrize("medium", MEDIA)
def test_under_consent_exactly_the_chosen_medium_is_used(
    place: Place, mailbox: Mailbox, medium: str
) -> None:
    """Under a signed release the recipient is told once; the ledger has choice and reason."""
    recipient = ready_for(place, medium)
    consent(place)
    assert place.post("mercy", outreach(recipient)).status_code == 201
    place.go()
    told = went_out(place, mailbox)
    assert told.pop(medium) == 1
    assert told.pop("fhir", 1) == 1  # the route leads to the hub in any case
    assert set(told.values()) == {0}
    (choice,) = place.audit("outreach.chosen")
    assert choice["medium"] == medium
    assert choice["reason"]
    assert "515" not in json.dumps(choice)
    assert "@" not in json.dumps(choice)
    rows = place.store.read(lambda tx: tx.deliveries.search())
    plans = place.store.read(lambda tx: tx.timers.of_kind("outreach", "done"))
    kept = json.dumps([*(row.envelope for row in rows), *(timer.body for timer in plans)])
    assert "5155550" not in kept
    assert "home.example" not in kept


@pytest.mark.parametrize("medium", MEDIA)
def test_a_consent_revoked_before_sending_holds_every_medium(
    place: Place, mailbox: Mailbox, medium: str
) -> None:
    """The decision is taken again at sending: after the revocation nothing leaves by any medium."""
    recipient = ready_for(place, medium)
    consent(place)
    place.go()
    assert place.post("mercy", outreach(recipient)).status_code == 201
    place.timers()
    consent(place, "org-lakeside", status="inactive")
    place.go()
    place.retry()
    assert set(went_out(place, mailbox).values()) == {0}
    held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert {row.reason for row in held} == {"consent-withdrawn"}
    if medium != "fhir":
        assert communication(place)["status"] == "on-hold"
        decisions = place.store.read(lambda tx: tx.decisions.of_delivery(held[0].id))
        assert decisions[-1].decision != "permit"


def test_a_recipient_whom_no_consent_covers_is_told_by_no_medium(place: Place) -> None:
    """A release for one organization is none for another, whatever its fax number."""
    introduce(place, {"org-lakeside": FAX})
    consent(place, "org-prairie")
    assert place.post("mercy", outreach(LAKESIDE)).status_code == 403
    place.go()
    assert place.faxes() == []


def test_without_a_route_the_decision_is_still_taken(tmp_path: Path, mailbox: Mailbox) -> None:
    """Where no route carries a Communication, media ask for consent all the same."""
    config = settings(tmp_path)
    for route in config["routes"]:
        route["types"].remove("Communication")
    with outreach_town(tmp_path, config) as place:
        introduce(place, {"org-lakeside": FAX})
        consent(place, "org-prairie")
        assert place.post("mercy", outreach(LAKESIDE)).status_code == 201
        place.go()
        assert place.faxes() == []
        assert place.by_medium("held") == [("fax", "held")]
        consent(place, "org-lakeside")
        (held,) = place.store.read(lambda tx: tx.deliveries.search(state="held"))
        place.store.write(lambda tx: tx.deliveries.release(held.id, "tester")).result()
        place.go()
        assert len(place.faxes()) == 1
        assert communication(place)["status"] == "completed"


def test_the_record_is_kept_true_on_the_way(place: Place) -> None:
    """Chosen: medium and in-progress; delivered: sent and completed; received only where known."""
    introduce(place, {"org-lakeside": FAX})
    consent(place)
    place.post("mercy", outreach(LAKESIDE, status="preparation"))
    place.timers()
    begun = communication(place)
    assert (begun["status"], codes_of(begun)) == ("in-progress", ["FAXWRIT"])
    assert "sent" not in begun
    place.go()
    told = communication(place)
    assert (told["status"], told["sent"]) == ("completed", place.clock.now())
    assert "received" not in told
    versions = place.store.read(lambda tx: tx.resources.versions("Communication", told["id"]))
    assert len(versions) == 3


def test_a_system_that_took_it_has_received_it(place: Place) -> None:
    """FHIR delivery is a receipt."""
    introduce(place, {})
    consent(place)
    place.post("mercy", outreach(PRAIRIE))
    place.go()
    told = communication(place)
    assert told["status"] == "completed"
    assert told["received"] == told["sent"]
    assert codes_of(told) == ["ELECTRONIC"]


def test_what_was_told_already_is_only_recorded(place: Place, mailbox: Mailbox) -> None:
    """A completed Communication says what happened: it is carried, and told to nobody again."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.post("mercy", outreach(DANA, status="completed"))
    place.go()
    assert place.audit("outreach.chosen") == []
    assert mailbox.got == []


def test_a_repeat_with_the_same_content_is_told_once(place: Place, mailbox: Mailbox) -> None:
    """The same words again in another state make no second mail; other words do."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    place.post("mercy", outreach(DANA, priority="routine", note=[{"text": "seen"}]))
    place.go()
    assert len(mailbox.got) == 2
    place.post("mercy", outreach(DANA, status="preparation"))
    place.go()
    assert len(mailbox.got) == 2


def test_a_failed_medium_falls_back_to_the_next(place: Place, mailbox: Mailbox) -> None:
    """A mail that is refused for good becomes a call, under a decision of its own."""
    mailbox.answer = "550 no such mailbox"
    introduce(place, {"dana": [*MAIL, *PHONE]})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    assert place.by_medium() == [("mail", "skipped"), ("phone", "delivered")]
    (fallback,) = place.audit("outreach.fallback")
    assert (fallback["failed"], fallback["medium"]) == ("mail", "phone")
    rows = place.store.read(lambda tx: tx.deliveries.search())
    for row in rows:
        if "outreach" in row.envelope:
            made = place.store.read(lambda tx, id=row.id: tx.decisions.of_delivery(id))
            assert [one.decision for one in made] == ["permit"]
    assert set(codes_of(communication(place))) == {"EMAILWRIT", "PHONE"}
    assert communication(place)["status"] == "in-progress"


def test_a_relay_that_is_busy_is_tried_again_before_anything_else(
    place: Place, mailbox: Mailbox
) -> None:
    """4xx means later: the mail goes out at the second attempt, and no call is asked for."""
    mailbox.answer = "451 later"
    introduce(place, {"dana": [*MAIL, *PHONE]})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    mailbox.answer = None
    place.clock.advance(60)
    place.go()
    assert place.by_medium() == [("mail", "delivered")]
    assert len(mailbox.got) == 1


def test_a_system_that_refuses_falls_back_too(place: Place) -> None:
    """Where a FHIR endpoint refuses for good, its organization gets a fax."""
    introduce(place, {"org-prairie": FAX})
    consent(place)
    place.go()
    place.script = lambda seen: (
        httpx.Response(422) if seen.resource["resourceType"] == "Communication" else None
    )
    place.post("mercy", outreach(PRAIRIE))
    place.go()
    assert len(place.faxes()) == 1
    assert communication(place)["status"] == "completed"


def test_when_every_medium_failed_the_record_says_stopped(tmp_path: Path, mailbox: Mailbox) -> None:
    """Nothing left to try: stopped with its reason, and the ledger says exhausted."""
    mailbox.answer = "550 no"
    with mailbox.open() as port:
        config = settings(tmp_path, port, phone=None, meeting=None)
        with outreach_town(tmp_path, config) as place:
            introduce(place, {"dana": MAIL})
            consent(place)
            place.post("mercy", outreach(DANA))
            place.go()
            assert place.by_medium() == [("mail", "skipped")]
            assert communication(place)["status"] == "stopped"
            assert len(place.audit("outreach.exhausted")) == 1


def test_somebody_whom_nothing_reaches_is_not_done(place: Place) -> None:
    """Without any address the Communication is not-done, with the reason of FHIR's code system."""
    introduce(place, {})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    record = communication(place)
    assert record["status"] == "not-done"
    assert record["statusReason"]["coding"][0]["code"] == "recipient-unavailable"
    (choice,) = place.audit("outreach.chosen")
    assert choice["medium"] == "none"


def test_each_recipient_has_a_medium_and_the_record_waits_for_all(
    place: Place, mailbox: Mailbox
) -> None:
    """One by FHIR, one by fax, one by mail: completed once all three were told."""
    introduce(place, {"org-lakeside": FAX, "dana": MAIL})
    consent(place)
    place.post("mercy", outreach(PRAIRIE, LAKESIDE, DANA))
    place.go()
    assert went_out(place, mailbox) == {"fhir": 1, "fax": 1, "mail": 1, "phone": 0, "meeting": 0}
    record = communication(place)
    assert (record["status"], codes_of(record)) == (
        "completed",
        ["ELECTRONIC", "FAXWRIT", "EMAILWRIT"],
    )


def test_a_team_stands_for_those_who_belong_to_it_now(place: Place, mailbox: Mailbox) -> None:
    """A CareTeam as recipient: each present participant is told by a medium of their own."""
    introduce(place, {"dana": MAIL, "org-lakeside": FAX})
    team = {
        "resourceType": "CareTeam",
        "id": "team-9",
        "status": "active",
        "subject": {"reference": "Patient/avery"},
        "participant": [
            {"role": [{"text": "Mother"}], "member": {"reference": DANA}},
            {
                "role": [{"text": "Therapist"}],
                "member": {"reference": LAKESIDE},
                "period": {"end": "2026-01-31"},
            },
        ],
    }
    assert place.post("mercy", team).status_code in (200, 201)
    consent(place, "org-lakeside", "CareTeam/team-9")
    response = place.post("mercy", outreach("CareTeam/team-9"))
    assert response.status_code == 201, response.text
    place.go()
    assert (len(mailbox.got), len(place.faxes())) == (1, 0)


def test_a_mail_is_encrypted_and_its_id_stays(place: Place, mailbox: Mailbox) -> None:
    """STARTTLS with a certificate that verifies; the Message-ID is the delivery's key."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    assert mailbox.hosts == [True]
    (envelope,) = mailbox.got
    (row,) = (
        row
        for row in place.store.read(lambda tx: tx.deliveries.search())
        if "outreach" in row.envelope
    )
    assert isinstance(envelope.content, bytes)
    mail = message_from_bytes(envelope.content)
    assert mail["Message-ID"] == f"<{row.idempotency_key}@mercy.example>"
    assert envelope.rcpt_tos == ["dana@home.example"]


def test_a_relay_without_tls_gets_nothing(tmp_path: Path) -> None:
    """Where STARTTLS is wanted and not offered, no word leaves in the clear."""
    mailbox = Mailbox(tmp_path, offers_tls=False)
    with mailbox.open() as port, outreach_town(tmp_path, settings(tmp_path, port)) as place:
        introduce(place, {"dana": MAIL})
        consent(place)
        place.post("mercy", outreach(DANA))
        place.go()
        place.retry()
        assert mailbox.got == []


def test_a_certificate_that_does_not_verify_gets_nothing(tmp_path: Path, mailbox: Mailbox) -> None:
    """A relay whose certificate nobody vouches for is not spoken to."""
    with mailbox.open() as port:
        config = settings(tmp_path, port)
        del config["coordination"]["media"]["mail"]["authority"]
        with outreach_town(tmp_path, config) as place:
            introduce(place, {"dana": MAIL})
            consent(place)
            place.post("mercy", outreach(DANA))
            place.go()
            place.retry()
    assert mailbox.got == []


def test_a_mail_cut_off_by_a_restart_goes_again_under_the_same_id(
    place: Place, mailbox: Mailbox
) -> None:
    """Killed after the relay had it, before it was recorded: the repeat has the same Message-ID."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.go()
    place.post("mercy", outreach(DANA))
    place.timers()
    asyncio.run(_die_behind_the_relay(place))
    assert len(mailbox.got) == 1
    assert place.by_medium() == [("mail", "leased")]
    place.clock.advance(600)
    place.go()
    assert place.by_medium() == [("mail", "delivered")]
    sent = [message_from_bytes(bytes(one.content or b"")) for one in mailbox.got]
    assert len(sent) == 2
    assert sent[0]["Message-ID"] == sent[1]["Message-ID"]


async def _die_behind_the_relay(place: Place) -> None:
    """Run a worker that is gone between the relay's answer and the record of it."""
    sending, root = Sending(place.project), place.project.config.root
    media = media_of(place.project)
    assert media is not None
    real = MediaTransport(
        HttpTransport(), media, root, Assigner(place.store, lambda: place.project)
    )
    transport = Fatal(real)
    worker = Worker(
        place.store,
        {"@mail": destinations(place.project.config)["@mail"]},
        sending.judge,
        transport,
        place.clock,
        delivered=sending.delivered,
    )
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(transport.handed_over.wait(), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Fatal:
    """Hand over by another transport and never come back."""

    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self.handed_over = asyncio.Event()

    async def send(self, destination: Destination, request: Request) -> Reply:
        await self._inner.send(destination, request)
        self.handed_over.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing wakes it")

    async def close(self) -> None:
        await self._inner.close()


def test_a_fax_lies_whole_in_the_watched_folder(place: Place) -> None:
    """PDF first, its order last, readable by the gateway's user only, no part left behind."""
    introduce(place, {"org-lakeside": FAX})
    consent(place)
    place.post("mercy", outreach(LAKESIDE))
    place.go()
    (document,) = place.faxes()
    order = json.loads(document.with_suffix(".json").read_text())
    assert order["to"] == "+15155550199"
    assert order["document"] == document.name
    assert order["pages"] == 2
    assert document.read_bytes().startswith(b"%PDF-")
    assert stat.S_IMODE(document.stat().st_mode) == 0o600
    assert len(list(document.parent.iterdir())) == 2


@contextmanager
def gateway(answer: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Serve a fax gateway on loopback that answers `answer` and keeps what it got."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append({"headers": dict(self.headers), "body": body})
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("answer", "state"), [(202, "delivered"), (422, "skipped")])
def test_a_fax_gateway_takes_documents_over_http(tmp_path: Path, answer: int, state: str) -> None:
    """The gateway gets number and PDF under an Idempotency-Key; a refusal is final."""
    with gateway(answer) as (port, got):
        fax = {"gateway": f"http://127.0.0.1:{port}/faxes", "bearer": "${FAX_TOKEN}"}
        with outreach_town(tmp_path, settings(tmp_path, fax=fax)) as place:
            introduce(place, {"org-lakeside": FAX})
            consent(place)
            place.go()
            place.post("mercy", outreach(LAKESIDE))
            place.timers()
            place.deliver_for_real()
            assert [s for m, s in place.by_medium() if m == "fax"] == [state]
    assert len(got) == 1
    assert b"%PDF-" in got[0]["body"]
    assert b"+15155550199" in got[0]["body"]
    assert got[0]["headers"]["Idempotency-Key"]


def test_a_call_is_a_task_and_its_report_ends_the_communication(place: Place) -> None:
    """The Task has owner, due time and script; completed, the Communication is completed."""
    introduce(place, {"dana": PHONE})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    (task,) = place.current("Task")
    assert task["owner"]["display"] == OWNER["name"]
    assert task["restriction"]["period"]["end"] > task["authoredOn"]
    assert communication(place)["status"] == "in-progress"
    assert _report(place, task, "completed").status_code in (200, 201)
    place.go()
    record = communication(place)
    assert record["status"] == "completed"
    assert record["received"]


def test_a_call_that_failed_falls_back(place: Place) -> None:
    """A Task that ends as failed lets the next medium begin."""
    introduce(place, {"dana": [{**PHONE[0], "rank": 1}, *FAX]})
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    (task,) = place.current("Task")
    _report(place, task, "failed")
    place.go()
    assert len(place.faxes()) == 1
    assert communication(place)["status"] == "completed"


def test_a_communication_released_from_a_hold_is_told(place: Place, mailbox: Mailbox) -> None:
    """One that waited for an unknown recipient is planned once that recipient is known."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.go()
    late = {
        "resourceType": "RelatedPerson",
        "id": "sam",
        "patient": {"reference": "Patient/avery"},
        "relationship": [{"coding": [GUARDIAN]}],
        "telecom": [{"system": "email", "value": "sam@home.example"}],
    }
    assert place.post("mercy", outreach("RelatedPerson/sam")).status_code == 202
    place.go()
    assert mailbox.got == []
    assert place.send("mercy", "PUT", "/fhir/RelatedPerson/sam", late).status_code in (200, 201)
    place.go()
    assert [one.rcpt_tos for one in mailbox.got] == [["sam@home.example"]]


def test_the_example_of_the_documentation_loads(tmp_path: Path) -> None:
    """What docs/outreach.md shows is a config.yaml without a problem."""
    text = (REPOSITORY / "docs" / "outreach.md").read_text()
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found
    config = settings(tmp_path) | yaml.safe_load(found[1])
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    read, problems = load_config(tmp_path / "config.yaml", {"MAIL_PASSWORD": "x"})
    assert [problem.text() for problem in problems if problem.severity == "error"] == []
    assert read is not None


@pytest.mark.parametrize("medium", ["phone", "meeting"])
def test_a_call_that_consent_no_longer_covers_is_taken_back(place: Place, medium: str) -> None:
    """A revocation cancels the Task that waits for its owner and takes the script out of it."""
    recipient = ready_for(place, medium)
    consent(place)
    place.post("mercy", outreach(recipient))
    place.go()
    consent(place, "org-lakeside", status="inactive")
    place.go()
    (task,) = place.current("Task")
    assert task["status"] == "cancelled"
    assert "input" not in task
    assert len(place.audit("outreach.withdrawn")) == 1
    assert communication(place)["status"] == "stopped"


@pytest.mark.parametrize("covered", [True, False])
def test_a_task_travels_only_where_consent_covers_its_owner(tmp_path: Path, covered: bool) -> None:
    """Where a route leads on, the hub gets it if the release covers the owner; else it stays."""
    config = settings(tmp_path)
    config["routes"][0]["types"].append("Task")
    npi = {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1888001124"}
    owner = {"name": "Lakeside", "type": "Organization", **npi}
    config["coordination"]["media"]["phone"]["owner"] = owner if covered else OWNER
    with outreach_town(tmp_path, config) as place:
        introduce(place, {"dana": PHONE})
        consent(place)
        place.post("mercy", outreach(DANA))
        place.go()
        place.go()
        tasks = [one for one in place.arrived if one.resource["resourceType"] == "Task"]
        assert [one.system for one in tasks] == (["hub"] if covered else [])
        assert place.by_medium() == [("phone", "delivered")]
        assert len(place.current("Task")) == 1


def _report(place: Place, task: dict[str, Any], status: str) -> Any:
    answer = place.send("mercy", "GET", f"/fhir/Task/{task['id']}")
    assert answer.status_code == 200, answer.text
    body = {**answer.json(), "status": status}
    return place.send("mercy", "PUT", f"/fhir/Task/{task['id']}", body)


def test_a_meeting_is_a_task_with_an_invitation_by_mail(place: Place, mailbox: Mailbox) -> None:
    """Who has a mailbox gets the invitation; the owner has it in the Task."""
    introduce(place, {"dana": MAIL}, dana=prefers("meeting"))
    consent(place)
    place.post("mercy", outreach(DANA))
    place.go()
    (task,) = place.current("Task")
    kinds = {one["type"]["coding"][0]["code"] for one in task["input"]}
    assert "invitation" in kinds
    (envelope,) = mailbox.got
    assert isinstance(envelope.content, bytes)
    parts = {part.get_content_type(): part for part in message_from_bytes(envelope.content).walk()}
    calendar = icalendar.Calendar.from_ical(parts["text/calendar"].get_payload(decode=True))
    assert calendar["METHOD"] == "REQUEST"


def test_what_an_obligation_removes_is_in_no_document(place: Place, mailbox: Mailbox) -> None:
    """A consent that withholds restricted content: words about it reach no medium."""
    introduce(place, {"org-lakeside": FAX, "dana": MAIL})
    deny = {
        "type": "deny",
        "securityLabel": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
        ],
    }
    consent(place, provision=[deny])
    label = (
        "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
    )
    coding = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
    normal = {**coding, "code": "N"}
    payload = [
        {"contentString": "SECRETWORD", "extension": [{"url": label, "valueCoding": coding}]},
        {"contentString": "Open word.", "extension": [{"url": label, "valueCoding": normal}]},
    ]
    assert place.post("mercy", outreach(DANA, payload=payload)).status_code == 201
    place.go()
    (envelope,) = mailbox.got
    assert isinstance(envelope.content, bytes)
    assert b"SECRETWORD" not in envelope.content
    assert b"Open word." in envelope.content
    rows = place.store.read(lambda tx: tx.deliveries.search())
    assert all(b"SECRETWORD" not in row.body for row in rows if row.destination != "hub")


def test_restricted_content_does_not_go_by_mail(place: Place, mailbox: Mailbox) -> None:
    """Confidentiality R: a call instead of a mail, and the ledger says why."""
    introduce(place, {"dana": [*MAIL, *PHONE]})
    consent(place, policy="sensitive")
    meta = {
        "security": [
            {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}
        ]
    }
    assert place.post("mercy", outreach(DANA, meta=meta)).status_code == 201
    place.go()
    assert mailbox.got == []
    assert place.by_medium() == [("phone", "delivered")]
    (choice,) = place.audit("outreach.chosen")
    assert choice["passed_over"]["mail"] == "restricted content may not go by it"


def test_a_number_that_changed_hands_is_not_used(place: Place) -> None:
    """An address that left the record while a delivery waited is passed over."""
    introduce(place, {"org-lakeside": FAX})
    consent(place)
    place.go()
    place.post("mercy", outreach(LAKESIDE))
    place.timers()
    introduce(place, {"org-lakeside": [{"system": "fax", "value": "+1 515 555 0000"}]})
    place.go()
    assert place.faxes() == []
    held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert [row.reason for row in held] == ["address-changed"]


def test_what_its_source_takes_back_is_told_no_more(place: Place, mailbox: Mailbox) -> None:
    """A Communication that became entered-in-error while it waited is held."""
    introduce(place, {"dana": MAIL})
    consent(place)
    place.go()
    place.post("mercy", outreach(DANA))
    place.timers()
    place.post("mercy", outreach(DANA, status="entered-in-error"))
    place.go()
    assert mailbox.got == []
    held = place.store.read(lambda tx: tx.deliveries.search(state="held"))
    assert "communication-ended" in {row.reason for row in held}


def test_the_preferences_table_decides(tmp_path: Path) -> None:
    """config.yaml can ask for another medium for one recipient."""
    config = settings(tmp_path)
    npi = "http://hl7.org/fhir/sid/us-npi|1888001124"
    config["coordination"]["preferences"] = [{"identifier": npi, "prefer": "phone"}]
    with outreach_town(tmp_path, config) as place:
        introduce(place, {"org-lakeside": [*FAX, *PHONE]})
        consent(place)
        place.post("mercy", outreach(LAKESIDE))
        place.go()
        assert place.by_medium() == [("phone", "delivered")]
        (choice,) = place.audit("outreach.chosen")
        assert choice["reason"] == "the preferences table asks for it"


@pytest.mark.parametrize(
    ("media", "code"),
    [
        ({"fax": {"number": "515 555 0100"}}, "O001"),
        ({"fax": {"folder": "a", "gateway": "https://fax.example"}}, "O001"),
        ({"fax": {"gateway": "http://fax.example/in"}}, "O002"),
        ({"mail": {"from": "a@b.example"}}, "O001"),
        ({"mail": {"host": "h", "folder": "out", "from": "a@b.example"}}, "O001"),
        ({"mail": {"host": "h", "from": "a@b.example", "user": "u"}}, "O003"),
        ({"mail": {"host": "h", "from": "a@b.example\r\nBcc: x@y.example"}}, "C103"),
        ({"mail": {"host": "h", "from": "a@b.example", "password": "secret"}}, "C109"),
    ],
)
def test_media_that_are_not_safe_are_refused(
    tmp_path: Path, media: dict[str, Any], code: str
) -> None:
    """Config with a fax that goes nowhere, or without encryption, or with half a login is wrong."""
    (tmp_path / "config.yaml").write_text(json.dumps(settings(tmp_path, **media)))
    _, problems = load_config(tmp_path / "config.yaml", {})
    assert code in [problem.code for problem in problems]
