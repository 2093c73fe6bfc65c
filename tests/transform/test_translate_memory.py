"""What a table made of a concept is remembered, and comes out as if it were worked out anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from shipped_adapters import shipped_adapters

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
EMAIL = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode",
    "code": "EMAILWRIT",
}
UNKNOWN = {"system": "http://a.example/mode", "code": "pigeon", "display": "by pigeon"}


@pytest.mark.parametrize(
    "concept",
    [
        {"coding": [EMAIL]},
        {"coding": [UNKNOWN], "text": "by pigeon"},
        {"text": "by pigeon", "coding": [UNKNOWN, EMAIL]},
        {"coding": [{"code": "EMAILWRIT"}]},
        {"coding": [{**UNKNOWN, "userSelected": True}]},
        {"coding": [{**UNKNOWN, "display": "x" * 500}]},
    ],
)
def test_a_translation_is_the_same_each_time_and_shared_by_none(concept: dict[str, Any]) -> None:
    """A second translation equals the first, notes included, also after the first was changed."""
    sent = {
        "resourceType": "Communication",
        "status": "completed",
        "medium": [concept],
    }
    for way in ("to_canonical", "to_dialect"):
        take = getattr(shipped_adapters().mapped["us-core", "Communication"], way)
        first, second = take(sent), take(sent)
        assert first == second
        assert list(first.resource["medium"][0]) == list(second.resource["medium"][0])
        for coding in first.resource["medium"][0]["coding"]:
            if not any(coding is own for own in concept["coding"]):
                coding["code"] = "changed"
        assert take(sent) == second
