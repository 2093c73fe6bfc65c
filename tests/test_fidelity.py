"""What comes in goes out to the last digit: decimals, dates, primitive extensions, long texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from town import Town, loaded, town_after

from engine.fhir.json import dumps, loads

DIV = '<div xmlns=\\"http://www.w3.org/1999/xhtml\\">{text}</div>'
PLAN = """{{
  "resourceType": "CarePlan", "id": "exact",
  "text": {{"status": "generated", "div": "{div}"}},
  "status": "active", "_status": {{"extension": [
    {{"url": "http://mercy.example/why", "valueDecimal": 1.0e2}}]}},
  "intent": "plan",
  "category": [{{"coding": [{{"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                            "code": "assess-plan"}}]}}],
  "title": "Übung für Zoë — 日本語 👩‍⚕️ \\u0000x",
  "subject": {{"reference": "Patient/avery"}},
  "period": {{"start": "2026", "end": "2026-05"}},
  "activity": [{{"detail": {{"status": "scheduled",
    "quantity": {{"value": 72.50}}, "dailyAmount": {{"value": 1.0e2}},
    "scheduledPeriod": {{"start": "2026-05-01T10:00:00.000-05:00"}}}}}}]
}}"""


def plan(text: str = "x") -> bytes:
    """Return a CarePlan whose values are easily spoilt."""
    return PLAN.format(div=DIV.format(text=text)).replace("\\u0000x", "").encode()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    """Return a town that knows the sample people."""
    with town_after(tmp_path, "01-who-is-who") as built:
        yield built


EXACT = (
    b'"value":72.50',
    b'"value":1.0e2',
    b'"valueDecimal":1.0e2',
    b'"start":"2026"',
    b'"end":"2026-05"',
    b'"2026-05-01T10:00:00.000-05:00"',
)


@pytest.mark.parametrize("dialect", ["us-core", "hrex"])
def test_values_keep_their_text_through_both_directions(dialect: str) -> None:
    """To canonical and back every digit, date and extension stands as it was written."""
    adapter = loaded().adapter(dialect, "CarePlan")
    tree = loads(plan())
    there = adapter.to_canonical(tree)
    assert there.ok, there.diagnostics
    assert there.resource is not None
    back = adapter.to_dialect(there.resource)
    assert back.resource == tree
    text = dumps(back.resource)
    for piece in EXACT:
        assert piece in text
    assert "Übung für Zoë — 日本語 👩‍⚕️".encode() in text


def test_values_keep_their_text_on_the_whole_road(place: Town) -> None:
    """The hub receives the very digits that the hospital sent, and so reads the hospital back."""
    response = place.send("mercy", "POST", "/fhir/CarePlan", plan())
    assert response.status_code == 201, response.text
    (arrived,) = place.deliver()
    own = place.send("mercy", "GET", "/fhir/CarePlan/exact").content
    for text in (dumps(arrived.resource), own):
        for piece in EXACT:
            assert piece in text
        assert b'"_status"' in text


def test_a_narrative_of_five_megabytes_passes_unchanged(place: Town) -> None:
    """Long narratives are texts like others; only the body limit bounds them."""
    words = "So much to tell. " * 310_000
    body = plan(words)
    assert len(body) > 5_000_000
    response = place.send("mercy", "POST", "/fhir/CarePlan", body)
    assert response.status_code == 201, response.text[:500]
    (arrived,) = place.deliver()
    assert arrived.resource["text"]["div"] == json.loads(body)["text"]["div"]
