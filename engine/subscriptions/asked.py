"""What a Subscription asks for: read from the resource, every problem told, secrets set apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from engine.clock import after
from engine.config.addresses import is_loopback
from engine.diagnostics import Diagnostic
from engine.fhir.dates import moment
from engine.message import Resource
from engine.subscriptions.filters import Condition, understood
from engine.subscriptions.topics import IG, TOPICS, Topic
from engine.validate import validate

FILTER = f"{IG}/StructureDefinition/backport-filter-criteria"
CONTENT = f"{IG}/StructureDefinition/backport-payload-content"
HEARTBEAT = f"{IG}/StructureDefinition/backport-heartbeat-period"
TIMEOUT = f"{IG}/StructureDefinition/backport-timeout"
MAX_COUNT = f"{IG}/StructureDefinition/backport-max-count"
CHANNEL_TYPE = f"{IG}/StructureDefinition/backport-channel-type"
PROFILE = f"{IG}/StructureDefinition/backport-subscription"

Content = Literal["empty", "id-only", "full-resource"]
CONTENTS: tuple[Content, ...] = ("empty", "id-only", "full-resource")
MASK = "*****"
"""What stands for the value of a header when a Subscription is read back."""

_MOST_HEADERS, _LONGEST_HEADER, _LONGEST_ENDPOINT = 10, 4_000, 2_000
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}):[ \t]*([\x20-\x7e\t]*)")
_RESERVED = frozenset(
    {
        "accept", "accept-encoding", "connection", "content-encoding", "content-length",
        "content-type", "expect", "host", "idempotency-key", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
    }
)  # fmt: skip
_MIME = frozenset({"application/fhir+json", "application/json"})
_BOUNDS = {HEARTBEAT: (10, 2_678_400), TIMEOUT: (1, 300), MAX_COUNT: (1, 2_147_483_647)}
_NAMES = {HEARTBEAT: "UnsignedInt", TIMEOUT: "UnsignedInt", MAX_COUNT: "PositiveInt"}
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what a Subscription asks for; `headers` are secrets.

    `heartbeat` and `timeout` are in seconds, `ends` is an instant; None where none was given.
    """

    topic: Topic
    status: str
    endpoint: str
    content: Content
    conditions: Sequence[Condition] = ()
    heartbeat: int | None = None
    timeout: int | None = None
    ends: str | None = None
    headers: Headers = field(default=(), repr=False)


def read(
    resource: Resource,
    hooks: Sequence[str],
    *,
    at: str,
    before: Headers = (),
    statuses: Sequence[str] = ("requested", "active"),
) -> Asked | list[Diagnostic]:
    """Return what a Subscription asks for, or every problem with it.

    `hooks` are the URLs that the system may be notified at; `before` the headers that were set
    until now, which a masked value (`Authorization: *****`) keeps.
    """
    problems = list(validate(resource, "R4"))
    if problems:
        return problems
    channel, criteria = resource["channel"], str(resource.get("criteria", ""))
    topic = TOPICS.get(criteria.partition("|")[0])
    problems += _not_understood(resource)
    if topic is None:
        said, listed = "This topic is not offered.", " | ".join(TOPICS)
        problems.append(Diagnostic("S001", said, path="Subscription.criteria", expected=listed))
    conditions, wrong = understood(topic, _filters(resource)) if topic else ([], [])
    problems += wrong
    problems += _state(resource, statuses, at)
    problems += _channel(channel, hooks)
    numbers, wrong = _numbers(channel)
    problems += wrong
    headers, wrong = _headers(channel.get("header", ()), before)
    problems += wrong
    if problems or topic is None:
        return problems
    return _asked(resource, topic, conditions, numbers, headers)


def kept(resource: Resource, headers: Headers = ()) -> Asked:
    """Return what a Subscription on record asks for; it was found good before."""
    topic = TOPICS[str(resource["criteria"]).partition("|")[0]]
    conditions, _ = understood(topic, _filters(resource))
    numbers, _ = _numbers(resource["channel"])
    return _asked(resource, topic, conditions, numbers, headers)


def _asked(
    resource: Resource,
    topic: Topic,
    conditions: Sequence[Condition],
    numbers: Mapping[str, int],
    headers: Headers,
) -> Asked:
    channel = resource["channel"]
    return Asked(
        topic,
        str(resource["status"]),
        channel["endpoint"],
        _content(channel)[0],
        tuple(conditions),
        numbers.get(HEARTBEAT) or None,
        numbers.get(TIMEOUT),
        _end(resource),
        headers,
    )


def masked(resource: Resource) -> Resource:
    """Return a Subscription without the values of its headers."""
    channel = resource["channel"]
    if "header" not in channel:
        return resource
    names = [str(line).partition(":")[0] for line in channel["header"]]
    hidden = [f"{name}: {MASK}" for name in names]
    bare = {name: part for name, part in channel.items() if name != "_header"}
    return {**resource, "channel": {**bare, "header": hidden}}


def allowed(endpoint: str, hooks: Iterable[str]) -> bool:
    """Tell whether an endpoint is one of `hooks` or lies under one of them."""
    parts = _split(endpoint)
    return parts is not None and any(_under(parts, urlsplit(hook)) for hook in hooks)


def _split(endpoint: str) -> SplitResult | None:
    """Return the parts of a URL that can mean one thing only; None for any other."""
    plain = endpoint.isascii() and endpoint.isprintable() and len(endpoint) <= _LONGEST_ENDPOINT
    if not plain or any(sign in endpoint for sign in ' \\#"<>'):
        return None
    try:
        parts = urlsplit(endpoint)
        _ = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        return None
    dotted = any(step in (".", "..") for step in parts.path.split("/"))
    return None if dotted or "%" in parts.path or "//" in parts.path else parts


def _under(parts: SplitResult, hook: SplitResult) -> bool:
    if (parts.scheme, parts.hostname, _port(parts)) != (hook.scheme, hook.hostname, _port(hook)):
        return False
    folder = hook.path.rstrip("/")
    return parts.path == folder or parts.path.startswith(f"{folder}/")


def _port(parts: SplitResult) -> int:
    return parts.port or {"http": 80, "https": 443}[parts.scheme]


def _not_understood(resource: Resource) -> Iterator[Diagnostic]:
    channel = resource["channel"]
    for path, holder in (("Subscription", resource), ("Subscription.channel", channel)):
        for name in ("modifierExtension", "implicitRules"):
            if name in holder:
                said = "This could turn the meaning around and is not understood."
                yield Diagnostic("S009", said, path=f"{path}.{name}")


def _filters(resource: Resource) -> list[str]:
    beside = resource.get("_criteria")
    listed = beside.get("extension", ()) if isinstance(beside, Mapping) else ()
    return [str(one.get("valueString", "")) for one in listed if one.get("url") == FILTER]


def _state(resource: Resource, statuses: Sequence[str], at: str) -> Iterator[Diagnostic]:
    if resource.get("status") not in statuses:
        said, listed = "A subscriber cannot ask for this status.", " | ".join(statuses)
        yield Diagnostic("S006", said, path="Subscription.status", expected=listed)
    ends = _end(resource)
    if "end" in resource and (ends is None or ends <= at):
        said = "The subscription has ended before it begins."
        expected = "an instant that lies ahead"
        yield Diagnostic("S006", said, path="Subscription.end", expected=expected)


def _end(resource: Resource) -> str | None:
    text = resource.get("end")
    try:
        return after(text, 0) if isinstance(text, str) and moment(text) is not None else None
    except (ValueError, OverflowError):
        return None


def _channel(channel: Mapping[str, Any], hooks: Sequence[str]) -> Iterator[Diagnostic]:
    path = "Subscription.channel"
    if channel.get("type") != "rest-hook" or _extension(channel.get("_type"), CHANNEL_TYPE):
        said = "Channels of this type are not offered."
        yield Diagnostic("S004", said, path=f"{path}.type", expected="rest-hook")
    endpoint = channel.get("endpoint")
    if not isinstance(endpoint, str) or not allowed(endpoint, hooks):
        said = "This system may not be notified at this endpoint."
        expected = "a URL under one that config.yaml lists as `hooks` of the system"
        yield Diagnostic("S003", said, path=f"{path}.endpoint", expected=expected)
        endpoint = None
    if str(channel.get("payload", "")).partition(";")[0].strip() not in _MIME:
        said = "Notifications are FHIR JSON."
        yield Diagnostic("S004", said, path=f"{path}.payload", expected="application/fhir+json")
    content = _content(channel)
    if len(content) != 1:
        said = "The payload must say once how much content it carries."
        expected = f"{CONTENT}: {' | '.join(CONTENTS)}"
        yield Diagnostic("S004", said, path=f"{path}.payload.extension", expected=expected)
    elif endpoint is not None and content[0] == "full-resource" and not _safe(endpoint):
        said = "Whole resources are not sent unencrypted."
        yield Diagnostic("S004", said, path=f"{path}.endpoint", expected="https")


def _safe(endpoint: str) -> bool:
    parts = urlsplit(endpoint)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _content(channel: Mapping[str, Any]) -> list[Content]:
    said = [one.get("valueCode") for one in _extension(channel.get("_payload"), CONTENT)]
    known: list[Content] = [one for one in CONTENTS for code in said if code == one]
    return known if len(known) == len(said) else []


def _extension(holder: Any, url: str) -> list[Mapping[str, Any]]:
    listed = holder.get("extension", ()) if isinstance(holder, Mapping) else ()
    return [one for one in listed if one.get("url") == url]


def _numbers(channel: Mapping[str, Any]) -> tuple[dict[str, int], list[Diagnostic]]:
    found: dict[str, int] = {}
    problems = []
    for url, (least, most) in _BOUNDS.items():
        for one in _extension(channel, url):
            value = one.get(f"value{_NAMES[url]}")
            none = url == HEARTBEAT and value == 0
            if not isinstance(value, int) or not (none or least <= value <= most):
                problems.append(_number_problem(url, least, most))
            else:
                found[url] = value
    return found, problems


def _number_problem(url: str, least: int, most: int) -> Diagnostic:
    name = url.rpartition("/")[2]
    said = f"The extension {name} holds no number that is taken."
    return Diagnostic(
        "S008",
        said,
        path="Subscription.channel.extension",
        expected=f"value{_NAMES[url]} from {least} to {most}",
    )


def _headers(lines: Sequence[str], before: Headers) -> tuple[Headers, list[Diagnostic]]:
    known = {name.lower(): value for name, value in before}
    found: dict[str, tuple[str, str]] = {}
    problems = []
    for place, line in enumerate(lines):
        header = _header(str(line), known)
        if header is None or header[0].lower() in found or place >= _MOST_HEADERS:
            path = f"Subscription.channel.header[{place}]"
            said = "This header cannot be sent."
            expected = f"`Name: value`, at most {_MOST_HEADERS} of them, each name once"
            problems.append(Diagnostic("S005", said, path=path, expected=expected))
        else:
            found[header[0].lower()] = header
    return tuple(found.values()), problems


def _header(line: str, known: Mapping[str, str]) -> tuple[str, str] | None:
    parts = _HEADER.fullmatch(line) if len(line) <= _LONGEST_HEADER else None
    if parts is None or parts[1].lower() in _RESERVED:
        return None
    if parts[2] != MASK:
        return parts[1], parts[2].strip()
    value = known.get(parts[1].lower())
    return None if value is None else (parts[1], value)
