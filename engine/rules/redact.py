"""Obligations carried out: what a permit does not cover is taken out before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.message import Resource
from engine.rules.consent.policy import DEFAULT, Policy
from engine.rules.content import Part, element_of, entries, is_content
from engine.rules.elements import party_names, references_in
from engine.rules.mark import NOTICES, marked
from engine.rules.match import matches
from engine.rules.security_label import INLINE_LABEL
from engine.rules.sensitivity import SensitivityTable
from engine.rules.severed import without_strays
from engine.rules.told import Told, told_by
from engine.transform.home import is_ours
from engine.transform.home import without as without_carried

BESIDE = ("text", "note")
"""Elements that repeat in words what the others say: they go when anything else goes."""

THREADS = ("inResponseTo", "partOf", "replaces")
"""Elements whose references lead to the rest of a conversation."""

WORDS = ("contentString", "contentReference", "valueString", "valueMarkdown", "valueReference")
"""What makes an entry of a payload, input or output words; references with nothing else."""


class Redaction(Struct, frozen=True):
    """Hold what may be sent.

    `resource` is None where nothing may be; then `reason` is `nothing-remains` (all that was to
    be told is covered by an obligation), `no-recipient` or `obligation-unknown`. `removed` are the
    paths of what was taken out, in the resource as it came (`Communication.payload[1]`), `dropped`
    those of recipients that it must not go to.
    """

    resource: Resource | None
    removed: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    reason: str | None = None


def apply(
    resource: Resource,
    obligations: Sequence[Mapping[str, Any]],
    supporting: Sequence[Resource] = (),
    *,
    policy: Policy = DEFAULT,
    table: SensitivityTable | None = None,
    minor: bool = False,
) -> Redaction:
    """Carry out the obligations of a permit on a resource; the input is not changed.

    `obligations` are those of `engine.rules.decision`, `supporting` the resources that references
    lead to. With a `table`, content is judged under the labels that `label` gives it; the labels
    themselves are not sent. The result is valid where the input was: entries go whole, contained
    resources take the references to them along, and what stays says REDACTED.
    """
    told = told_by(resource, supporting, table=table, minor=minor)
    return carried_out(told, obligations, policy)


def carried_out(
    told: Told, obligations: Sequence[Mapping[str, Any]], policy: Policy = DEFAULT
) -> Redaction:
    """Carry out the obligations of a permit on what a resource tells, as `apply`."""
    resource = told.resource
    if not obligations and "contained" not in resource:
        sent = resource if told.marked else marked(resource, (), told.kept, redacted=False)
        return Redaction(sent, reason=None if sent else "obligation-unknown")
    if any(not _known(obligation) for obligation in obligations):
        return Redaction(None, reason="obligation-unknown")
    found = [part for part in told.parts if part.path not in told.notices]
    gone = {part.path for part in found if _is_removed(part, obligations, policy)}
    narrowed = any(obligation["type"] in ("redact", "permit-only") for obligation in obligations)
    if narrowed:
        gone |= {path for path, entry in entries(resource) if is_ours(entry)}
    if gone:
        gone |= _beside(told.labelled, found, policy)
    kept = [part.labels for part in found if part.path not in gone]
    dropped = _dropped(resource, obligations)
    root = str(resource.get("resourceType"))
    removed = tuple(f"{root}.{path}" if path else root for path in _in_place(resource, gone))
    reason = _nothing_left(resource, found, gone) or _nobody_left(resource, dropped)
    if reason:
        return Redaction(None, removed, tuple(f"{root}.{path}" for path in dropped), reason)
    sent = without_strays(resource, _without(resource, gone | set(dropped)))
    if gone:
        sent = _unspoken(sent)
    if narrowed:
        # Carried values are text that no label or code explains: none passes a narrowed permit.
        sent = without_carried(sent)
    sent = marked(sent, obligations, kept, redacted=bool(gone))
    if sent is None:
        return Redaction(None, reason="obligation-unknown")
    return Redaction(sent, removed, tuple(f"{root}.{path}" for path in dropped))


def _known(obligation: Mapping[str, Any]) -> bool:
    match obligation.get("type"):
        case "redact" | "permit-only":
            return isinstance(obligation.get("match"), Mapping)
        case "notice":
            return obligation.get("code") in NOTICES
        case "drop-recipient" | "no-redisclosure":
            return True
    return False


def _is_removed(part: Part, obligations: Iterable[Mapping[str, Any]], policy: Policy) -> bool:
    for obligation in obligations:
        if obligation["type"] == "redact":
            if matches(part, obligation["match"], "remove", policy) is not False:
                return True
        elif (
            obligation["type"] == "permit-only"
            and matches(part, obligation["match"], "keep", policy) is not True
        ):
            return True
    return False


def _beside(resource: Resource, found: Sequence[Part], policy: Policy) -> set[str]:
    """Return the paths of words that may repeat what is removed.

    Narrative and notes always may; a message's own words may unless they were labelled for
    themselves, or policy lets unlabelled content pass.
    """
    gone = {"text"} if "text" in resource else set()
    values = dict(entries(resource))
    for part in found:
        value = values.get(part.path)
        if element_of(part.path) in BESIDE or (
            policy.unlabelled == "withhold" and part.opaque and _is_words(value)
        ):
            gone.add(part.path)
    return gone


def _is_words(value: Any) -> bool:
    """Tell whether an entry is nothing but words that carry no label of their own."""
    if isinstance(value, str):
        return True
    if not isinstance(value, Mapping) or references_in(value):
        return False
    if any(extension.get("url") == INLINE_LABEL for extension in value.get("extension", ())):
        return False
    return any(key in value for key in WORDS) or set(value) <= {"text", "id", "extension"}


def _nothing_left(resource: Resource, found: Sequence[Part], gone: set[str]) -> str | None:
    """Tell whether all that was to be told is gone, or what changes the meaning of the rest."""
    if any(element_of(path) == "modifierExtension" for path in gone):
        return "nothing-remains"
    told = [part.path for part in found if is_content(resource, part.path)]
    told = told or [part.path for part in found if element_of(part.path) != "contained"]
    return "nothing-remains" if told and gone.issuperset(told) else None


def _dropped(resource: Resource, obligations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the paths of the recipients that must not be sent to."""
    barred = {
        name
        for obligation in obligations
        if obligation["type"] == "drop-recipient"
        for name in party_names(obligation.get("recipient") or {})
    }
    recipients = resource.get("recipient")
    return [
        f"recipient[{index}]"
        for index, recipient in enumerate(recipients if isinstance(recipients, list) else ())
        if isinstance(recipient, Mapping) and barred.intersection(party_names(recipient))
    ]


def _nobody_left(resource: Resource, dropped: Sequence[str]) -> str | None:
    recipients = resource.get("recipient")
    left = isinstance(recipients, list) and len(recipients) == len(dropped)
    return "no-recipient" if dropped and left else None


def _in_place(resource: Resource, gone: set[str]) -> list[str]:
    """Return the paths in the order of the resource."""
    keys = list(resource)

    def place(path: str) -> tuple[int, int]:
        element, _, index = path.partition("[")
        return (
            keys.index(element) if element in keys else -1,
            int(index[:-1] or 0) if index else 0,
        )

    return sorted(gone, key=place)


def _unspoken(resource: Resource) -> Resource:
    """Return the resource without the words on references to what it belongs to."""
    out = dict(resource)
    for key in THREADS:
        if isinstance(found := out.pop(key, None), list):
            bare = [{name: one[name] for name in one if name != "display"} for one in found]
            if any(bare):
                out[key] = [one for one in bare if one]
    return out


def _without(resource: Resource, gone: set[str]) -> Resource:
    """Return the resource without the entries at these paths; lists left empty go too."""
    out: Resource = {}
    for key, value in resource.items():
        element = key.removeprefix("_")
        if element in gone:
            continue
        if isinstance(value, list):
            value = [one for index, one in enumerate(value) if f"{element}[{index}]" not in gone]
            if not value:
                continue
        out[key] = value
    return out
