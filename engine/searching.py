"""Searching the record: by member, id or identifier, as the asking system may see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from engine.diagnostics import Diagnostic, Severity, operation_outcome
from engine.gather import stored
from engine.message import Resource
from engine.project import Project
from engine.reading import may_read, told_each
from engine.store import ResourceRow, Transaction
from engine.transform.crosswalk import identifier_key, literal, reference_key

MOST = 100
"""How many matches one page has at most."""

LOOKED_AT = 1000
"""How many stored resources one page looks at at most before it offers the next one."""

_MEMBER = ("patient", "subject", "for", "beneficiary")


@dataclass(frozen=True, slots=True)
class Query:
    """Hold a search as it was understood; `ignored` names the parameters that were not."""

    ids: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    business: tuple[str, ...] = ()
    count: int = 20
    after: str = ""
    ignored: tuple[str, ...] = ()
    given: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def understood(parameters: Iterable[tuple[str, str]]) -> Query:
    """Read search parameters (http://hl7.org/fhir/R4/search.html); several values are alternatives.

    Known are `_id`, `identifier`, `status`, `business-status`, `patient` and its other names,
    `patient.identifier`, `_count` and our own `_after`; others are named in `ignored`.
    """
    found: dict[str, list[str]] = {}
    ignored, given = [], []
    for name, value in parameters:
        bare = name.partition(":")[0]
        kind, _, chained = bare.partition(".")
        if bare in ("_id", "identifier", "status", "business-status", "_count", "_after"):
            found.setdefault(bare, []).extend(value.split(","))
        elif kind in _MEMBER and chained in ("", "identifier"):
            found.setdefault("member", []).extend(value.split(","))
        else:
            ignored.append(name)
        if bare != "_after":
            given.append((name, value))
    count = found.get("_count", ["20"])[0]
    return Query(
        tuple(found.get("_id", ())),
        tuple(found.get("member", ())),
        tuple(found.get("identifier", ())),
        tuple(found.get("status", ())),
        tuple(found.get("business-status", ())),
        min(MOST, int(count)) if count.isdigit() else 20,
        found.get("_after", [""])[0],
        tuple(ignored),
        tuple(given),
    )


def search(
    tx: Transaction, project: Project, system: str, type_name: str, query: Query, base: str
) -> Resource:
    """Return a searchset Bundle with what matches and `system` may see now."""
    entries: list[Resource] = []
    last, looked_at, more = query.after, 0, False
    for row in _candidates(tx, system, type_name, query):
        if len(entries) >= query.count or looked_at >= LOOKED_AT:
            more = True
            break
        last, looked_at = row.id, looked_at + 1
        if row.deleted or not _matches(row, query) or not may_read(tx, project, system, row):
            continue
        readings = told_each(tx, project, system, row)
        entries += [_entry(one.resource, base) for one in readings if one.resource is not None]
    if query.ignored:
        entries.append(_warning(query.ignored))
    return _bundle(entries, type_name, query, base, last if more else None)


def _candidates(
    tx: Transaction, system: str, type_name: str, query: Query
) -> Iterator[ResourceRow]:
    """Yield the resources that could match, by id, from the place where the last page ended."""
    if query.ids:
        found = [_by_id(tx, system, type_name, id) for id in query.ids]
        rows: Iterable[ResourceRow] = [row for row in found if row is not None]
    elif query.members:
        members = {m for given in query.members for m in _entities(tx, system, given)}
        rows = tx.resources.of_member(type_name, sorted(members))
    else:
        yield from _all(tx, type_name, query.after)
        return
    unique = {row.id: row for row in rows}
    yield from (unique[id] for id in sorted(unique) if id > query.after)


def _all(tx: Transaction, type_name: str, after: str) -> Iterator[ResourceRow]:
    while page := tx.resources.of_type(type_name, after=after, limit=MOST):
        yield from page
        after = page[-1].id


def _by_id(tx: Transaction, system: str, type_name: str, id: str) -> ResourceRow | None:
    own = tx.crosswalk.resolve([reference_key(system, f"{type_name}/{id}")])
    entity = next(iter(own.values()), None) or tx.crosswalk.current(id) or id
    return tx.resources.get(type_name, entity)


def _entities(tx: Transaction, system: str, given: str) -> tuple[str, ...]:
    """Return the canonical ids that a member parameter means: a reference, id or identifier."""
    token_system, bar, value = given.partition("|")
    if bar:
        key = identifier_key("Patient", {"system": token_system, "value": value})
    else:
        found = literal(given)
        key = reference_key(system, f"Patient/{found.id if found else given}")
    entity = next(iter(tx.crosswalk.resolve([key] if key else []).values()), None)
    if entity is None and not bar:
        entity = tx.crosswalk.current(given.rpartition("/")[2])
    return tx.crosswalk.same(entity) if entity else ()


def _matches(row: ResourceRow, query: Query) -> bool:
    resource = stored(row)
    if query.statuses and resource.get("status") not in query.statuses:
        return False
    if query.business and not any(
        _codes(resource.get("businessStatus"), token) for token in query.business
    ):
        return False
    return not query.identifiers or any(
        _bears(resource.get("identifier"), token) for token in query.identifiers
    )


def _bears(listed: Any, token: str) -> bool:
    system, bar, value = token.partition("|")
    for identifier in listed if isinstance(listed, list) else [listed]:
        if not isinstance(identifier, dict):
            continue
        if not bar and identifier.get("value") == token:
            return True
        if bar and identifier.get("system", "") == system and identifier.get("value") == value:
            return True
    return False


def _codes(concept: Any, token: str) -> bool:
    """Tell whether a CodeableConcept has the code of a token (`code`, `system|code`)."""
    system, bar, code = token.rpartition("|")
    return any(
        coding.get("code") == code and (not bar or coding.get("system", "") == system)
        for coding in (concept or {}).get("coding", ())
    )


def _entry(resource: Resource, base: str) -> Resource:
    url = f"{base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": "match"}}


def _warning(ignored: Sequence[str]) -> Resource:
    problem = Diagnostic(
        "R018",
        f"These search parameters are not known here and were ignored: {', '.join(ignored)}.",
        Severity.WARNING,
        remedy="send `Prefer: handling=strict` to have them refused.",
    )
    return {"resource": operation_outcome([problem]), "search": {"mode": "outcome"}}


def _bundle(
    entries: list[Resource], type_name: str, query: Query, base: str, after: str | None
) -> Resource:
    def url(extra: Sequence[tuple[str, str]] = ()) -> str:
        asked = urlencode([*query.given, *extra])
        return f"{base}/{type_name}?{asked}" if asked else f"{base}/{type_name}"

    links = [{"relation": "self", "url": url()}]
    if after is not None:
        links.append({"relation": "next", "url": url([("_after", after)])})
    bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "link": links}
    return {**bundle, "entry": entries} if entries else bundle
