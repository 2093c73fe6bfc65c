"""The third stage of the road: whether a resource is valid, and every reason where it is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from engine.diagnostics import Diagnostic, Severity, has_errors
from engine.fhir.containment import unreferenced
from engine.fhir.decoders import Decoders, decoders, inner_resources
from engine.fhir.explain import MAX_PROBLEMS, explain
from engine.fhir.schema import Version
from engine.message import Resource

if TYPE_CHECKING:
    from engine.fhir.profiles import Profile


MAX_ASKED = 50
"""How many entries of a refused Bundle are shown to fhir.resources, which is slow."""


def validate(
    resource: Resource, fhir: Version = "R4", profiles: Sequence[Profile] = ()
) -> list[Diagnostic]:
    """Return every problem of a resource; without an error among them it is valid.

    Valid resources take the fast road, typed decoders derived from the schema. What that refuses
    is walked again to explain each problem with its FHIRPath, and shown to fhir.resources as
    well. A refusal always has a reason: where neither explains it, the decoder's own stands.
    Warnings and information (ppc-1, dom-3, must-support) do not make a resource invalid.
    """
    known = decoders(fhir)
    refused = known.refusal(resource)
    if refused is not None:
        return _explained(resource, fhir, known, refused)
    problems = list(_advice(resource, fhir)) if _needs_advice(resource) else []
    for profile in profiles:
        problems += profile.check(resource)
    return problems


def still_valid(resource: Resource, written: frozenset[str], fhir: Version = "R4") -> bool:
    """Tell whether a resource is valid of which all but what is `written` is known to be.

    `written` are elements of the resource as an adapter names them (`engine.transform.written`).
    Where the answer is no, `validate` says whether it is invalid, and why.
    """
    return decoders(fhir).accepts(resource, written)


def _explained(resource: Any, fhir: Version, known: Decoders, refused: str) -> list[Diagnostic]:
    try:
        problems = explain(resource, fhir)
        if len(problems) < MAX_PROBLEMS:
            problems += _second_opinion(resource, fhir, known, problems)
    except RecursionError:
        problems = []
    if has_errors(problems):
        return problems
    return [*problems, Diagnostic("V014", "The resource is refused.", path=refused)]


def _second_opinion(
    resource: Any, fhir: Version, known: Decoders, problems: list[Diagnostic]
) -> Iterator[Diagnostic]:
    """Ask fhir.resources about what is refused; in a Bundle about the entries that are."""
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str) or kind not in known.schema.resources:
        return
    if kind == "Bundle":
        inside = islice(inner_resources(resource, kind), MAX_ASKED)
        for path, inner in inside:
            if known.refusal(inner) is not None:
                yield from _asked(inner, path, known, problems)
    else:
        yield from _asked(resource, kind, known, problems)


def _asked(
    resource: Any, path: str, known: Decoders, problems: list[Diagnostic]
) -> Iterator[Diagnostic]:
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(kind, str) or kind not in known.schema.resources:
        return
    told = {problem.path.replace("._", ".") for problem in problems if problem.path}
    try:
        known.schema.model(kind).model_validate(resource)
    except ValidationError as refusal:
        for error in refusal.errors(include_url=False, include_input=False, include_context=False):
            where = _path(path, error["loc"])
            if not _covered(where, told):
                told.add(where)
                said = "fhir.resources refuses this element."
                yield Diagnostic("V013", said, path=where, expected=error["type"])
    except (ValueError, TypeError, ArithmeticError, AttributeError, AssertionError, LookupError):
        return  # its validators meet shapes that they do not expect; ours have told the problem


def _path(root: str, steps: Sequence[int | str]) -> str:
    path = root
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "root":
            path += f".{step.removeprefix('_')[:64]}"
    return path


def _covered(where: str, told: set[str]) -> bool:
    return any(
        path.startswith(where) or where.startswith((f"{path}.", f"{path}[")) for path in told
    )


# --- invariants that real systems break every day: told as warnings ----------------------------


def _needs_advice(resource: Resource) -> bool:
    kind = resource["resourceType"]
    if kind == "Consent" and "policyRule" not in resource and "policy" not in resource:
        return True
    return kind == "Bundle" or "contained" in resource


def _advice(resource: Resource, fhir: Version) -> Iterator[Diagnostic]:
    kind = str(resource["resourceType"])
    yield from _advice_on(resource, kind, fhir)
    if kind == "Bundle":
        for path, inner in inner_resources(resource, kind):
            yield from _advice_on(inner, path, fhir)


def _advice_on(resource: Resource, path: str, fhir: Version) -> Iterator[Diagnostic]:
    if resource["resourceType"] == "Consent" and fhir == "R4":
        yield from _policy(resource, path)
    if "contained" in resource:
        for broken in unreferenced(resource, path):
            yield _warning("V010", broken.key, broken.path, broken.expected)


def _policy(consent: Resource, path: str) -> Iterator[Diagnostic]:
    if "policy" not in consent and "policyRule" not in consent:
        yield _warning("V011", "ppc-1", path, "a policy or a policyRule")


def _warning(code: str, key: str, path: str, expected: str) -> Diagnostic:
    said = f"The invariant {key} does not hold."
    return Diagnostic(code, said, Severity.WARNING, path=path, expected=expected)
