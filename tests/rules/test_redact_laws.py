"""The laws of redaction, held against the corpus and generated messages and obligations."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from redactions import (
    PASS,
    TABLE,
    TYPES,
    coded,
    condition,
    contained_ids,
    instance,
    label_match,
    message,
    permit_only,
    redact,
)

from engine.diagnostics import has_errors
from engine.fhir.json import dumps, loads
from engine.rules.consent.policy import Policy
from engine.rules.mark import NOTICES
from engine.rules.redact import apply
from engine.validate import validate


def test_real_resources_are_redacted_into_valid_ones(shared: Path) -> None:
    """Corpus resources that carry content stay valid, whatever is taken out of them."""
    rules = [
        [redact(securityLabel=label_match("HIV"))],
        [permit_only(securityLabel=label_match("N"))],
        [redact(dataPeriod={"start": "2010", "end": "2015"})],
    ]
    tried = sent = 0
    for path in sorted((shared / "corpus" / "examples").rglob("*.json")):
        if not path.name.startswith(("Communication", "CarePlan", "CareTeam", "Task")):
            continue
        resource = loads(path.read_bytes())
        if resource.get("resourceType") == "Bundle" or has_errors(validate(resource)):
            continue
        for rule in rules:
            tried += 1
            for policy in (Policy(), PASS):
                result = apply(resource, rule, table=TABLE, policy=policy)
                if result.resource is not None:
                    sent += 1
                    assert not has_errors(validate(result.resource)), path.name
    print(f"{tried} redactions of corpus resources, {sent} left something to send")
    assert tried > 100


CODES = st.sampled_from(["B20", "E11.9", "F10.2", "F33.1", "I10", "Z30.0"])
LABELS = st.lists(st.sampled_from(["N", "R", "HIV", "MH", "SUD", "ETHUD"]), min_size=1, max_size=2)
DATES = st.sampled_from(["2023", "2024-02", "2024-05-01", "2025-01-01T10:00:00Z"])
MATCH = st.recursive(
    st.one_of(
        LABELS.map(lambda codes: {"securityLabel": label_match(*codes)}),
        LABELS.map(lambda codes: {"securityLabelIn": label_match(*codes)}),
        CODES.map(lambda code: {"code": [coded(code)]}),
        st.sampled_from(["Condition", "Communication", "Observation"]).map(
            lambda name: {"class": [{"system": TYPES, "code": name}]}
        ),
        DATES.map(lambda date: {"dataPeriod": {"start": date, "end": date}}),
        st.integers(0, 3).map(lambda n: {"data": [instance(f"Condition/c{n}")]}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda found: {"any": found}),
        st.lists(inner, min_size=1, max_size=2).map(lambda found: {"all": found}),
        inner.map(lambda found: {"not": [found]}),
    ),
    max_leaves=3,
)
OBLIGATIONS = st.lists(
    st.builds(
        lambda kind, match: {"type": kind, "match": match},
        st.sampled_from(["redact", "permit-only"]),
        MATCH,
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Communication of contained conditions, words, attachments and reasons."""
    found = []
    for number, code in enumerate(draw(st.lists(CODES, max_size=4))):
        more: dict[str, Any] = {}
        if draw(st.booleans()):
            more["recordedDate"] = draw(DATES)
        found.append(condition(f"c{number}", code, **more))
    told = message(*found)
    if draw(st.booleans()):
        told["payload"].append({"contentString": "SECRET words"})
    if draw(st.booleans()):
        told["payload"].append({"contentAttachment": {"url": "http://x.example/SECRET"}})
    if draw(st.booleans()):
        told["reasonCode"] = [coded(draw(CODES))]
    if draw(st.booleans()):
        told["note"] = [{"text": "SECRET note"}]
    if draw(st.booleans()):
        told["meta"] = {"security": label_match(*draw(LABELS))}
    return {key: value for key, value in told.items() if value != []}


def told_parts(resource: dict[str, Any] | None) -> set[bytes]:
    """Return every entry of a message, to be compared as sets."""
    if resource is None:
        return set()
    names = ("payload", "contained", "reasonCode", "note")
    entries = {dumps(entry) for name in names for entry in resource.get(name, [])}
    notices = {dumps({"contentString": words}) for words in NOTICES.values()}
    return entries - notices


@settings(max_examples=400)
@given(told=messages(), obligations=OBLIGATIONS)
def test_what_is_sent_is_valid_and_complete(
    told: dict[str, Any], obligations: list[dict[str, Any]]
) -> None:
    """The result is valid, holds nothing new, has no dangling reference, and leaves its input."""
    before = copy.deepcopy(told)
    result = apply(told, obligations, table=TABLE)
    assert told == before
    if result.resource is None:
        assert result.reason == "nothing-remains"
        return
    assert validate(result.resource) == []
    assert told_parts(result.resource) <= told_parts(told)
    local = {f"#{name}" for name in contained_ids(result.resource)}
    for entry in result.resource.get("payload", []):
        reference = entry.get("contentReference", {}).get("reference")
        assert reference is None or reference in local
    marks = {one["code"] for one in result.resource.get("meta", {}).get("security", [])}
    assert ("REDACTED" in marks) is bool(result.removed)
    assert not marks & {"HIV", "MH", "SUD", "ETHUD", "PSY", "SEX"}


@settings(max_examples=400)
@given(told=messages(), obligations=OBLIGATIONS)
def test_redacting_twice_is_redacting_once(
    told: dict[str, Any], obligations: list[dict[str, Any]]
) -> None:
    """A second pass finds nothing more to remove."""
    once = apply(told, obligations, table=TABLE).resource
    if once is not None:
        assert apply(once, obligations, table=TABLE).resource == once


@settings(max_examples=400)
@given(told=messages(), obligations=OBLIGATIONS, more=OBLIGATIONS)
def test_more_obligations_never_keep_more(
    told: dict[str, Any], obligations: list[dict[str, Any]], more: list[dict[str, Any]]
) -> None:
    """Adding an obligation removes the same or more, in any order."""
    some = told_parts(apply(told, obligations, table=TABLE).resource)
    assert told_parts(apply(told, [*obligations, *more], table=TABLE).resource) <= some
    assert told_parts(apply(told, [*more, *obligations], table=TABLE).resource) <= some


@settings(max_examples=400)
@given(told=messages(), code=CODES)
def test_a_denied_code_is_nowhere_in_what_is_sent(told: dict[str, Any], code: str) -> None:
    """Nothing that a removal by code covers is left in the bytes, nor words that may repeat it."""
    result = apply(told, [redact(code=[coded(code)])], table=TABLE)
    if result.resource is None:
        return
    sent = dumps(result.resource)
    assert f'"{code}"'.encode() not in sent
    if result.removed:
        assert b"SECRET note" not in sent
