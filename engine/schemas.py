"""JSON Schemas of the files that people write, derived from the definitions that check them.

Editors complete and check with them as one types; the last word is `carelane lint`, which knows
FHIR as well. `carelane schema NAME` prints one; copies lie in docs/schemas/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.config.kinds import (
    Choice,
    Listed,
    Named,
    Number,
    Secret,
    Section,
    Subtree,
    Text,
    Truth,
    Whole,
)
from engine.config.model import Config
from engine.config.settings import Kind, settings_of
from engine.transform.cases import KEYS, WAYS
from engine.transform.mapping import DIRECTIONS, MERGING
from engine.transform.normalise import NORMALISED
from engine.transform.read import TOP
from engine.transform.read_rules import ALWAYS, MAIN, MISSES, OPTIONS
from engine.transform.read_siblings import KEYS as SIBLING_KEYS
from engine.transform.registry import FUNCTIONS

Schema = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
PATH = r"^[A-Za-z][A-Za-z0-9]*(\[x\])?((\[\])?\.[A-Za-z][A-Za-z0-9]*(\[x\])?)*(\[\])?$"
VARIABLE = r"^\$\{[A-Za-z_][A-Za-z0-9_]*(:-.*)?\}$"
TEXT: Schema = {"type": "string", "minLength": 1}
ANY: Schema = {}

HEAD: Mapping[str, str] = {
    "mapping": "The name of the mapping: its folder and file, `us-core/careteam`.",
    "version": "A whole number; raise it with each change.",
    "description": "For readers.",
    "extends": "The mapping that this one starts from; `fields:` overrides by path.",
    "dialect": "The side that a system writes: FHIR version, resource type, profile.",
    "canonical": "The side that rules see: FHIR version and resource type.",
    "normalise": "What FHIR does not allow and is taken as it is: illegal-ids.",
    "on_unmapped": "What to do with elements that FHIR does not have: reject, carry, or by path.",
    "extension": "What to do with extensions, at every level that is mapped.",
    "modifierExtension": "What to do with modifier extensions, at every level that is mapped.",
    "primitive_extensions": "What to do with the `_name` siblings of primitive values.",
    "fields": "Dialect path to what happens to it on the way to canonical.",
    "canonical_only": "Canonical elements that no field produces, and what becomes of them.",
    "constants": "Values that one direction writes, and the other expects.",
    "defaults": "Values that one direction writes where nothing is.",
    "siblings": "Several resources of the dialect that are one in canonical, and what becomes of "
    "what they say.",
}
"""What each key at the top of a mapping is for."""

RULES: Mapping[str, str] = {
    "fields": "The elements inside; `same` for the fields around this one.",
    "table": "Translate a code by a table; needs on_miss.",
    "coding": "Translate a Coding or CodeableConcept by a table; needs on_miss.",
    "ref": "Take a reference through the crosswalk; the types it may point to, or any.",
    "identifier": "Rename systems of identifiers: dialect system to canonical system.",
    "carry": "No home on the other side: travels in an extension; the text says why.",
    "drop": "Dropped; the text says why nobody needs it.",
    "cross_version": "The url of the cross-version extension that holds it.",
    "split": "One list into several places, by conditions; needs rest.",
    "function": "A registered pair of functions.",
    "to_canonical": "A FHIRPath expression for this direction; has no inverse.",
    "to_dialect": "A FHIRPath expression for this direction; has no inverse.",
    "to": "Where it goes; by default the same path.",
    "when": "The condition under which the operation is done; needs otherwise.",
    "otherwise": "What becomes of it where the condition does not hold.",
    "first": "The first item goes across; needs rest.",
    "rest": "What becomes of the other items.",
    "on_miss": "What to do with a code that the table does not have.",
    "keep_source": "Whether the source's coding stays beside the translation.",
    "only": "Translate in this direction only; the other undoes it for systems of the same "
    "dialect.",
    "with": "Further elements that the function reads.",
    "arguments": "What the function is told.",
    "take": "In a split: the one inner element that is taken.",
}
"""What each key of a field is for."""

SIBLINGS: Mapping[str, str] = {
    "one": "The list of which one resource of the dialect holds one item.",
    "by": "What an item is known by from one update to the next, the surest first.",
    "same": "What makes resources of one sender siblings: elements that they have alike.",
    "left": "The condition under which the item of a sibling does not stand in the whole.",
    "ended": "The condition under which an item stood in the whole until it ended.",
    "closing": "What a sibling is told whose item has left the whole.",
    "others": "Every other element, and how the whole gets it from its siblings.",
}
"""What each key of `siblings:` is for."""

MERGED: Mapping[str, str] = {
    "agree": "All siblings say the same; one that does not is refused (T023).",
    "common": "What all say alike; where they differ, nothing (T021).",
    "union": "Every item once.",
    "collect": "Every item once; a sibling is given its own only.",
    "own": "Each keeps its own; nothing of it stands in the whole.",
    "widest": "From the earliest start to the latest end.",
    "labels": "Of `meta` the security labels and tags of all.",
    "first": "The first of the listed codes that any sibling has.",
}
"""What each word of `others:` does; names are canonical ones."""

CASES: Mapping[str, str] = {
    "name": "What the case shows.",
    "direction": "to_canonical, to_dialect or round_trip.",
    "input": "The resource, or {file: samples/x.json}.",
    "inputs": "Several resources that are siblings.",
    "expect": "Part of the result.",
    "expect_exactly": "The whole result.",
    "expect_each": "Where one becomes several: part of each result, in order.",
    "absent": "Paths that must not be in the result.",
    "diagnostics": "Codes that must come.",
    "start": "For a round trip: where it starts.",
    "unknown_references": "References that the crosswalk of the case does not know.",
    "note": "For readers.",
}
"""What each key of a case is for."""


def _object(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    out: Schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": dict(properties),
    }
    return {**out, "required": sorted(required)} if list(required) else out


def _words(words: Iterable[str]) -> Schema:
    return {"enum": sorted(words)}


def _one_or_more(item: Schema) -> Schema:
    return {"anyOf": [item, {"type": "array", "items": item}]}


def _described(shapes: Mapping[str, Schema], about: Mapping[str, str]) -> dict[str, Schema]:
    return {key: {"description": about[key], **shapes.get(key, ANY)} for key in sorted(shapes)}


def _fate(*words: str) -> Schema:
    reason = _object({"drop": {"type": "string", "minLength": 3}}, ["drop"])
    return {"anyOf": [_words(words), reason]}


def mapping_schema() -> Schema:
    """Return the schema of `mappings/<dialect>/<resource>.yaml`."""
    side = _object(
        {"fhir": _words(("R4", "R5")), "resource": TEXT, "profile": TEXT}, ["fhir", "resource"]
    )
    fixed = _object({way: {"type": "object"} for way in DIRECTIONS})
    fields = {"$ref": "#/$defs/fields"}
    given: dict[str, Schema] = {
        "mapping": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
        "version": {"type": "integer", "minimum": 1},
        "description": {"type": "string"},
        "extends": TEXT,
        "dialect": side,
        "canonical": side,
        "normalise": _one_or_more(_words(NORMALISED)),
        "on_unmapped": {
            "anyOf": [
                _words(("reject", "carry")),
                {
                    "type": "object",
                    "propertyNames": {"pattern": PATH},
                    "additionalProperties": _fate("carry"),
                },
            ]
        },
        "extension": _fate("copy", "carry", "reject"),
        "modifierExtension": _fate("copy", "carry", "reject"),
        "primitive_extensions": _fate("copy", "reject"),
        "fields": fields,
        "canonical_only": fields,
        "constants": fixed,
        "defaults": fixed,
        "siblings": _siblings(),
    }
    top = {key: given[key] for key in TOP}
    whole = _object(_described(top, HEAD), ["mapping", "version"])
    return {
        "$schema": DRAFT,
        "title": "A mapping of Carelane",
        **whole,
        "$defs": {
            "fields": {
                "type": "object",
                "propertyNames": {"pattern": PATH},
                "additionalProperties": {"$ref": "#/$defs/rule"},
            },
            "rule": _rule(case=False),
            "case": _rule(case=True),
        },
    }


def _siblings() -> Schema:
    """Return the schema of `siblings:`."""
    path: Schema = {"type": "string", "pattern": PATH}
    ranked = _object({"first": {"type": "array", "minItems": 1, "items": TEXT}}, ["first"])
    words = [{"const": word, "description": MERGED[word]} for word in MERGING]
    others: Schema = {
        "type": "object",
        "propertyNames": {"pattern": PATH},
        "additionalProperties": {"anyOf": [*words, {"description": MERGED["first"], **ranked}]},
    }
    shapes: dict[str, Schema] = {
        "one": path,
        "by": _one_or_more(path),
        "same": _one_or_more(path),
        "left": TEXT,
        "ended": _object({"when": TEXT, "until": path}, ["when", "until"]),
        "closing": {"type": "object"},
        "others": others,
    }
    known = _described({key: shapes[key] for key in SIBLING_KEYS}, SIBLINGS)
    return _object(known, ["one", "by", "same", "others", "closing"])


def _rule(*, case: bool) -> Schema:
    """Return the schema of one field, by its main operation; of one case of a split with `take`."""
    shapes = _rule_shapes()
    always = {key: shapes[key] for key in (*ALWAYS, "take")}
    choices: list[Schema] = [] if case else [_words(("copy", "carry"))]
    for operation in ("copy", *sorted(set(MAIN.values()))):
        mains = {key: shapes[key] for key, main in MAIN.items() if main == operation}
        options = {key: shapes[key] for key in OPTIONS.get(operation, ())}
        required = sorted(mains) if len(mains) == 1 else []
        known = _described({**always, **mains, **options}, RULES)
        choice = _object(known, required)
        if operation == "expression":
            choice["minProperties"] = 1
        choices.append(choice)
    return {"anyOf": choices}


def _rule_shapes() -> dict[str, Schema]:
    miss: Schema = {"anyOf": [_words(MISSES), _object({"default": ANY}, ["default"])]}
    texts: Schema = {"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
    fields: Schema = {"anyOf": [{"$ref": "#/$defs/fields"}, {"const": "same"}]}
    path = _one_or_more({"type": "string", "pattern": PATH})
    return {
        "fields": fields,
        "table": TEXT,
        "coding": TEXT,
        "ref": _one_or_more(TEXT),
        "identifier": texts,
        "carry": {"type": "string"},
        "drop": {"type": "string", "minLength": 3},
        "cross_version": TEXT,
        "split": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/case"}},
        "function": _words(FUNCTIONS),
        "to_canonical": TEXT,
        "to_dialect": TEXT,
        "to": path,
        "when": TEXT,
        "otherwise": _fate("carry", "reject"),
        "first": {"type": "boolean"},
        "rest": _fate("carry", "reject"),
        "on_miss": {"anyOf": [miss, _object(dict.fromkeys(DIRECTIONS, miss))]},
        "keep_source": {"type": "boolean"},
        "only": _words(DIRECTIONS),
        "with": path,
        "arguments": texts,
        "take": TEXT,
    }


def test_schema() -> Schema:
    """Return the schema of the cases beside a mapping, `<resource>.test.yaml`."""
    texts: Schema = {"type": "array", "items": TEXT}
    given: dict[str, Schema] = {
        "name": {"type": "string"},
        "direction": _words(WAYS),
        "input": {"type": "object"},
        "inputs": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "expect": {"type": "object"},
        "expect_exactly": {"type": "object"},
        "expect_each": {"type": "array", "items": {"type": "object"}},
        "absent": texts,
        "diagnostics": texts,
        "start": _words(("dialect", "canonical")),
        "unknown_references": texts,
        "note": {"type": "string"},
    }
    case = _object(_described({key: given[key] for key in KEYS}, CASES), ["direction"])
    case |= {"anyOf": [{"required": ["input"]}, {"required": ["inputs"]}]}
    cases: Schema = {"type": "array", "minItems": 1, "items": case}
    properties = {"cases": cases, "mapping": TEXT, "note": {"type": "string"}}
    return {
        "$schema": DRAFT,
        "title": "Cases of a mapping of Carelane",
        **_object(properties, ["cases"]),
    }


def config_schema() -> Schema:
    """Return the schema of config.yaml."""
    return {"$schema": DRAFT, "title": "The settings of Carelane", **_section(Config)}


def _section(of: type[Any]) -> Schema:
    settings = list(settings_of(of))
    shapes = {s.key: {"description": s.description, **_kind(s.kind)} for s in settings}
    absent = {key: _or_nothing(shape) for key, shape in shapes.items()}
    required = [s.key for s in settings if s.required]
    return _object(
        {s.key: shapes[s.key] if s.required else absent[s.key] for s in settings}, required
    )


def _or_nothing(shape: Schema) -> Schema:
    about = {"description": shape["description"]}
    rest = {key: value for key, value in shape.items() if key != "description"}
    return {**about, "anyOf": [rest, {"type": "null"}]}


def _kind(kind: Kind[Any]) -> Schema:
    """Return the schema of one kind of value; any scalar may be an environment variable."""
    match kind:
        case Section(of=of):
            return _section(of)
        case Listed(item=item):
            return _one_or_more(_kind(item))
        case Named(item=item, pattern=pattern):
            names: Schema = {"pattern": f"^(?:{pattern})$"}
            return {"type": "object", "propertyNames": names, "additionalProperties": _kind(item)}
        case Subtree():
            return {"type": "object"}
        case Secret():
            return {"type": "string", "pattern": VARIABLE}
    variable: Schema = {"type": "string", "pattern": VARIABLE}
    return {"anyOf": [_scalar(kind), variable]}


def _scalar(kind: Kind[Any]) -> Schema:
    match kind:
        case Text(pattern=pattern) if not pattern.startswith("(?s)"):
            return {"type": "string", "pattern": f"^(?:{pattern})$"}
        case Whole(least=least, most=most):
            return {"type": "integer", "minimum": least, "maximum": most}
        case Number(least=least, most=most):
            text: Schema = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
            return {"anyOf": [{"type": "number", "minimum": least, "maximum": most}, text]}
        case Truth():
            return {"type": "boolean"}
        case Choice(options=options):
            return _words(options)
    return {"type": "string"}


SCHEMAS: Mapping[str, Callable[[], Schema]] = {
    "mapping": mapping_schema,
    "test": test_schema,
    "config": config_schema,
}
"""Every schema by the name that `carelane schema` takes."""
