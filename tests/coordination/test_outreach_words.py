"""What is said by each medium: only what the consent leaves, over encrypted connections."""

from __future__ import annotations

import ssl
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from outreach_town import (
    ADDRESSES,
    Mailbox,
    Place,
    consent,
    free_port,
    introduce,
    outreach,
    outreach_town,
    settings,
)

from engine.outreach.recipients import MODES, PARTICIPATION_MODE, PREFERRED_MEDIUM

OPEN_WORDS, CLOSED_WORDS = "Shall we meet about school?", "She is in treatment for opioids."
LABELS = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
INLINE = "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"


def said(place: Place, medium: str) -> str:
    """Return the words that left by a medium, whatever they are wrapped in."""
    if medium == "mail":
        (file,) = (place.folder / "mails").glob("*.eml")
        mail = message_from_bytes(file.read_bytes(), policy=policy.SMTP)
        assert isinstance(mail, EmailMessage)
        return str(mail.get_body(("plain",)))
    (task,) = place.current("Task")
    return str(next(one["valueString"] for one in task["input"] if "valueString" in one))


def labelled(words: str, level: str) -> dict[str, Any]:
    coding = {"system": LABELS, "code": level}
    return {"contentString": words, "extension": [{"url": INLINE, "valueCoding": coding}]}


@pytest.mark.parametrize("medium", ["mail", "phone", "meeting"])
def test_what_the_release_withholds_is_not_said(tmp_path: Path, medium: str) -> None:
    """Under a release for regular content the restricted entry is left out of script and mail."""
    mail = {"folder": "mails", "from": "care@mercy.example"} if medium == "mail" else None
    with outreach_town(tmp_path, settings(tmp_path, mail=mail)) as place:
        coding = {"system": PARTICIPATION_MODE, "code": MODES[medium]}
        wish = {"url": PREFERRED_MEDIUM, "valueCodeableConcept": {"coding": [coding]}}
        introduce(place, {"dana": ADDRESSES[medium]}, dana={"extension": [wish]})
        consent(place)
        payload = [labelled(OPEN_WORDS, "N"), labelled(CLOSED_WORDS, "R")]
        response = place.post("mercy", outreach("RelatedPerson/dana", payload=payload))
        assert response.status_code == 201, response.text
        place.go()
        words = said(place, medium)
        assert OPEN_WORDS in words
        assert CLOSED_WORDS not in words


def test_mail_goes_over_implicit_tls(tmp_path: Path) -> None:
    """A relay that speaks TLS from the first byte gets the mail; one we cannot trust does not."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    for trusted, issuer in ((True, authority), (False, stranger)):
        folder = tmp_path / str(trusted)
        folder.mkdir()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        mailbox, port = Mailbox(tmp_path), free_port()
        server = Controller(mailbox, hostname="127.0.0.1", port=port, ssl_context=context)
        server.start()
        try:
            mail = {
                "host": "127.0.0.1",
                "port": port,
                "tls": "implicit",
                "from": "care@mercy.example",
                "authority": str(tmp_path / "ca.pem"),
                "timeout": 5,
            }
            with outreach_town(folder, settings(folder, mail=mail)) as place:
                introduce(place, {"dana": ADDRESSES["mail"]})
                consent(place)
                place.post("mercy", outreach("RelatedPerson/dana"))
                place.go()
        finally:
            server.stop()
        assert len(mailbox.got) == int(trusted)
