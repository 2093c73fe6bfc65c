"""The member view as FHIR: a document Bundle whose Composition has a section for each part."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from html import escape
from typing import Any

from engine.coordination.summary import Section, Summary
from engine.message import Resource
from engine.project import Project
from engine.rules.orders import reference_to

SECTION_SYSTEM = "https://carelane.example/fhir/CodeSystem/summary-section"


def document(summary: Summary, project: Project, base: str) -> Resource:
    """Return the document (http://hl7.org/fhir/R4/documents.html); `base` is this server's /fhir.

    Its resources are canonical R4, as they may be told; the Composition comes first.
    """
    composition = _composition(summary, project)
    included = [summary.patient, *_included(summary)]
    resources = [composition, *(_unversioned(each) for each in included)]
    made = {
        "resourceType": "Bundle",
        "identifier": {
            "system": "urn:ietf:rfc:3986",
            "value": f"urn:uuid:{_uuid(f'{summary.reader}|{summary.member}|{summary.at}')}",
        },
        "type": "document",
        "timestamp": summary.at,
        "entry": [
            {"fullUrl": f"{base}/{reference_to(each)}", "resource": each} for each in resources
        ],
    }
    labels = _labels(resources)
    return made | ({"meta": {"security": labels}} if labels else {})


def _included(summary: Summary) -> Iterator[Resource]:
    """Yield every resource that a section rests on, once."""
    named = dict.fromkeys(r for section in summary.sections for r in section.entries)
    for reference in named:
        if reference in summary.told.told:
            yield summary.told.told[reference]


def _unversioned(resource: Resource) -> Resource:
    """Return a resource as it is told: with an id, and without empty parts."""
    return {name: value for name, value in resource.items() if value not in ({}, [], None)}


def _composition(summary: Summary, project: Project) -> Resource:
    coordination = project.config.coordination
    acting = coordination.acting if coordination else next(iter(project.config.systems))
    organization = project.config.systems[acting].organization
    author: dict[str, Any] = {
        "identifier": {"system": organization.system, "value": organization.value},
        "display": organization.name or acting,
    }
    return {
        "resourceType": "Composition",
        "id": str(_uuid(f"composition {summary.reader}|{summary.member}|{summary.at}")),
        "status": "final",
        "type": {
            "coding": [
                {
                    "system": "http://loinc.org",
                    "code": "34133-9",
                    "display": "Summary of episode note",
                }
            ],
            "text": "Coordination summary",
        },
        "subject": {"reference": f"Patient/{summary.member}"},
        "date": summary.at,
        "author": [author],
        "title": "Coordination summary",
        "custodian": author,
        "section": [_section(section, summary) for section in summary.sections],
    }


def _section(section: Section, summary: Summary) -> dict[str, Any]:
    made: dict[str, Any] = {
        "title": section.title,
        "code": {"coding": [{"system": SECTION_SYSTEM, "code": section.code}]},
        "text": {"status": "generated", "div": _narrative(section)},
    }
    entries = [{"reference": each} for each in section.entries if each in summary.told.told]
    if entries:
        return made | {"entry": entries}
    system = "http://terminology.hl7.org/CodeSystem/list-empty-reason"
    reason = {"coding": [{"system": system, "code": "unavailable"}], "text": section.empty}
    return made if section.rows else made | {"emptyReason": reason}


def _narrative(section: Section) -> str:
    lines = [
        " · ".join(filter(None, (row.mark, row.head, row.detail, row.source)))
        for row in section.rows
    ]
    if section.more:
        lines.append(f"and {section.more} more")
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    inner = f"<ul>{items}</ul>" if items else f"<p>{escape(section.empty)}</p>"
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>'


def _labels(resources: list[Resource]) -> list[dict[str, Any]]:
    seen: dict[tuple[Any, Any], dict[str, Any]] = {}
    for resource in resources:
        for coding in resource.get("meta", {}).get("security", ()):
            seen.setdefault((coding.get("system"), coding.get("code")), coding)
    return list(seen.values())


def _uuid(text: str) -> uuid.UUID:
    return uuid.UUID(hashlib.sha256(text.encode()).hexdigest()[:32], version=4)
