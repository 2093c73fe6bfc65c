"""Searching the record: by member, id or identifier, as the asking system may see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
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
_TOKENS = ("_id", "identifier", "status", "business-status")
_IDENTIFIED = ("identifier", "Patient.identifier")
_NAME = re.compile(r"([^:.]*)[:.]?(.*)", re.DOTALL)
_NUMBER = re.compile(r"0*([0-9]{1,9})")

Groups = tuple[tuple[str, ...], ...]
"""The values of a parameter for each time that it was given: one of each must fit."""


@dataclass(frozen=True, slots=True)
class Query:
    """Hold a search as it was understood; `ignored` names the parameters that were not.

    `problems` tell what can be neither answered nor ignored: more would match than was asked for.
    """

    ids: Groups = ()
    members: Groups = ()
    identifiers: Groups = ()
    statuses: Groups = ()
    business: Groups = ()
    count: int = 20
    after: str = ""
    ignored: tuple[str, ...] = ()
    problems: tuple[Diagnostic, ...] = ()
    given: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def understood(parameters: Iterable[tuple[str, str]]) -> Query:
    """Read search parameters (http://hl7.org/fhir/R4/search.html).

    Values behind a comma are alternatives; where a parameter is repeated, each must fit. Known are
    `_id`, `identifier`, `status`, `business-status`, `patient` and its other names,
    `patient.identifier`, `_count` and our own `_after`; others are named in `ignored`.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    ignored, problems, given = [], [], []
    for name, value in parameters:
        kind, how = _parted(name)
        values = tuple(value.split(","))
        if name in (*_TOKENS, "_count", "_after"):
            found.setdefault(name, []).append(values)
        elif kind in _MEMBER and how in ("", "Patient", *_IDENTIFIED):
            found.setdefault("member", []).append(values)
            if how in _IDENTIFIED and not all("|" in one for one in values):
                problems.append(_refused(_BARE, name, f"{name}=system|value"))
        elif kind in (*_TOKENS, *_MEMBER) and ":" in name:
            problems.append(_refused(_MODIFIED, name, f"{kind}=value"))
        elif name != "_format":
            ignored.append(name)
        if name != "_after":
            given.append((name, value))
    return Query(
        tuple(found.get("_id", ())),
        tuple(found.get("member", ())),
        tuple(found.get("identifier", ())),
        tuple(found.get("status", ())),
        tuple(found.get("business-status", ())),
        page_size(found.get("_count", [("",)])[0][0], default=20),
        found.get("_after", [("",)])[0][0],
        tuple(ignored),
        tuple(problems),
        tuple(given),
    )


_BARE = "An identifier without its system may be anybody's."
_MODIFIED = "This modifier is not applied here."


def _parted(name: str) -> tuple[str, str]:
    """Return a parameter's own name, and its modifier or chain."""
    found = _NAME.fullmatch(name)
    return (found[1], found[2]) if found else (name, "")


def _refused(said: str, name: str, expected: str) -> Diagnostic:
    return Diagnostic("R018", said, path=name, expected=expected)


def page_size(text: str, *, default: int) -> int:
    """Return how many matches one page is to have, as `_count` asks, but not above the most."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return MOST if text.isascii() and text.isdigit() else default
    return min(MOST, int(found[1]))


def search(
    tx: Transaction, project: Project, system: str, type_name: str, query: Query, base: str
) -> Resource:
    """Return a searchset Bundle with what matches and `system` may see now.

    `_count=0` asks only how many there are: that is told where one page can look at them all.
    """
    entries: list[Resource] = []
    most = query.count or LOOKED_AT
    last, looked_at, more = query.after, 0, False
    for row in _candidates(tx, project, system, type_name, query, base):
        if len(entries) >= most or looked_at >= LOOKED_AT:
            more = True
            break
        last, looked_at = row.id, looked_at + 1
        if row.deleted or not _matches(row, query) or not may_read(tx, project, system, row):
            continue
        readings = told_each(tx, project, system, row)
        entries += [_entry(one.resource, base) for one in readings if one.resource is not None]
    if not query.count:
        counted = _bundle([], type_name, query, base, None)
        return counted if more else {**counted, "total": len(entries)}
    if query.ignored:
        entries.append(_warning(query.ignored))
    return _bundle(entries, type_name, query, base, last if more else None)


def _candidates(
    tx: Transaction, project: Project, system: str, type_name: str, query: Query, base: str
) -> Iterator[ResourceRow]:
    """Yield the resources that could match, by id, from the place where the last page ended."""
    members = _members(tx, project, system, query.members, base)
    if query.ids:
        wanted = set(query.ids[0]).intersection(*query.ids[1:])
        found = [_by_id(tx, system, type_name, id) for id in wanted]
        rows: Iterable[ResourceRow] = [
            row for row in found if row is not None and (members is None or row.member in members)
        ]
    elif members is not None:
        rows = tx.resources.of_member(type_name, sorted(members))
    else:
        yield from _all(tx, type_name, query.after)
        return
    unique = {row.id: row for row in rows}
    yield from (unique[id] for id in sorted(unique) if id > query.after)


def _members(
    tx: Transaction, project: Project, system: str, groups: Groups, base: str
) -> frozenset[str] | None:
    """Return the canonical ids of the members that are asked for; None where any will do.

    What stands at this server's own base is what the asker calls so, as answers to it do.
    """
    bases = (f"{base}/", f"{project.config.server.base}/")
    meant = [
        frozenset(
            member
            for given in dict.fromkeys(group)
            for member in _entities(tx, project, system, _local(given, bases))
        )
        for group in groups
    ]
    return meant[0].intersection(*meant[1:]) if meant else None


def _local(given: str, bases: Iterable[str]) -> str:
    for base in bases:
        given = given.removeprefix(base)
    return given


def _all(tx: Transaction, type_name: str, after: str) -> Iterator[ResourceRow]:
    while page := tx.resources.of_type(type_name, after=after, limit=MOST):
        yield from page
        after = page[-1].id


def _by_id(tx: Transaction, system: str, type_name: str, id: str) -> ResourceRow | None:
    own = tx.crosswalk.resolve([reference_key(system, f"{type_name}/{id}")])
    entity = next(iter(own.values()), None) or tx.crosswalk.current(id) or id
    return tx.resources.get(type_name, entity)


def _entities(tx: Transaction, project: Project, system: str, given: str) -> tuple[str, ...]:
    """Return the canonical ids that a member parameter means: a reference, id or identifier.

    A reference means what it would in a resource that the asker sends.
    """
    token_system, bar, value = given.partition("|")
    if bar:
        key = identifier_key("Patient", {"system": token_system, "value": value})
        entity = next(iter(tx.crosswalk.resolve([key] if key else []).values()), None)
        return tx.crosswalk.same(entity) if entity else ()
    reference = given if "/" in given else f"Patient/{given}"
    found = literal(reference)
    if found is None or found.type != "Patient":
        return ()
    keys = project.naming.reference_keys(system, {"reference": reference})
    entity = next(iter(tx.crosswalk.resolve(keys).values()), None)
    if entity is None and found.base is None:
        entity = tx.crosswalk.current(found.id)
    return tx.crosswalk.same(entity) if entity else ()


def _matches(row: ResourceRow, query: Query) -> bool:
    resource = stored(row)
    return (
        all(_says(resource.get("status"), group) for group in query.statuses)
        and all(_any(_codes, resource.get("businessStatus"), group) for group in query.business)
        and all(_any(_bears, resource.get("identifier"), group) for group in query.identifiers)
    )


def _any(fits: Callable[[Any, str], bool], element: Any, tokens: Iterable[str]) -> bool:
    return any(fits(element, token) for token in tokens)


def _says(code: Any, tokens: Iterable[str]) -> bool:
    """Tell whether a code is one of `tokens`; its system is given by the element."""
    return isinstance(code, str) and code in [token.rpartition("|")[2] for token in tokens]


def _bears(listed: Any, token: str) -> bool:
    """Tell whether there is an Identifier as a token says (`value`, `system|value`, `system|`)."""
    system, bar, value = token.partition("|")
    for identifier in listed if isinstance(listed, list) else [listed]:
        if not isinstance(identifier, dict):
            continue
        if not bar and identifier.get("value") == token:
            return True
        same = identifier.get("system", "") == system and (system or value)
        if bar and same and (not value or identifier.get("value") == value):
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
