"""Profiles: standard StructureDefinitions, each compiled once into a list of checks."""

from __future__ import annotations

import tarfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine import document
from engine.diagnostics import Diagnostic, Place, Severity
from engine.fhir import json
from engine.fhir.profile_checks import Node, Report, Scope, build, compile_node
from engine.fhir.profile_quiet import compile_quiet
from engine.fhir.schema import Version, schema
from engine.fhir.value_sets import ValueSets

MAX_FILE = 20_000_000
MAX_FILES = 20_000
_KEPT = frozenset({"StructureDefinition", "ValueSet", "CodeSystem"})


@dataclass(frozen=True)
class Profile:
    """Check resources of one type against one StructureDefinition.

    A check costs about as much as decoding the resource, a few microseconds per constraint;
    invariants written in FHIRPath (`fhirpath` counts them) cost about a millisecond each.
    """

    url: str
    name: str
    type: str
    fhir: Version
    base: str | None
    root: Node
    scope: Scope
    parents: tuple[Profile, ...] = ()
    checks: int = 0
    fhirpath: int = 0

    def check(self, resource: dict[str, Any], *, must_support: bool = False) -> list[Diagnostic]:
        """Return where a resource of this type breaks the profile.

        With `must_support` the answer also names must-support elements that are absent, as
        information. Another type is refused as a whole.
        """
        if resource.get("resourceType") != self.type:
            said = f"The profile {self.name} is for another type."
            return [Diagnostic("V026", said, path="resourceType", expected=self.type)]
        problems = [
            problem
            for parent in self.parents
            for problem in parent.check(resource, must_support=must_support)
        ]
        if not must_support and compile_quiet(self.root, self.scope)(resource):
            return problems
        report = Report(self.name, must_support, problems)
        compile_node(self.root, self.scope)(resource, self.type, report)
        return report.problems

    def elements(self) -> dict[str, Node]:
        """Return what the profile says of each path, slices left out."""
        found = {path: node for parent in self.parents for path, node in parent.elements().items()}
        waiting = list(self.root.children)
        while waiting:
            node = waiting.pop()
            found[node.path] = node
            waiting += node.children
        return found


class Profiles:
    """Hold the loaded profiles by their URL."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._by_url = dict(profiles)
        self._by_base = {p.base: p for p in reversed(self._by_url.values()) if p.base}

    def get(self, url: str) -> Profile | None:
        """Return a profile by URL, with or without |version.

        Where a public profile is not loaded itself, the loaded one that derives from it stands
        in for it: so our own small ones answer until the public package is there.
        """
        bare = url.split("|", 1)[0]
        return self._by_url.get(bare) or self._by_base.get(bare)

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._by_url.values())

    def __len__(self) -> int:
        return len(self._by_url)


Warn = Mapping[str, Collection[str]]


def load_profiles(
    paths: Sequence[Path], *, warn: Warn | None = None
) -> tuple[Profiles, list[Diagnostic]]:
    """Load StructureDefinitions, ValueSets and CodeSystems from folders, packages and files.

    A folder is read with everything below it (JSON, or the same in YAML), a `.tgz` is an IG
    package (https://confluence.hl7.org/display/FHIR/NPM+Package+Specification). `warn` names, by
    profile URL, keys of invariants that are told as warnings. What is no profile of a resource
    type (extensions, data types, logical models) is passed over.
    """
    loading = _Loading(warn or {})
    for path in paths:
        loading.take(path)
    return loading.finish()


@dataclass
class _Source:
    """One resource read from a file, with the places of its lines where it was YAML."""

    resource: dict[str, Any]
    shown: str
    node: document.Node | None = None


@dataclass
class _Loading:
    """Gather files first, then compile, so that their order does not matter."""

    warn: Warn
    problems: list[Diagnostic] = field(default_factory=list)
    sources: dict[str, _Source] = field(default_factory=dict)
    value_sets: ValueSets = field(default_factory=ValueSets)
    done: dict[str, Profile] = field(default_factory=dict)
    files: int = 0

    def take(self, path: Path) -> None:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                if file.suffix in {".json", ".yaml", ".yml", ".tgz"} and file.is_file():
                    self.take(file)
        elif path.suffix == ".tgz" or path.name.endswith(".tar.gz"):
            self.package(path)
        elif path.suffix in {".yaml", ".yml"}:
            self.yaml(path)
        else:
            self.file(path)

    def file(self, path: Path) -> None:
        try:
            with path.open("rb") as opened:
                data = opened.read(MAX_FILE + 1)
        except OSError as error:
            said = f"The file cannot be read: {error.strerror}."
            self.problems.append(Diagnostic("C001", said, place=Place(str(path), 1, 1)))
            return
        self.json(data, str(path))

    def json(self, data: bytes, shown: str) -> None:
        self.files += 1
        if not any(f'"{kind}"'.encode() in data for kind in _KEPT):
            return
        if len(data) > MAX_FILE or self.files > MAX_FILES:
            self.refuse("The file, or the number of files, is too large.", shown)
            return
        try:
            tree = json.loads(data.removeprefix(b"\xef\xbb\xbf"), 100)
        except json.JSONError as error:
            self.refuse(f"The file is not JSON: {error}.", shown)
            return
        if isinstance(tree, dict):
            self.resource(_Source(tree, shown))

    def yaml(self, path: Path) -> None:
        node, problems = document.read(path)
        self.problems += problems
        tree = node.plain() if node is not None else None
        if isinstance(tree, dict):
            self.resource(_Source(tree, str(path), node))

    def package(self, path: Path) -> None:
        try:
            with tarfile.open(path, "r:gz") as package:
                for member in package:
                    if member.isfile() and member.name.endswith(".json"):
                        opened = package.extractfile(member)
                        if opened is not None and member.size <= MAX_FILE:
                            self.json(opened.read(MAX_FILE), f"{path}:{member.name}")
        except (OSError, tarfile.TarError, EOFError):
            self.refuse("The package cannot be read as a .tgz file.", str(path))

    def resource(self, source: _Source) -> None:
        kind, url = source.resource.get("resourceType"), source.resource.get("url")
        if kind == "StructureDefinition" and isinstance(url, str):
            self.sources.setdefault(url, source)
        elif kind in _KEPT:
            self.value_sets.add(source.resource)

    def refuse(self, said: str, shown: str, place: Place | None = None) -> None:
        self.problems.append(Diagnostic("V030", said, place=place or Place(shown, 1, 1)))

    def finish(self) -> tuple[Profiles, list[Diagnostic]]:
        for url in self.sources:
            self.profile(url, ())
        return Profiles(self.done), self.problems

    def profile(self, url: str, below: tuple[str, ...]) -> Profile | None:
        source = self.sources.get(url)
        if source is None or url in self.done:
            return self.done.get(url)
        about = source.resource
        if url in below:
            self.refuse("The profile derives from itself.", source.shown)
            return None
        if about.get("kind") != "resource" or about.get("derivation") != "constraint":
            return None
        fhir: Version = "R5" if str(about.get("fhirVersion", "4")).startswith("5") else "R4"
        kind = str(about.get("type"))
        if kind not in schema(fhir).resources:
            self.refuse(f"The type is no resource type of FHIR {fhir}.", source.shown)
            return None
        base = str(about.get("baseDefinition", "")).split("|", 1)[0] or None
        parent = self.profile(base, (*below, url)) if base else None
        self.done[url] = made = self.compiled(source, kind, fhir, base, parent)
        return made

    def compiled(
        self, source: _Source, kind: str, fhir: Version, base: str | None, parent: Profile | None
    ) -> Profile:
        about = source.resource
        listed = about.get("differential") or about.get("snapshot") or {}
        definitions = listed.get("element", []) if isinstance(listed, dict) else []
        name = str(about.get("name", kind))
        warn = frozenset(self.warn.get(str(about["url"]), ()))
        scope = Scope(schema(fhir), self.value_sets, warn)
        root, refusals = build(kind, definitions, scope)
        for index, refusal in refusals:
            self.refuse(refusal, source.shown, _place(source, index))
        for said in scope.unlisted(root):
            place = Place(source.shown, 1, 1)
            self.problems.append(Diagnostic("V031", said, Severity.INFORMATION, place=place))
        return Profile(
            url=str(about["url"]),
            name=name,
            type=kind,
            fhir=fhir,
            base=base,
            root=root,
            scope=scope,
            parents=(parent,) if parent else (),
            checks=len(definitions),
            fhirpath=sum(len(item.get("constraint", ())) for item in definitions),
        )


def _place(source: _Source, index: int) -> Place | None:
    """Return where an element stands in a profile written as YAML."""
    here: document.Node | None = source.node
    for step in ("differential", "element"):
        here = here.get(step) if here else None
    if here is None or not here.is_list or index >= len(here.value):
        return None
    place: Place = here.value[index].place
    return place
