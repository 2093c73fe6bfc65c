"""Secure e-mail: the message, and handing it to a relay, encrypted or in a folder."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from engine.config.media import Mail
from engine.deliver.answer import Reply
from engine.outreach.dispatch import MOST_CHARACTERS, Dispatch, name
from engine.outreach.folder import file_name, write

SUBJECT = "Coordination of care: a confidential message"
"""What every such mail is called: subjects are shown where others may read them."""

CONFIDENTIAL = (
    "This message is confidential. It holds health information that the law protects, for its "
    "recipient only. If it is not meant for you, delete it and tell the sender."
)

_OVERLOADED, _REFUSED, _UNKNOWN, _TOO_LONG = 503, 422, 401, 413


def message(dispatch: Dispatch, settings: Mail, invite: bytes | None = None) -> EmailMessage:
    """Return the mail of a dispatch; its Message-ID is the same at every attempt."""
    mail = EmailMessage(policy=SMTP)
    mail["Message-ID"] = f"<{dispatch.key}@{settings.sender.rpartition('@')[2]}>"
    mail["Date"] = datetime.fromisoformat(dispatch.at)
    mail["From"] = Address(_shown(settings.name or dispatch.sender), addr_spec=settings.sender)
    mail["To"] = Address(_shown(dispatch.to), addr_spec=dispatch.address)
    mail["Subject"] = SUBJECT
    mail["Auto-Submitted"] = "auto-generated"
    if dispatch.priority in ("urgent", "asap", "stat"):
        mail["Importance"] = "high"
    mail.set_content("\n\n".join(_text(dispatch)) + "\n", cte="quoted-printable")
    if invite is not None:
        _invite(mail, invite)
    return mail


def _shown(given: str) -> str:
    """Return a name for a header; what looks encoded would be decoded there, line ends and all."""
    return name(given).replace("=?", "= ?")


def _text(dispatch: Dispatch) -> Iterator[str]:
    yield f"From: {dispatch.sender}"
    if dispatch.member_name:
        yield f"About: {dispatch.member_name}"
    if dispatch.meeting:
        yield "You are asked to a meeting; the invitation is attached."
    yield from dispatch.paragraphs
    yield "--"
    yield from dispatch.notices
    yield CONFIDENTIAL


def _invite(mail: EmailMessage, invite: bytes) -> None:
    """Attach an invitation as clients look for it: as another form of the text, and as a file."""
    mail.add_alternative(invite.decode(), subtype="calendar", params={"method": "REQUEST"})
    mail.add_attachment(invite, maintype="application", subtype="ics", filename="invitation.ics")


def send(dispatch: Dispatch, settings: Mail, timeout: float, invite: bytes | None = None) -> Reply:
    """Hand a mail to the relay and return what it said, in the statuses that a delivery knows.

    Runs as long as the relay takes (each step `timeout` seconds at most): call it in a thread.
    """
    if sum(map(len, dispatch.paragraphs)) > MOST_CHARACTERS:
        return Reply(_TOO_LONG)
    try:
        mail = message(dispatch, settings, invite)
        with _relay(settings, timeout) as relay:
            relay.send_message(mail, settings.sender, [dispatch.address])
    except smtplib.SMTPRecipientsRefused as error:
        return Reply(_status(min(code for code, _ in error.recipients.values())))
    except smtplib.SMTPAuthenticationError:
        return Reply(_UNKNOWN)
    except smtplib.SMTPNotSupportedError:
        return Reply(failure="unreachable")
    except smtplib.SMTPResponseException as error:
        return Reply(_status(error.smtp_code))
    except smtplib.SMTPServerDisconnected:
        return Reply(failure="broken")
    except TimeoutError:
        return Reply(failure="timeout")
    except (OSError, smtplib.SMTPException):
        return Reply(failure="unreachable")
    except ValueError:
        return Reply(_REFUSED)
    return Reply(202)


def put(dispatch: Dispatch, folder: Path, settings: Mail, invite: bytes | None = None) -> Reply:
    """Put a mail into a folder that a relay picks up, as one `.eml`; a repeat replaces it."""
    if sum(map(len, dispatch.paragraphs)) > MOST_CHARACTERS:
        return Reply(_TOO_LONG)
    try:
        mail = message(dispatch, settings, invite).as_bytes()
        write(folder / f"{file_name('mail', dispatch.key)}.eml", mail)
    except ValueError:
        return Reply(_REFUSED)
    except OSError:
        return Reply(failure="unreachable")
    return Reply(202)


def _status(code: int) -> int:
    """Return 4xx of SMTP as come back later, everything else as refused for good."""
    return _OVERLOADED if 400 <= code < 500 else _REFUSED


@contextlib.contextmanager
def _relay(settings: Mail, timeout: float) -> Iterator[smtplib.SMTP]:
    """Open an encrypted, logged-in connection; what goes wrong at its end is of no interest."""
    relay = _connected(settings, timeout)
    try:
        if settings.tls == "starttls":
            relay.starttls(context=_trust(settings))
        if settings.user is not None and settings.password is not None:
            relay.login(settings.user, settings.password)
        yield relay
    finally:
        with contextlib.suppress(OSError, smtplib.SMTPException):
            relay.quit()
        relay.close()


def _connected(settings: Mail, timeout: float) -> smtplib.SMTP:
    host = settings.host
    if host is None:
        raise ConnectionError("no relay is set up")
    if settings.tls == "implicit":
        return smtplib.SMTP_SSL(host, settings.port, timeout=timeout, context=_trust(settings))
    return smtplib.SMTP(host, settings.port, timeout=timeout)


def _trust(settings: Mail) -> ssl.SSLContext:
    authority = str(settings.authority) if settings.authority is not None else None
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
