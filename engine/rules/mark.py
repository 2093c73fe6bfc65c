"""Marks on what is sent: REDACTED, the highest confidentiality, handling, and legal notices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from engine.fhir.schema import schema
from engine.message import Resource
from engine.rules.consent.codings import ACT_CODE, CONFIDENTIALITY, OBSERVATION_VALUE
from engine.rules.elements import CARRIERS
from engine.rules.security_label import (
    RANK,
    Label,
    ancestors,
    confidentiality,
    labels_in,
)

NOTICE_EXTENSION = "https://carelane.example/fhir/StructureDefinition/disclosure-notice"
"""Where a notice stands in a resource that has neither payload nor note."""

NOTICES: Mapping[str, str] = MappingProxyType(
    {
        "42-cfr-part-2": (
            "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
        ),
    }
)
"""The words of each notice; 42 CFR 2.32(a)(2) gives this sentence as sufficient by itself."""

REDACTED = {"system": OBSERVATION_VALUE, "code": "REDACTED", "display": "redacted"}
NO_REDISCLOSURE = {
    "system": ACT_CODE,
    "code": "NORDSCLCD",
    "display": "no redisclosure without consent directive",
}


def marked(
    sent: Resource,
    obligations: Sequence[Mapping[str, Any]],
    kept: Sequence[frozenset[Label]],
    *,
    redacted: bool,
) -> Resource | None:
    """Return what is sent with its labels and notices, or None where it has no place for one."""
    duties = [*obligations, *_duties(kept)]
    sent = _with_marks(sent, duties, kept, redacted=redacted)
    for duty in duties:
        if duty["type"] == "notice":
            if not _bears_notice(str(sent.get("resourceType"))):
                return None
            sent = _with_notice(sent, str(duty["code"]))
    return sent


def _duties(kept: Iterable[frozenset[Label]]) -> list[Mapping[str, Any]]:
    """Return what the law adds: substance use records go with their notice (42 CFR 2.32)."""
    if not any(map(_of_substance_use, kept)):
        return []
    return [{"type": "notice", "code": "42-cfr-part-2"}, {"type": "no-redisclosure"}]


@lru_cache(maxsize=4096)
def _of_substance_use(labels: frozenset[Label]) -> bool:
    kinds = {code for system, code in labels if system == ACT_CODE}
    return any("SUD" in ancestors(code) or code == "ETH" for code in kinds)


def _with_marks(
    resource: Resource,
    obligations: Iterable[Mapping[str, Any]],
    kept: Sequence[frozenset[Label]],
    *,
    redacted: bool,
) -> Resource:
    """Return the resource with its outward labels.

    On a resource that carries content the outside shows only the highest confidentiality of what
    it holds: a sensitivity there would tell what is held back. `kept` are the labels of each part.
    """
    own = resource.get("meta")
    own = own if isinstance(own, dict) else {}
    security = stated = own.get("security") or []
    if resource.get("resourceType") in CARRIERS:
        security = _outward(security, kept, redacted=redacted)
    if redacted:
        security = _with(security, REDACTED)
    if any(obligation["type"] == "no-redisclosure" for obligation in obligations):
        security = _with(security, NO_REDISCLOSURE)
    if security == stated:
        return resource
    meta = {name: one for name, one in own.items() if name != "security"}
    if security:
        meta["security"] = security
    return _placed(resource, meta)


def _outward(security: list[Any], kept: Sequence[frozenset[Label]], *, redacted: bool) -> list[Any]:
    own = labels_in(security)
    levels = {level for level in map(_level, {own, *kept}) if level}
    highest = max(levels, key=RANK.__getitem__, default=None)
    if highest is None or not (own or redacted or RANK[highest] > RANK["N"]):
        return security
    if len(security) == 1 and confidentiality(own) == highest:
        return security
    each = [(one, labels_in([one])) for one in security]
    level = {"system": CONFIDENTIALITY, "code": highest}
    same = [one for one, labels in each if confidentiality(labels) == highest]
    return [same[0] if same else level, *[one for one, labels in each if not labels]]


@lru_cache(maxsize=4096)
def _level(labels: frozenset[Label]) -> str | None:
    """Return the confidentiality that labels amount to: a sensitivity alone counts as R."""
    return confidentiality(labels) or ("R" if labels else None)


def _with(security: list[Any], mark: Mapping[str, str]) -> list[Any]:
    present = {(one.get("system"), one.get("code")) for one in security}
    return security if (mark["system"], mark["code"]) in present else [*security, dict(mark)]


def _bears_notice(kind: str) -> bool:
    """Tell whether a type has a place for a notice (Bundle, Binary and Parameters have none)."""
    return schema("R4").element(f"{kind}.extension") is not None


def _with_notice(resource: Resource, code: str) -> Resource:
    """Return the resource with the words of a notice, once, where its reader sees them."""
    words = NOTICES[code]
    kind = str(resource.get("resourceType"))
    if kind in ("Communication", "CommunicationRequest"):
        return _appended(resource, "payload", {"contentString": words})
    if schema("R4").element(f"{kind}.note") is not None:
        return _appended(resource, "note", {"text": words})
    return _appended(resource, "extension", {"url": NOTICE_EXTENSION, "valueString": words})


def is_notice(entry: Any) -> bool:
    """Tell whether an entry is a notice that was put there by `marked`."""
    if isinstance(entry, dict):
        for key in _SAYING:
            if key in entry and entry[key] in _SAID:
                return True
    return False


_SAYING = ("contentString", "text", "valueString")
_SAID = tuple(NOTICES.values())


def _appended(resource: Resource, key: str, entry: dict[str, Any]) -> Resource:
    present = list(resource.get(key) or ())
    return resource if entry in present else {**resource, key: [*present, entry]}


def _placed(resource: Resource, meta: dict[str, Any]) -> Resource:
    """Return the resource with this `meta`, behind `id` where it had none."""
    if "meta" in resource:
        return {**resource, "meta": meta}
    rest = dict(resource)
    head: Resource = {name: rest.pop(name) for name in ("resourceType", "id") if name in rest}
    return {**head, "meta": meta, **rest}
