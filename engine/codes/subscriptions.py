"""Diagnostic codes of subscriptions: what a system asks for, and what it is sent."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "S001",
        "The topic is not offered",
        "not-supported",
        "Subscription.criteria must be the canonical URL of a topic that this server offers: GET "
        "/fhir/metadata lists them, docs/subscriptions.md explains them. Searches as criteria "
        "(R4's own way) are not offered.",
    ),
    Code(
        "S002",
        "The filter cannot be applied",
        "not-supported",
        "A filter criterion is `Type?parameter=value`, of the topic's type and with parameters "
        "that the topic can be filtered by. What cannot be applied is refused, never ignored: it "
        "would widen what is sent.",
    ),
    Code(
        "S003",
        "The endpoint is not one of this system's",
        "security",
        "Notifications go only to what config.yaml lists under `hooks` of the subscribing system: "
        "to these URLs and what lies under them. Ask the operator of this engine to add yours.",
    ),
    Code(
        "S004",
        "This kind of channel is not offered",
        "not-supported",
        "Offered are rest-hook channels with a payload of application/fhir+json, and as content "
        "`empty`, `id-only` or, where the endpoint is https or on this machine, `full-resource`.",
    ),
    Code(
        "S005",
        "A header of the channel cannot be sent",
        "invalid",
        "Subscription.channel.header holds texts `Name: value`, a few of them and short. Headers "
        "that belong to HTTP itself or that this server sets cannot be chosen.",
    ),
    Code(
        "S006",
        "The subscription cannot be in this state",
        "business-rule",
        "A subscriber asks for `requested` (or `active`), and updates to `off` to end it; the "
        "server says when it is active or in error. `end` must lie ahead.",
    ),
    Code(
        "S007",
        "The system has too many subscriptions",
        "too-costly",
        "How many a system may have at once stands in config.yaml under `limits.subscriptions`. "
        "Delete those that are not needed any more.",
    ),
    Code(
        "S008",
        "A number of the channel is out of bounds",
        "value",
        "The heartbeat period is 10 seconds to 31 days (0: none), the time-out 1 to 300 seconds, "
        "the greatest number of events in a notification 1 or more.",
    ),
    Code(
        "S009",
        "The subscription says what is not understood",
        "not-supported",
        "A modifierExtension or implicitRules may turn the meaning of the whole around, so such a "
        "Subscription is refused.",
    ),
    Code(
        "S010",
        "The system may not subscribe here",
        "forbidden",
        "config.yaml lists no `hooks` for this system: there is nowhere to notify it.",
    ),
    Code(
        "S020",
        "The notification is not known here",
        "login",
        "Whoever notifies must bear the secret that was given with the subscription, as "
        "`Authorization: Bearer SECRET`, at the endpoint of that subscription.",
    ),
    Code(
        "S021",
        "This is no notification",
        "structure",
        "A notification is a Bundle of type history whose first entry is a Parameters with "
        "subscription, status and type (Subscriptions R5 Backport 1.1.0, "
        "backport-subscription-notification-r4).",
    ),
)
