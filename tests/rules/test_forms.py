"""Resources of one form say the same: what is worked out of one holds for the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from worlds import WORLDS, World

from engine.rules.content import form_of
from engine.rules.mark import NOTICES, marked
from engine.rules.redact import carried_out
from engine.rules.security_label import ACT_CODE, INLINE_LABEL
from engine.rules.sensitivity import SensitivityTable, read_table
from engine.rules.told import Told, told_by

ICD = "http://hl7.org/fhir/sid/icd-10-cm"
NOTICE = NOTICES["42-cfr-part-2"]
WORDS = ("words", "some words", "other words", " ", "", "2026", "2026-05-01", "1.5", "1 5", NOTICE)
Resource = dict[str, Any]


def fresh() -> SensitivityTable:
    """Return the shipped table, with nothing read by it yet."""
    table, _ = read_table()
    assert table is not None
    return table


TABLE = fresh()


def entry(make: World) -> Any:
    label = {"system": ACT_CODE, "code": make.one("SUD", "PSY")}
    more: Resource = make.maybe(extension=[{"url": INLINE_LABEL, "valueCoding": label}])
    return make.one(make.entry(), {"contentString": make.one(*WORDS), **more}, more)


def message(make: World) -> Resource:
    """Make a message whose entries differ in words, labels, codes and what stands beside them."""
    bare = {"extension": [{"url": "urn:x", "valueCode": "x"}]}
    parts: Resource = make.maybe(
        payload=[entry(make), entry(make)],
        topic=make.one(make.concept(), bare),
        _topic=bare,
        note=[{"text": make.one(*WORDS)}],
        text={"status": make.one("generated", "additional"), "div": "<div>x</div>"},
    )
    return {**make.message(), **parts}


def said(told: Told) -> Any:
    sent = carried_out(told, ()).resource
    return told.labels, told.notices, {part.path: part.labels for part in told.parts}, sent


@settings(max_examples=800)
@given(WORLDS)
def test_whatever_came_before_a_resource_says_what_it_says_by_itself(make: World) -> None:
    """Labels, notices and marks are those that would be found if nothing had been read before."""
    library, minor = [make.condition("1")], make.one(True, False)
    for _ in range(4):
        one = message(make)
        anew = told_by(one, library, table=replace(TABLE), minor=minor)
        assert said(told_by(one, library, table=TABLE, minor=minor)) == said(anew)


@settings(max_examples=500)
@given(WORLDS)
def test_what_needs_no_mark_goes_as_it_came(make: World) -> None:
    """What is said to bear its marks is, once marked, still the very same; all else is not."""
    told = told_by(message(make), [make.condition("1")], table=TABLE)
    assert told.marked == (marked(told.resource, (), told.kept, redacted=False) == told.resource)


def outreach(words: str = "We meet on Friday.", **more: Any) -> Resource:
    return {"resourceType": "Communication", "payload": [{"contentString": words}], **more}


def test_messages_that_differ_in_words_and_names_are_of_one_form() -> None:
    """Of what a message says in words nothing is asked but whether it is words."""
    one, other = outreach(id="a", sent="2026-05-01"), outreach("Or later?", id="b", sent="2027")
    assert form_of(one) == form_of(other) is not None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(outreach("2026-05-01"), id="a date"),
        pytest.param(outreach(NOTICE), id="a notice"),
        pytest.param(outreach(note=[{"text": "x"}]), id="another entry"),
        pytest.param(outreach(meta={"security": [{"system": "x", "code": "R"}]}), id="a label"),
        pytest.param(outreach(reasonCode=[{"coding": [{"code": "B20"}]}]), id="a code"),
    ],
)
def test_what_labels_rest_on_makes_another_form(other: Resource) -> None:
    """Numbers, dates, notices, codes and labels are told apart."""
    assert form_of(other) not in (None, form_of(outreach()))


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Communication", "id": "nothing told"},
        {"resourceType": "Observation", "status": "final"},
        outreach(contained=[{"resourceType": "Group"}]),
        outreach(about=[{"reference": "CarePlan/1"}]),
        outreach(about=[{"identifier": {"value": "1"}}]),
    ],
)
def test_where_others_have_a_say_there_is_no_form(resource: Resource) -> None:
    """What is contained or referred to bears labels of its own, which are looked at each time."""
    assert form_of(resource) is None


def test_a_document_makes_no_form() -> None:
    """What is kept of each form is little: nobody keeps the documents that messages bring."""
    attached = {"contentType": "text/plain", "data": "QUFB" * 1_000}
    assert form_of(outreach(note=[{"text": "x"}], topic={"text": "y" * 1_000})) is not None
    two = [{"contentAttachment": attached}, {"contentAttachment": attached}]
    assert form_of(outreach(payload=two)) is None


def test_another_age_and_another_table_are_asked_anew() -> None:
    """A minor's confidential services have labels of their own; so has a project's own table."""
    resource = outreach(reasonCode=[{"coding": [{"system": ICD, "code": "Z30.9"}]}])
    plain = told_by(resource, table=TABLE).labels
    assert told_by(resource, table=TABLE, minor=True).labels != plain
    assert told_by(resource, table=replace(TABLE, prefixes={}, otherwise=None)).labels != plain


def test_forms_are_kept_within_bounds() -> None:
    """However many forms come, only so many are held, and each still says its own."""
    table, sizes = fresh(), []
    for number in range(6_000):
        table.once(number, lambda: "read")
        sizes.append(len(table._once))
    assert max(sizes) <= 5_000
