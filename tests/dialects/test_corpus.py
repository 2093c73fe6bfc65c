"""Real resources through each dialect that claims them: there, back, and equal."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from shipped_adapters import shipped_adapters

from engine.diagnostics import Diagnostic, has_errors
from engine.fhir.json import dumps, loads
from engine.fhir.schema import Version
from engine.validate import validate

REPOSITORY = Path(__file__).resolve().parents[2]
CORPUS = REPOSITORY.parent / "shared" / "corpus"
TYPES = (
    "CareTeam", "Consent", "CarePlan", "Communication", "CommunicationRequest", "Task",
    "RelatedPerson", "PractitionerRole",
)  # fmt: skip
CLAIMS: dict[Version, tuple[str, ...]] = {
    "R4": ("us-core", "us-core-8", "hrex", "fast-consent", "synthea", "text-first"),
    "R5": ("r5",),
}
"""Which dialects claim the files of a FHIR version, where they map the type."""


def _entries() -> list[dict[str, Any]]:
    index = CORPUS / "index.json"
    if not index.is_file():
        return []
    entries = json.loads(index.read_text(encoding="utf-8"))
    return [entry for entry in entries if entry["resourceType"] in TYPES]


ENTRIES = _entries()


def _version(entry: dict[str, Any]) -> Version:
    return "R5" if entry["fhirVersion"].startswith("5") else "R4"


def _read(entry: dict[str, Any]) -> Any:
    return loads((CORPUS / "examples" / entry["file"]).read_bytes())


def _errors(diagnostics: list[Diagnostic]) -> list[str]:
    return [item.text() for item in diagnostics if has_errors([item])]


def _id(entry: dict[str, Any]) -> str:
    return str(entry["file"])


@pytest.mark.parametrize("entry", ENTRIES, ids=_id)
def test_a_real_resource_comes_back_as_it_was(entry: dict[str, Any], shared: Path) -> None:
    """A valid file goes to canonical and back unchanged; one that is not is refused by path."""
    resource, version = _read(entry), _version(entry)
    problems = [item for item in validate(resource, version) if has_errors([item])]
    if problems:
        assert all(item.path for item in problems)
        return
    for dialect in CLAIMS[version]:
        adapter = shipped_adapters().get(dialect, entry["resourceType"])
        assert adapter is not None
        canonical = adapter.to_canonical(resource)
        assert canonical.ok, _errors([*canonical.diagnostics])
        assert canonical.resource is not None
        assert not _errors(validate(canonical.resource, "R4"))
        back = adapter.to_dialect(canonical.resource)
        assert back.ok, _errors([*back.diagnostics])
        assert back.resource is not None
        assert dumps(back.resource) == dumps(resource) or back.resource == resource


def test_the_corpus_is_counted(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The number of files that came back, and of those refused, is printed by type and version."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for entry in ENTRIES:
        version = _version(entry)
        refused = has_errors(validate(_read(entry), version))
        counts[entry["resourceType"], version, "refused" if refused else "round trip"] += 1
    with capsys.disabled():
        for (kind, fhir, what), count in sorted(counts.items()):
            print(f"\n  corpus: {kind} {fhir}: {count} {what}", end="")
    assert sum(n for (_, version, what), n in counts.items() if what == "round trip") >= 130


R4_ENTRIES = [entry for entry in ENTRIES if _version(entry) == "R4"]


def _is_unmapped(resource: dict[str, Any], problem: Diagnostic) -> bool:
    """Say whether it is about a contained resource of a type that the dialect does not map."""
    found = re.search(r"\.contained\[(\d+)\]", problem.path or "")
    if found is None:
        return False
    kind = resource["contained"][int(found[1])]["resourceType"]
    return ("r5", kind) not in shipped_adapters().mapped


@pytest.mark.parametrize("entry", R4_ENTRIES, ids=_id)
def test_a_real_r4_resource_survives_r5(entry: dict[str, Any], shared: Path) -> None:
    """R4 to R5 to R4 gives every valid file as it was, and what goes out is valid R5."""
    resource = _read(entry)
    if has_errors(validate(resource, "R4")):
        return
    adapter = shipped_adapters().get("r5", entry["resourceType"])
    assert adapter is not None
    there = adapter.to_dialect(resource)
    assert there.resource is not None, _errors([*there.diagnostics])
    problems = validate(there.resource, "R5")
    assert not _errors([item for item in problems if not _is_unmapped(resource, item)])
    assert adapter.to_canonical(there.resource).resource == resource


@pytest.mark.parametrize("entry", R4_ENTRIES, ids=_id)
@pytest.mark.parametrize("partner", ["hrex", "r5", "text-first"])
def test_a_real_resource_survives_a_partner(
    partner: str, entry: dict[str, Any], shared: Path
) -> None:
    """What a provider sent, a partner in another dialect kept and sent back is what it was."""
    resource = _read(entry)
    if has_errors(validate(resource, "R4")):
        return
    provider = shipped_adapters().get("us-core", entry["resourceType"])
    other = shipped_adapters().get(partner, entry["resourceType"])
    assert provider is not None
    assert other is not None
    current = resource
    for take in (
        provider.to_canonical,
        other.to_dialect,
        other.to_canonical,
        provider.to_dialect,
    ):
        result = take(current)
        assert result.resource is not None, _errors([*result.diagnostics])
        current = result.resource
    assert current == resource
