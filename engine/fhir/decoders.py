"""The fast road of validation: one typed decoder per resource type, derived from the schema."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from types import ModuleType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from engine.fhir.checked import MOMENT, PRIMITIVES, hook
from engine.fhir.containment import broken_containment
from engine.fhir.primitives import CHECKS
from engine.fhir.schema import Element, Schema, Type, Version, schema
from engine.fhir.struct_checks import attribute_of, check_of

# Two decoders are kept per type. The plain one has no `_field` siblings, so that required
# elements are required and a list holds no null; it takes nearly all real traffic. What it
# refuses goes to the full one, which knows the siblings and checks them in Python.

_NAMELESS = "type of the tree"
_convert: Any = partial(msgspec.convert, dec_hook=hook, builtin_types=(Decimal,))
"""Fit a tree to a struct; a Decimal is one already, not made from text."""

_SOME = Meta(min_length=1)
_ANY_RESOURCE = Annotated[dict[str, Any], _SOME]


@dataclass(frozen=True, slots=True)
class _Part:
    """Hold the struct of some elements of a resource, and the names that are beyond it."""

    struct: Any
    names: frozenset[str]
    beyond: frozenset[str]


class Decoders:
    """Hold the typed decoders of one FHIR version, built when first needed."""

    def __init__(self, known: Schema) -> None:
        self.schema = known
        self._lock = threading.RLock()
        self._families = (_Family(known, full=False), _Family(known, full=True))
        self._plain: dict[str, Any] = {}
        self._parts: dict[tuple[str, frozenset[str]], _Part] = {}

    def refusal(self, tree: Any) -> str | None:
        """Return None where a resource is accepted, else the path at which it is refused.

        The answer covers structure, primitive types, required codes, contained resources and
        Bundle entries of one tree. It never raises for bad data, however deep.
        """
        try:
            return self._refusal(tree, "", is_contained=False)
        except RecursionError:
            return _NAMELESS

    def _refusal(self, tree: Any, path: str, *, is_contained: bool) -> str | None:
        if not isinstance(tree, dict):
            return path or _NAMELESS
        kind = tree.get("resourceType")
        if not isinstance(kind, str) or kind not in self.schema.resources:
            return f"{path}.resourceType".removeprefix(".")
        plain = self._plain.get(kind) or self._prepare(kind)
        try:
            _convert(tree, plain)
        except msgspec.ValidationError:
            refused = self._full(tree, kind)
        else:
            if "contained" not in tree and kind not in _HOLDERS:
                return None
            refused = None
        if refused is None:
            refused = _wide_refusal(tree, kind, is_contained)
        if refused is not None:
            return (path or kind) + refused
        return self._inner(tree, path or kind)

    def accepts(self, tree: dict[str, Any], names: frozenset[str]) -> bool:
        """Tell whether some elements of a resource, and its id, are valid by themselves.

        With all others known to be valid the resource is, as long as no choice of types and no
        invariant of the resource itself binds them together. What only a look at the whole could
        tell (contained resources, siblings of primitives) is not accepted.
        """
        if not names:
            holds_more = "contained" in tree or "_id" in tree
            return not holds_more and ("id" not in tree or CHECKS["id"](tree["id"]))
        part = self._parts.get((tree["resourceType"], names))
        if part is None:
            part = self._part(tree["resourceType"], names)
        if not part.beyond.isdisjoint(tree):
            return False
        given = {name: tree[name] for name in part.names if name in tree}
        try:
            _convert(given, part.struct)
        except (msgspec.ValidationError, RecursionError):
            return False
        return True

    def _part(self, kind: str, names: frozenset[str]) -> _Part:
        with self._lock:
            self._prepare(kind)
            struct = self._families[0].part(kind, names)
            with suppress(msgspec.ValidationError):
                _convert({}, struct)
            every = names | {"id"}
            beyond = frozenset({"contained", *(f"_{name}" for name in every)})
            part = self._parts[kind, names] = _Part(struct, every, beyond)
            return part

    def _full(self, tree: Any, kind: str) -> str | None:
        try:
            _convert(tree, self._families[1].struct(kind))
        except msgspec.ValidationError as error:
            return _path_of(str(error))
        return None

    def _prepare(self, kind: str) -> Any:
        with self._lock:
            structs = [family.struct(kind) for family in self._families]
            for struct in structs:  # msgspec builds on first use: let one thread do that
                with suppress(msgspec.ValidationError):
                    _convert({}, struct)
            self._plain[kind] = structs[0]
            return structs[0]

    def _inner(self, tree: dict[str, Any], path: str) -> str | None:
        for inner_path, inner in inner_resources(tree, path):
            refused = self._refusal(inner, inner_path, is_contained=".contained[" in inner_path)
            if refused:
                return refused
        return None


@cache
def decoders(version: Version) -> Decoders:
    """Return the decoders of a FHIR version."""
    return Decoders(schema(version))


_HOLDERS = frozenset({"Bundle", "Parameters"})


def inner_resources(tree: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """Yield path and tree of each resource directly inside another."""
    for index, inner in enumerate(_list(tree.get("contained"))):
        yield f"{path}.contained[{index}]", inner
    kind = tree.get("resourceType")
    if kind == "Bundle":
        yield from _of_bundle(tree, path)
    elif kind == "Parameters":
        yield from _of_parameters(tree, "parameter", path)


def _of_bundle(tree: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    if "issues" in tree:
        yield f"{path}.issues", tree["issues"]
    for index, entry in enumerate(_list(tree.get("entry"))):
        if not isinstance(entry, dict):
            continue
        if "resource" in entry:
            yield f"{path}.entry[{index}].resource", entry["resource"]
        response = entry.get("response")
        if isinstance(response, dict) and "outcome" in response:
            yield f"{path}.entry[{index}].response.outcome", response["outcome"]


def _of_parameters(tree: dict[str, Any], name: str, path: str) -> Iterator[tuple[str, Any]]:
    for index, parameter in enumerate(_list(tree.get(name))):
        if isinstance(parameter, dict):
            if "resource" in parameter:
                yield f"{path}.{name}[{index}].resource", parameter["resource"]
            yield from _of_parameters(parameter, "part", f"{path}.{name}[{index}]")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _path_of(said: str) -> str:
    _, found, path = said.rpartition(" - at `$")
    return path.removesuffix("`") if found else ""


def _wide_refusal(tree: dict[str, Any], kind: str, is_contained: bool) -> str | None:
    """Return the path of an empty object or of a broken rule about contained resources."""
    if kind in _HOLDERS:
        tree = _without_resources(tree)
    found = _first_empty(tree, "")
    if found:
        return f".{found}"
    if is_contained:
        return None
    return next((broken.path[len(kind) :] for broken in broken_containment(tree, kind)), None)


def _without_resources(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a Bundle without what its entries hold, which is looked at entry by entry."""
    entries = tree.get("entry")
    if not isinstance(entries, list):
        return tree
    bare = [
        {**entry, "resource": None} if isinstance(entry, dict) and "resource" in entry else entry
        for entry in entries
    ]
    return {**tree, "entry": bare}


def _first_empty(node: Any, path: str) -> str | None:
    if isinstance(node, dict):
        if not node:
            return path or _NAMELESS
        steps = ((f"{path}.{name}".removeprefix("."), value) for name, value in node.items())
    elif isinstance(node, list):
        steps = ((f"{path}[{index}]", value) for index, value in enumerate(node))
    else:
        return None
    return next((found for step, value in steps if (found := _first_empty(value, step))), None)


class _Family:
    """Build the structs of one version, plain or full, in a module of their own.

    msgspec looks up the names of types that refer to each other in the module of the struct.
    """

    def __init__(self, known: Schema, *, full: bool) -> None:
        self.schema = known
        self.full = full
        self.module = ModuleType(f"{__name__}._{known.version}_{'full' if full else 'plain'}")
        sys.modules[self.module.__name__] = self.module
        self.space = self.module.__dict__
        self.space.update({f"_p_{name}": kind for name, kind in PRIMITIVES.items()})
        self.space.update(Annotated=Annotated, UnsetType=UnsetType, SOME=_SOME, list=list)
        self.space.update(ANY_RESOURCE=_ANY_RESOURCE, MOMENT=MOMENT)
        if full:
            self._sibling()
        else:
            self.space.update(_p_decimal=int | Decimal)

    def struct(self, name: str) -> Any:
        """Return the struct of a type, with everything that it may hold."""
        waiting = [name]
        while waiting:
            here = waiting.pop()
            if _label(here) not in self.space and here != "Resource":
                found = self.schema.type(here)
                self._define(found)
                inner = (e.type for e in found.elements.values() if not e.is_primitive)
                waiting += [kind for kind in inner if _label(kind) not in self.space]
        return self.space[_label(name)]

    def part(self, name: str, names: frozenset[str]) -> Any:
        """Return a struct of the id and some other elements of a type that is defined."""
        found = self.schema.type(name)
        elements = [found.elements[one] for one in sorted(names | {"id"})]
        fields = [self._field(found, one, attribute_of(one.name)) for one in elements]
        renamed = {attribute_of(one.name): one.name for one in elements}
        return self._defstruct(f"{_label(name)}_part", fields, renamed, None)

    def _sibling(self) -> None:
        fields = [
            ("id", "_p_string | UnsetType", UNSET),
            ("extension", "Annotated[list[Extension], SOME] | UnsetType", UNSET),
        ]
        self.space["Sibling"] = self._defstruct("Sibling", fields, {}, None)

    def _define(self, found: Type) -> None:
        fields: list[Any] = []
        renamed: dict[str, str] = {}
        if found.kind == "resource":
            self.space[f"_t_{found.name}"] = Literal[found.name]
            fields.append(("resourceType", f"_t_{found.name}"))
        for element in found.elements.values():
            attribute = attribute_of(element.name)
            if attribute != element.name:
                renamed[attribute] = element.name
            fields.append(self._field(found, element, attribute))
            if self.full and element.is_primitive:
                renamed[f"{attribute}__"] = f"_{element.name}"
                fields.append(_sibling_field(element, attribute))
        check = check_of(found, full=self.full)
        self.space[_label(found.name)] = self._defstruct(_label(found.name), fields, renamed, check)

    def _field(self, found: Type, element: Element, attribute: str) -> Any:
        kind = self._kind(found, element)
        if element.is_list:
            item = f"{kind} | None" if self.full and element.is_primitive else kind
            kind = f"Annotated[list[{item}], SOME]"
        must = element.required and not element.choice
        if must and not (self.full and element.is_primitive):
            return (attribute, kind)
        return (attribute, f"{kind} | UnsetType", UNSET)

    def _kind(self, found: Type, element: Element) -> str:
        if element.codes:
            label = f"_c_{_label(found.name)}_{element.name}"
            self.space[label] = Literal[tuple(sorted(element.codes))]
            return label
        if element.is_primitive:
            is_moment = found.name == "Period" and element.type == "dateTime"
            return "MOMENT" if is_moment else f"_p_{element.type}"
        return "ANY_RESOURCE" if element.type == "Resource" else _label(element.type)

    def _defstruct(
        self,
        name: str,
        fields: list[Any],
        renamed: dict[str, str],
        check: Callable[[Any], None] | None,
    ) -> Any:
        return msgspec.defstruct(
            name,
            fields,
            module=self.module.__name__,
            namespace={"__post_init__": check} if check else None,
            rename=renamed or None,
            forbid_unknown_fields=True,
            kw_only=True,
            gc=False,
        )


def _label(name: str) -> str:
    return name.replace(".", "_")


def _sibling_field(element: Element, attribute: str) -> Any:
    kind = "Annotated[list[Sibling | None], SOME]" if element.is_list else "Sibling"
    return (f"{attribute}__", f"{kind} | UnsetType", UNSET)
