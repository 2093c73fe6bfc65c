"""The loss certificate of a mapping: per element and table, what comes back and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from engine.diagnostics import Diagnostic, Place
from engine.transform.mapping import DIRECTIONS, Direction, Fate
from engine.transform.plan import Block, Plan, SiblingPlan, Step
from engine.transform.tables import Key, Table

Verdict = str | dict[str, str]

_HEAD = "# Written by `carelane certify`; read the diff, do not edit.\n"


def certificate(plan: Plan) -> str:
    """Return the certificate as YAML text; the same mapping always gives the same text."""
    mapping = plan.mapping
    body: dict[str, Any] = {
        "mapping": mapping.name,
        "version": mapping.version,
        "dialect": f"{mapping.dialect.resource} {mapping.dialect.fhir}",
        "canonical": f"{mapping.canonical.resource} {mapping.canonical.fhir}",
        "elements": dict(_elements(plan.root, "", frozenset())),
    }
    beside = dict(_canonical_only(plan.root, "", frozenset()))
    if beside:
        body["canonical_only"] = beside
    written = dict(_written(plan))
    if written:
        body["written"] = written
    if plan.siblings is not None:
        body["siblings"] = dict(_siblings(plan.siblings))
    body["policies"] = dict(_policies(plan))
    tables = {name: _table(table) for name, table in sorted(plan.tables.items())}
    if tables:
        body["tables"] = tables
    return _HEAD + yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)


def certificate_path(path: Path) -> Path:
    """Return where the certificate of a mapping file lies."""
    return path.with_name(f"{path.stem}.certificate.yaml")


def stale(plan: Plan, path: Path, shown: str) -> list[Diagnostic]:
    """Return a problem where the certificate beside a mapping is not what it would be now."""
    beside = certificate_path(path)
    place = Place(f"{shown.removesuffix('.yaml')}.certificate.yaml", 1, 1)
    remedy = f"run `carelane certify {shown}`, and read the diff before you commit it."
    try:
        text = beside.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        said = "The mapping has no certificate that can be read."
        return [Diagnostic("M031", said, place=place, remedy=remedy)]
    wanted = certificate(plan)
    if text == wanted:
        return []
    pairs = zip([*text.splitlines(), ""], [*wanted.splitlines(), ""], strict=False)
    line = next((i + 1 for i, (a, b) in enumerate(pairs) if a != b), 1)
    said = "The certificate does not say what the mapping does now."
    return [Diagnostic("M031", said, place=Place(place.file, line, 1), remedy=remedy)]


def _elements(block: Block, prefix: str, seen: frozenset[int]) -> Iterator[tuple[str, Verdict]]:
    if id(block) in seen:
        return
    for step in block.steps:
        for end in step.dialect:
            path = f"{prefix}{end.text}{'[]' if end.element.is_list else ''}"
            if step.block is not None and not _lossy(step):
                yield path, "invertible"
                yield from _elements(step.block, f"{path}.", seen | {id(block)})
            else:
                yield path, _verdict(step)


def _canonical_only(
    block: Block, prefix: str, seen: frozenset[int]
) -> Iterator[tuple[str, Verdict]]:
    if id(block) in seen:
        return
    for step in block.steps:
        for end in step.canonical:
            path = f"{prefix}{end.text}{'[]' if end.element.is_list else ''}"
            if not step.dialect:
                yield path, _verdict(step)
            elif step.block is not None:
                yield from _canonical_only(step.block, f"{path}.", seen | {id(block)})


def _verdict(step: Step) -> Verdict:
    rule = step.rule
    if step.operation == "drop":
        return {"dropped": rule.reason}
    lossy = _lossy(step)
    if lossy:
        return {"lossy": lossy}
    match step.operation:
        case "carry":
            return {"invertible": "carried in an extension"}
        case "cross_version":
            return {"invertible": f"in {rule.url.text if rule.url else ''}"}
        case "function":
            return {"invertible": f"by {rule.function.text if rule.function else ''}"}
        case "coding" | "table":
            return {"invertible": f"by the table {step.table.name if step.table else ''}"}
    return "invertible"


def _lossy(step: Step) -> str:
    """Return why a step does not give everything back, or an empty text."""
    rule = step.rule
    if step.operation == "expression":
        ways = " and ".join(direction for direction in DIRECTIONS if direction in rule.expressions)
        return f"computed {ways} by an expression, not invertible"
    for title, fate in (("rest", rule.rest), ("otherwise", rule.otherwise)):
        if fate is not None and fate.kind == "drop":
            return f"{title} dropped: {fate.reason}"
    table = None if rule.keep_source or step.operation != "table" else step.table
    if table is not None and any(table.collapsing(direction) for direction in DIRECTIONS):
        return f"codes that collapse in the table {table.name} are not kept apart"
    return ""


def _written(plan: Plan) -> Iterator[tuple[str, Verdict]]:
    for title, given in (("constant", plan.constants), ("default", plan.defaults)):
        for direction in DIRECTIONS:
            for value in given.get(direction, ()):
                name = f"{value.end.text} {direction}"
                said = {"invertible": "written where it is absent, and marked"}
                yield name, said if title == "default" else {"lossy": "absent becomes this"}


_MERGED = {
    "agree": "invertible, and must agree",
    "common": "invertible; the whole has what all say alike",
    "union": "invertible; the whole has every item once",
    "collect": "invertible; the whole has every item once, a sibling its own",
    "own": "invertible; the whole has none of it",
    "widest": "invertible; the whole has the widest",
    "labels": "invertible; the whole has all labels and tags",
    "first": "invertible; the whole has the first of the ranked",
}


def _siblings(siblings: SiblingPlan) -> Iterator[tuple[str, Any]]:
    """Yield what becomes of siblings; each one's own travels in extensions of its item."""
    yield "one_of", siblings.one
    yield "same", [name for name, _ in siblings.same]
    yield "known_by", list(siblings.by)
    gone = [clause for clause in (siblings.left, siblings.ended) if clause is not None]
    if gone:
        yield "aside", [clause.condition.text for clause in gone]
    yield "others", {name: _MERGED[word.word] for name, word in siblings.others.items()}


def _policies(plan: Plan) -> Iterator[tuple[str, Verdict]]:
    policies = plan.mapping.policies
    yield "unmapped", "rejected" if policies.on_unmapped == "reject" else "carried"
    for path, fate in policies.unmapped:
        yield f"unmapped {path.text}", _fate(fate)
    yield "extension", _fate(policies.extension)
    yield "modifierExtension", _fate(policies.modifier)
    yield "primitive_extensions", _fate(policies.primitive)


def _fate(fate: Fate | None) -> Verdict:
    if fate is None:
        return "rejected"
    words = {"copy": "copied", "carry": "carried", "reject": "rejected"}
    return {"dropped": fate.reason} if fate.kind == "drop" else words[fate.kind]


def _table(table: Table) -> dict[str, Any]:
    out: dict[str, Any] = {"rows": len(table.rows)}
    unlike = sum(1 for row in table.rows if row.relationship != "equivalent")
    if unlike:
        out["not_equivalent"] = unlike
    for direction in DIRECTIONS:
        collapsing = dict(_collapsing(table, direction))
        if collapsing:
            out[f"collapse_{direction}"] = collapsing
    return out


def _collapsing(table: Table, direction: Direction) -> Iterator[tuple[str, list[str]]]:
    for key, rows in table.collapsing(direction):
        yield _shown(key), [_shown(row.source(direction)) for row in rows]


def _shown(key: Key) -> str:
    return f"{key[0]}|{key[1]}" if key[0] else key[1]
