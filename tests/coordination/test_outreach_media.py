"""Mail and fax as media of outreach: over real connections, encrypted, whole, and set up safely."""

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

import pytest
import yaml
from outreach_town import (
    DANA,
    FAX,
    LAKESIDE,
    MAIL,
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
from engine.outreach.transport import MediaTransport
from engine.sending import Sending, destinations


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
