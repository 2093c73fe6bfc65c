"""Read a mapping from positioned YAML; whatever the format does not have is a problem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from engine.diagnostics import did_you_mean
from engine.document import Node
from engine.fhir.schema import schema
from engine.transform.mapping import (
    DIRECTIONS,
    Direction,
    Fate,
    Fixed,
    MappingFile,
    Path,
    Policies,
    Side,
)
from engine.transform.normalise import NORMALISED
from engine.transform.read_siblings import SiblingRules

TOP = [
    "mapping",
    "version",
    "description",
    "extends",
    "dialect",
    "canonical",
    "normalise",
    "on_unmapped",
    "extension",
    "modifierExtension",
    "primitive_extensions",
    "fields",
    "canonical_only",
    "constants",
    "defaults",
    "siblings",
]


class Reader(SiblingRules):
    """Turn the nodes of one file into a MappingFile, collecting every problem on the way."""

    def file(self, root: Node) -> MappingFile | None:
        """Read the whole file; None where its head cannot be understood."""
        if not root.is_map:
            self.problem("M003", "A mapping file is a YAML mapping.", root.place)
            return None
        self.known(root, TOP, "a mapping file")
        name = self.text(root, "mapping", required=True)
        version = self.version(root)
        dialect, canonical = self.side(root, "dialect"), self.side(root, "canonical")
        fields = self.need(root, "fields")
        if not (name and version and dialect and canonical and fields):
            return None
        return MappingFile(
            name=name.text,
            version=version,
            description=self.plain_text(root, "description"),
            place=root.place,
            dialect=dialect,
            canonical=canonical,
            policies=self.policies(root),
            fields_place=root.keys["fields"],
            fields=tuple(self.rules(fields)),
            canonical_only=tuple(self.rules(root.get("canonical_only"))),
            constants=self.fixed(root, "constants"),
            defaults=self.fixed(root, "defaults"),
            normalise=self.normalise(root),
            siblings=self.siblings(root),
        )

    def normalise(self, root: Node) -> frozenset[str]:
        found = list(self.names(root, "normalise"))
        for name in found:
            if name.text not in NORMALISED:
                self.word(name, NORMALISED)
        return frozenset(name.text for name in found)

    def version(self, root: Node) -> int | None:
        node = self.need(root, "version")
        if node is None:
            return None
        if isinstance(node.value, bool) or not isinstance(node.value, int) or node.value < 1:
            self.problem("M003", "The version is no whole number.", node.place, "version: 1")
            return None
        return node.value

    def side(self, root: Node, key: str) -> Side | None:
        node = self.need(root, key)
        if node is None or not self.is_map(node, f"{key}: {{fhir: R4, resource: CareTeam}}"):
            return None
        self.known(node, ("fhir", "resource", "profile"), f"`{key}:`")
        fhir, resource = self.text(node, "fhir", True), self.text(node, "resource", True)
        if not fhir or not resource:
            return None
        if fhir.text not in ("R4", "R5"):
            self.problem(
                "M005",
                f"'{fhir.text}' is no FHIR version that is read here.",
                fhir.place,
                "R4 or R5",
                did_you_mean(fhir.text, ("R4", "R5")),
            )
            return None
        known = schema("R4" if fhir.text == "R4" else "R5").resources
        if resource.text not in known:
            self.problem(
                "M005",
                f"FHIR {fhir.text} has no resource type '{resource.text}'.",
                resource.place,
                remedy=did_you_mean(resource.text, known),
            )
            return None
        version = cast(Any, fhir.text)
        return Side(version, resource.text, self.text(node, "profile"), root.keys[key])

    def policies(self, root: Node) -> Policies:
        given = root.get("on_unmapped")
        named = tuple(self.unmapped(given)) if given is not None and given.is_map else ()
        unmapped = self.text(root, "on_unmapped") if not named else None
        choices = ("reject", "carry")
        if unmapped and unmapped.text not in choices:
            self.word(unmapped, choices)
        kind = "carry" if unmapped and unmapped.text == "carry" else "reject"
        return Policies(
            cast(Any, kind),
            self.policy(root, "extension", ("copy", "carry", "reject")),
            self.policy(root, "modifierExtension", ("copy", "carry", "reject")),
            self.policy(root, "primitive_extensions", ("copy", "reject")),
            named,
        )

    def unmapped(self, node: Node) -> Iterator[tuple[Path, Fate]]:
        """Yield the elements that FHIR does not have, each with what becomes of it."""
        for text, place, value in node.items():
            path, fate = self.path(text, place), self.fate(value, ("carry",))
            if path is not None and fate is not None:
                yield path, fate

    def policy(self, root: Node, key: str, words: tuple[str, ...]) -> Fate | None:
        node = root.get(key)
        if node is None:
            self.problem(
                "M009",
                f"The policy `{key}:` is missing.",
                root.place,
                " | ".join(words),
                f"add `{key}: {words[0]}` to the top of the file.",
            )
            return None
        return self.fate(node, words)

    def fixed(self, root: Node, key: str) -> dict[Direction, tuple[Fixed, ...]]:
        node = root.get(key)
        out: dict[Direction, tuple[Fixed, ...]] = {}
        if node is None or not self.is_map(node, f"{key}: {{to_dialect: {{path: value}}}}"):
            return out
        self.known(node, DIRECTIONS, f"`{key}:`")
        for direction in DIRECTIONS:
            values = node.get(direction)
            if values is not None and self.is_map(values, "path: value"):
                made = ((self.path(text, place), value) for text, place, value in values.items())
                out[direction] = tuple(Fixed(path, value) for path, value in made if path)
        return out
