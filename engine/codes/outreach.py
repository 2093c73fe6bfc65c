"""Diagnostic codes of outreach: what is wrong with the media."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "O001",
        "It is not clear where a fax or mail goes",
        "invalid",
        "Give `coordination.media.fax` either a `gateway` (an HTTP URL) or a `folder` that the "
        "gateway watches, and `coordination.media.mail` either a `host` or a `folder` that a relay "
        "picks mail up from.",
    ),
    Code(
        "O002",
        "A medium is not encrypted",
        "security",
        "What is sent by this medium could be read on the way. Use https:// for a fax gateway, "
        "`tls: starttls` or `tls: implicit` for a mail relay.",
    ),
    Code(
        "O003",
        "Half of a login is missing",
        "required",
        "A mail relay that asks for a login needs `user` and `password`; one that does not needs "
        "neither.",
    ),
)
