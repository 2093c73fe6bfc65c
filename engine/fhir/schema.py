"""The types of a FHIR version as plain data, derived from the models of fhir.resources."""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from fhir_core.constraints import FHIR_PRIMITIVES_MAPS

from engine.fhir.bindings import required_codes

Version = Literal["R4", "R5"]
Kind = Literal["resource", "complex", "backbone", "primitive"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


PRIMITIVES: frozenset[str] = _names(
    "base64Binary boolean canonical code date dateTime decimal id instant integer integer64 "
    "markdown oid positiveInt string time unsignedInt uri url uuid xhtml"
)
"""The primitive types (http://hl7.org/fhir/R4/datatypes.html#primitive)."""

_PACKAGES: Mapping[str, str] = {"R4": "fhir.resources.R4B", "R5": "fhir.resources"}
_ABSTRACT = _names(
    "Resource DomainResource CanonicalResource MetadataResource Base Element DataType "
    "BackboneElement BackboneType PrimitiveType FHIRPrimitiveExtension"
)
_ONLY_R4B = _names(
    "AdministrableProductDefinition Citation ClinicalUseDefinition CodeableReference "
    "EvidenceReport Ingredient ManufacturedItemDefinition MedicinalProductDefinition "
    "NutritionProduct PackagedProductDefinition RatioRange RegulatedAuthorization "
    "SubscriptionStatus SubscriptionTopic SubstanceDefinition"
)


@dataclass(frozen=True, slots=True)
class Element:
    """Describe one element; a choice stands once per variant (`onsetDateTime`).

    `type` is a FHIR type name, or the path of a backbone element ("CareTeam.participant").
    `choice` is the name in the specification ("onset[x]"), `codes` the codes of a required
    binding, `targets` the resource types that a Reference or canonical may point to. `required`
    of a variant says that one of the variants must be there.
    """

    name: str
    type: str
    is_list: bool
    required: bool
    is_primitive: bool
    choice: str | None = None
    codes: frozenset[str] | None = None
    targets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Type:
    """Describe one type; `elements` go by JSON name, in the order of the specification."""

    name: str
    kind: Kind
    elements: Mapping[str, Element]

    def choices(self) -> dict[str, tuple[Element, ...]]:
        """Return the variants of each choice by its name ("onset[x]")."""
        found: dict[str, tuple[Element, ...]] = {}
        for element in self.elements.values():
            if element.choice:
                found[element.choice] = (*found.get(element.choice, ()), element)
        return found


class Schema:
    """Answer what one FHIR version allows; a type is derived when first asked for, then kept."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self._lock = threading.RLock()
        self._built: dict[str, Type] = {
            name: Type(name, "primitive", MappingProxyType({})) for name in PRIMITIVES
        }
        self._classes, self.resources = _inventory(version)
        self.types: frozenset[str] = (frozenset(self._classes) - {"Resource"}) | PRIMITIVES
        """Every resource, complex and primitive type; backbones are not listed."""

    def has(self, name: str) -> bool:
        """Tell whether `name` is a type, or the path of a backbone element."""
        try:
            self.type(name)
        except KeyError:
            return False
        return True

    def type(self, name: str) -> Type:
        """Return a type by name, a backbone element by path; KeyError where there is none.

        "Resource" is the type of elements that hold any resource, such as `contained`.
        """
        found = self._built.get(name)
        return found if found is not None else self._derive(name)

    def element(self, path: str) -> Element | None:
        """Return the element at a path, through datatypes too: "CareTeam.period.start"."""
        first, *steps = path.split(".")
        element: Element | None = None
        here = first
        for step in steps:
            if not self.has(here):
                return None
            element = self.type(here).elements.get(step)
            if element is None:
                return None
            here = element.type
        return element

    def model(self, name: str) -> Any:
        """Return the pydantic model of fhir.resources for a resource or complex type."""
        module, name_there = self._classes[name]
        return getattr(importlib.import_module(module), name_there)

    def _derive(self, name: str) -> Type:
        top = name.split(".", 1)[0]
        if top not in self._classes:
            raise KeyError(name)
        with self._lock:
            if top not in self._built:
                self._built.update(_Derivation(self, top).run())
        return self._built[name]


@cache
def schema(version: Version) -> Schema:
    """Return the schema of a FHIR version; R4 means 4.0.1, read from the R4B models."""
    return Schema(version)


class _Derivation:
    """Walk the model of one type and its backbones."""

    def __init__(self, known: Schema, top: str) -> None:
        self.schema = known
        self.top = top
        self.root = known.model(top)
        self.paths: dict[Any, str] = {self.root: top}
        self.absent = _ONLY_R4B if known.version == "R4" else frozenset()

    def run(self) -> dict[str, Type]:
        types: dict[str, Type] = {}
        waiting = [self.root]
        while waiting:
            model = waiting.pop(0)
            before = set(self.paths)
            path = self.paths[model]
            types[path] = Type(path, self.kind(model), MappingProxyType(self.elements(model)))
            waiting += [found for found in self.paths if found not in before]
        return types

    def kind(self, model: Any) -> Kind:
        if model is not self.root:
            return "backbone"
        is_resource = self.top in self.schema.resources or self.top == "Resource"
        return "resource" if is_resource else "complex"

    def elements(self, model: Any) -> dict[str, Element]:
        by_name = {
            field.alias or name: field
            for name, field in model.model_fields.items()
            if (field.json_schema_extra or {}).get("element_property")
            or (name == "id" and model is self.root)
        }
        order = [name for name in model.elements_sequence() if name in by_name]
        order += [name for name in by_name if name not in order]
        found = (self.element(model, name, by_name[name]) for name in order)
        return {element.name: element for element in found if element.type not in self.absent}

    def element(self, model: Any, name: str, field: Any) -> Element:
        about = field.json_schema_extra or {}
        is_list, bare = _bare(field.annotation)
        kind = self.type_name(model, name, bare)
        path = f"{self.paths[model]}.{name}"
        listed = about.get("enum_values")
        choice = about.get("one_of_many")
        return Element(
            name=name,
            type=kind,
            is_list=is_list,
            required=bool(
                field.is_required()
                or about.get("element_required")
                or about.get("one_of_many_required")
            ),
            is_primitive=kind in PRIMITIVES,
            choice=f"{choice}[x]" if choice else None,
            codes=required_codes(self.schema.version, path, listed) if kind == "code" else None,
            targets=frozenset(about.get("enum_reference_types") or ()),
        )

    def type_name(self, model: Any, name: str, bare: Any) -> str:
        primitive = _primitive(bare)
        if primitive:
            return primitive
        target = bare.get_model_klass()
        if target.__module__ != self.root.__module__:
            return str(target.__name__)
        return self.paths.setdefault(target, f"{self.paths[model]}.{name}")


def _bare(annotation: Any) -> tuple[bool, Any]:
    """Return whether an annotation is a list, and what is left without list and Optional."""
    is_list = False
    while True:
        if annotation in _PRIMITIVE_NAMES:
            return is_list, annotation
        origin = get_origin(annotation)
        arguments = [item for item in get_args(annotation) if item is not type(None)]
        if origin is list:
            is_list, annotation = True, arguments[0]
        elif origin is not None and type(None) in get_args(annotation):
            annotation = arguments[0]
        else:
            return is_list, annotation


_PRIMITIVE_NAMES: Mapping[Any, str] = FHIR_PRIMITIVES_MAPS


def _primitive(bare: Any) -> str | None:
    if hasattr(bare, "get_model_klass"):
        return None
    if bare in _PRIMITIVE_NAMES:
        return _PRIMITIVE_NAMES[bare]
    for about in getattr(bare, "__metadata__", ()):
        if type(about) in _PRIMITIVE_NAMES:
            return _PRIMITIVE_NAMES[type(about)]
    raise TypeError(f"fhir.resources has a type that is not known here: {bare!r}")


_CLASS = re.compile(r"^class (\w+)\((?:\w+\.)?(\w+)\)", re.MULTILINE)


def _inventory(version: Version) -> tuple[dict[str, tuple[str, str]], frozenset[str]]:
    """Return module and class of every top type, and which are resources, without importing all."""
    package = importlib.import_module(_PACKAGES[version])
    tops = dict(_tops(importlib.import_module(f"{package.__name__}.fhirtypes")))
    bases: dict[str, str] = {}
    for file in Path(str(package.__file__)).parent.glob("*.py"):
        bases.update(_CLASS.findall(file.read_text(encoding="utf-8")))
    left_out = (_ABSTRACT - {"Resource"}) | (_ONLY_R4B if version == "R4" else frozenset())
    classes = {name: where for name, where in tops.items() if name not in left_out}
    return classes, frozenset(name for name in classes if "Resource" in _ancestors(name, bases))


def _tops(fhirtypes: Any) -> Iterator[tuple[str, tuple[str, str]]]:
    for name in dir(fhirtypes):
        where = getattr(getattr(fhirtypes, name), "_model_klass", None)
        if isinstance(where, str):
            module, class_name = where.rsplit(".", 1)
            if class_name.lower() == module.rsplit(".", 1)[-1]:
                yield class_name, (module, class_name)


def _ancestors(name: str, bases: Mapping[str, str]) -> Iterator[str]:
    while name in bases:
        name = bases[name]
        yield name
