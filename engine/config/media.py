"""The settings of outreach: by which media it may go, whose they are, and what people prefer."""

# ruff: noqa: RUF009 - the calls declare settings; each makes a dataclass field

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from engine.config.addresses import BaseUrl, ExistingPath, is_loopback
from engine.config.kinds import Choice, Listed, Number, Secret, Section, Text, Truth, Whole
from engine.config.reading import Reading
from engine.config.settings import absent_or, optional, required
from engine.document import Node

MEDIA = ("fhir", "fax", "mail", "phone", "meeting")
"""Every medium of outreach."""

_mailbox = Text("an e-mail address", r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_medium = Choice(MEDIA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fax:
    """Hand rendered documents to a fax gateway, over HTTP or in a folder that it watches."""

    gateway: str | None = absent_or(
        BaseUrl(), "Where the gateway takes documents: a multipart POST with `to` and the PDF."
    )
    folder: str | None = absent_or(
        Text("a folder, relative to this file"),
        "The folder that the gateway watches; a document is complete once its .json is there.",
    )
    bearer: str | None = absent_or(
        Secret(
            "a bearer token, from the environment",
            r"[A-Za-z0-9._~+/-]+=*",
            "the gateway's operator issues it to you.",
        ),
        "The bearer token that we send to the gateway.",
        secret=True,
    )
    insecure: bool = optional(
        Truth(), "Whether the gateway may be an http:// URL on another machine.", False
    )
    number: str | None = absent_or(
        Text("a telephone number in quotes", r"[0-9+(). -]{3,30}"),
        "The number to call back, printed on the cover sheet.",
    )
    concurrency: int = optional(Whole(1, 64), "How many documents may be under way at once.", 2)
    timeout: float = optional(
        Number(0.1, 300, "seconds"), "How long handing one document over may take.", 30.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Hand messages to a mail relay over SMTP, encrypted unless said otherwise, or in a folder."""

    host: str | None = absent_or(
        Text("a host name or address", r"[A-Za-z0-9.:_-]+"), "The relay that takes our mail."
    )
    folder: str | None = absent_or(
        Text("a folder, relative to this file"),
        "The folder from which a relay on this machine picks mail up, instead of `host`; each "
        "message is one .eml file, there whole or not at all.",
    )
    port: int = optional(Whole(1, 65_535), "The relay's port.", 587)
    tls: str = optional(
        Choice(("starttls", "implicit", "none")),
        "How the connection is encrypted; with `none` the mail travels in the clear.",
        "starttls",
    )
    sender: str = required(_mailbox, "The address that our mail comes from.", key="from")
    name: str | None = absent_or(Text("text in one line", r"[^\x00-\x1f]+"), "The sender's name.")
    user: str | None = absent_or(Text(), "The user that logs in at the relay.")
    password: str | None = absent_or(
        Secret(
            "a password, from the environment", r"[^\x00-\x1f]+", "the relay's operator knows it."
        ),
        "The password of `user`.",
        secret=True,
    )
    authority: Path | None = absent_or(
        ExistingPath("a file of certificates (PEM)"),
        "Certificates to trust for the relay instead of the usual ones.",
    )
    concurrency: int = optional(Whole(1, 64), "How many messages may be under way at once.", 2)
    timeout: float = optional(
        Number(0.1, 300, "seconds"), "How long handing one message over may take.", 30.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Name who does what a machine cannot: a person, a role or a team of the acting system."""

    name: str = required(Text(), "Their name, for people.")
    system: str = required(
        Text("a URI without spaces", r"[A-Za-z][A-Za-z0-9+.-]*:\S+"), "Their identifier's system."
    )
    value: str = required(Text("an identifier in quotes"), "Their identifier in that system.")
    type: str = optional(
        Choice(("Practitioner", "PractitionerRole", "CareTeam", "Organization")),
        "What they are.",
        "PractitionerRole",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Phone:
    """Have somebody call: a Task with due time, number and script."""

    owner: Owner = required(Section(Owner), "Who calls.")
    within: float = optional(
        Number(0.25, 720, "hours"),
        "In how many hours a routine call is due; urgent ones in half, asap in an eighth of it, "
        "stat in an hour at most.",
        48.0,
    )
    languages: tuple[str, ...] = optional(
        Listed(Text("a language code", r"[a-z]{2,3}")),
        "What the owner speaks; with people of other languages written media come first.",
        ("en",),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Have somebody meet: a Task, and an invitation by mail where there is an address."""

    owner: Owner = required(Section(Owner), "Who meets.")
    organizer: str = required(_mailbox, "The address that answers to invitations go to.")
    days: int = optional(
        Whole(1, 90), "How many working days ahead a routine meeting is proposed.", 5
    )
    at: str = optional(
        Text("a time of day in quotes", r"([01][0-9]|2[0-3]):[0-5][0-9]"), "At what time.", "10:00"
    )
    minutes: int = optional(Whole(5, 480), "How long it lasts.", 30)
    zone: str = optional(
        Text("an IANA time zone", r"[A-Za-z0-9_+/-]+"), "In which zone that time is.", "UTC"
    )
    place: str | None = absent_or(Text("text in one line", r"[^\x00-\x1f]+"), "Where to meet.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """Say by which media outreach may go, beside the FHIR endpoints of the systems."""

    fax: Fax | None = absent_or(Section(Fax), "The fax gateway.")
    mail: Mail | None = absent_or(Section(Mail), "The mail relay.")
    phone: Phone | None = absent_or(Section(Phone), "Who makes telephone calls.")
    meeting: Meeting | None = absent_or(Section(Meeting), "Who holds meetings.")
    restricted: tuple[str, ...] = optional(
        Listed(_medium),
        "By which media restricted content may go (confidentiality R or V, or under a notice): a "
        "mailbox is often read by a whole household, so `mail` is not among them.",
        ("fhir", "fax", "phone", "meeting"),
    )

    def offered(self) -> frozenset[str]:
        """Return the media that are set up; FHIR always is."""
        return frozenset(
            {"fhir", *(name for name in MEDIA[1:] if getattr(self, name, None) is not None)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Say which media recipients of some kind want; the first that fits counts."""

    types: tuple[str, ...] = optional(
        Listed(Text("a FHIR resource type", r"[A-Z][A-Za-z]+")),
        "For recipients of these types; for all without it.",
        (),
    )
    identifier: str | None = absent_or(
        Text("`system|value` of an identifier", r"\S+\|\S+"), "For this one recipient."
    )
    language: str | None = absent_or(
        Text("a language code", r"[a-z]{2,3}"), "For those who speak this language."
    )
    priority: tuple[str, ...] = optional(
        Listed(Choice(("routine", "urgent", "asap", "stat"))),
        "For Communications of these priorities; for all without it.",
        (),
    )
    prefer: tuple[str, ...] = optional(
        Listed(_medium), "The media in the order in which they are wanted.", ()
    )
    avoid: tuple[str, ...] = optional(Listed(_medium), "The media that are never used.", ())


def check_media(root: Node, reading: Reading) -> None:
    """Check what no single setting of the media can tell."""
    media = _below(root, "coordination", "media")
    if media is None:
        return
    if (fax := media.get("fax")) is not None and fax.is_map:
        _fax(fax, reading)
    if (mail := media.get("mail")) is not None and mail.is_map:
        _mail(mail, reading)


def _below(node: Node, *keys: str) -> Node | None:
    found: Node | None = node
    for key in keys:
        found = found.get(key) if found is not None and found.is_map else None
    return found


def _fax(fax: Node, reading: Reading) -> None:
    given = [name for name in ("gateway", "folder") if fax.get(name) is not None]
    if len(given) != 1:
        reading.problem(
            "O001", "A fax goes either to a gateway or into a folder.", fax.place,
            expected="`gateway` or `folder`, and not both",
        )  # fmt: skip
    insecure = fax.get("insecure")
    if insecure is not None and insecure.value is True:
        return
    for url in _urls(fax.get("gateway"), reading):
        if urlsplit(url).scheme == "http" and not is_loopback(urlsplit(url).hostname or ""):
            reading.problem(
                "O002", "The fax gateway must be reached encrypted.", fax.place,
                expected="https, except on this machine itself",
                remedy="use https, or say `insecure: true` where the network itself is safe.",
            )  # fmt: skip


def _urls(node: Node | None, reading: Reading) -> Iterator[str]:
    if node is not None:
        url = BaseUrl().read(node, Reading(reading.root, reading.environ))
        if url is not None:
            yield url


def _mail(mail: Node, reading: Reading) -> None:
    if len([name for name in ("host", "folder") if mail.get(name) is not None]) != 1:
        reading.problem(
            "O001", "Mail goes either to a relay or into a folder.", mail.place,
            expected="`host` or `folder`, and not both",
        )  # fmt: skip
    if (mail.get("user") is None) != (mail.get("password") is None):
        reading.problem(
            "O003", "To log in at the relay takes a user and a password.", mail.place,
            expected="`user` and `password`, or neither",
        )  # fmt: skip
    tls, user = mail.get("tls"), mail.get("user")
    if tls is not None and tls.value == "none" and user is not None:
        reading.problem(
            "O002", "The password would travel unencrypted.", tls.place,
            expected="`tls: starttls` or `tls: implicit` where there is a user",
        )  # fmt: skip
