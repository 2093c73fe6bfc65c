"""Which requests an answer belongs to: by reference, by identifier, and by nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.message import Resource
from engine.rules.elements import names_of, reference_names

_POINTERS = ("basedOn", "inResponseTo", "about", "focus", "partOf", "reasonReference")
ANSWERING = frozenset(
    {"Communication", "DocumentReference", "Task", "DiagnosticReport", "Observation"}
)
"""The types that may answer a request otherwise than by the request's own Task."""


def matching(answer: Resource, requests: Iterable[Resource]) -> list[Resource]:
    """Return the requests (Tasks) that a canonical resource answers.

    It points to one, or to the CommunicationRequest that one is based on, by `basedOn`,
    `inResponseTo`, `about`, `focus`, `partOf`, `reasonReference`, DocumentReference.context.related
    or relatesTo; or bears the request's identifier, or its own group's.
    """
    pointed = _pointed(answer)
    return [
        request
        for request in requests
        if request["id"] != answer.get("id") and not _names(request).isdisjoint(pointed)
    ]


def _pointed(answer: Resource) -> set[str]:
    found = {name for name in names_of(answer) if "|" in name}
    for name in _POINTERS:
        found.update(_targets(answer.get(name)))
    context = answer.get("context")
    if isinstance(context, Mapping):
        found.update(_targets(context.get("related")))
    for relation in _listed(answer.get("relatesTo")):
        found.update(_targets(relation.get("target")))
    return found


def _targets(given: Any) -> Iterable[str]:
    for reference in _listed(given):
        yield from reference_names(reference)


def _listed(given: Any) -> Sequence[Mapping[str, Any]]:
    listed = given if isinstance(given, list) else [given]
    return [one for one in listed if isinstance(one, Mapping)]


def _names(request: Resource) -> frozenset[str]:
    """Return what a request goes by: its own names and those of what it carries out."""
    return names_of(request) | frozenset(_targets(request.get("basedOn")))
