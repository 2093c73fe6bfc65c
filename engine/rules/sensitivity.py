"""The table of sensitive codes: read from YAML with every fault in its place, asked by code."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from engine import document
from engine.diagnostics import Diagnostic, Place, Problems, did_you_mean
from engine.document import Node
from engine.rules.consent.codings import ACT_CODE, CONFIDENTIALITY, spelling
from engine.rules.security_label import RANK, Label

T = TypeVar("T")

SHIPPED = Path(__file__).with_name("sensitivity.yaml")
"""The table that comes with Carelane."""

OWN_SYSTEMS = (
    "http://terminology.hl7.org/CodeSystem/",
    "http://hl7.org/fhir/",
    "http://unitsofmeasure.org",
    "http://ihe.net/fhir/",
    "urn:ietf:bcp:",
    "urn:iso:std:iso:",
)
"""Systems of FHIR and HL7 v3 themselves, of units, formats, languages and countries.

They say how a resource works, not what a member has.
"""

_KEYS = ("sensitivity", "version", "systems", "otherwise", "minors", "topics")
_TOPIC_KEYS = ("title", "labels", "confidentiality", "codes")
_SYSTEM_KEYS = ("uri", "match", "also")
_MINOR_KEYS = ("topics", "labels")
_MOST_CODES = 20_000
_MOST_READ = 5_000
_RANGE = re.compile(r"^([A-Z])(\d\d)-\1(\d\d)$")


@dataclass(frozen=True, slots=True)
class Topic:
    """Say what a code tells about a member, and the labels that content with it gets."""

    name: str
    title: str
    labels: tuple[str, ...]
    confidentiality: str


@dataclass(frozen=True, slots=True)
class SensitivityTable:
    """Answer which topics a code belongs to.

    `exact` is keyed by system and code, `prefixes` by system and code without its dot,
    `names` gives other names of a system. `otherwise`
    is the confidentiality of content whose codes are all known here and none of them listed.
    """

    name: str
    version: str
    systems: frozenset[str]
    exact: Mapping[tuple[str, str], tuple[Topic, ...]]
    prefixes: Mapping[tuple[str, str], tuple[Topic, ...]]
    prefixed: frozenset[str]
    otherwise: str | None = None
    minor_topics: frozenset[str] = frozenset()
    minor_labels: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    _labels: dict[tuple[Label, bool], frozenset[Label]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _once: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, name: Hashable, read: Callable[[], T]) -> T:
        """Return what is read by this table under a name, read but once."""
        known: T | None = self._once.get(name)
        if known is None:
            if len(self._once) >= _MOST_READ:
                self._once.clear()
            known = self._once[name] = read()
        return known

    def labels(self, code: Label, *, minor: bool) -> frozenset[Label]:
        """Return the labels that a code calls for; `minor` says that the member is under age."""
        known = self._labels.get((code, minor))
        if known is None:
            if len(self._labels) >= _MOST_CODES:
                self._labels.clear()
            known = self._labels[code, minor] = frozenset(self._called_for(code, minor))
        return known

    def _called_for(self, code: Label, minor: bool) -> Iterator[Label]:
        for topic in self.topics(*code):
            yield CONFIDENTIALITY, topic.confidentiality
            names = topic.labels
            if minor and topic.name in self.minor_topics:
                names += self.minor_labels
            for name in names:
                yield ACT_CODE, name

    def topics(self, system: str, code: str) -> tuple[Topic, ...]:
        """Return the topics of one code, in the order of the table; () where it is not listed."""
        system = self.names.get(system, system)
        found = dict.fromkeys(self.exact.get((system, code), ()))
        plain = _plain(code) if system in self.prefixed else ""
        for length in range(1, len(plain) + 1):
            for topic in self.prefixes.get((system, plain[:length]), ()):
                found[topic] = None
        return tuple(found)

    def knows(self, system: str) -> bool:
        """Tell whether a code of this system that is not listed may be called not sensitive."""
        known = system in self.systems or system in self.names
        return known or system.startswith(OWN_SYSTEMS)


def _plain(code: str) -> str:
    return code.replace(".", "").upper()


def read_table(
    path: Path = SHIPPED, *, name: str | None = None
) -> tuple[SensitivityTable | None, list[Diagnostic]]:
    """Read a sensitivity table from a file; None with every problem where it has an error."""
    root, problems = document.read(path, name=name)
    if root is None:
        return None, problems
    return parse_table(root)


def load_tables(paths: Sequence[Path] = ()) -> tuple[SensitivityTable | None, list[Diagnostic]]:
    """Read the tables of a project as one, the shipped one where it names none.

    A code gets the labels of every table that lists it; None with every problem on an error.
    """
    read = [read_table(path) for path in paths or (SHIPPED,)]
    problems = [problem for _, found in read for problem in found]
    tables = [table for table, _ in read if table is not None]
    if problems or not tables:
        return None, problems
    return _joined(tables), []


def _joined(tables: Sequence[SensitivityTable]) -> SensitivityTable:
    levels = [table.otherwise for table in tables if table.otherwise]
    return SensitivityTable(
        name=" + ".join(table.name for table in tables),
        version=" + ".join(table.version for table in tables),
        systems=frozenset().union(*(table.systems for table in tables)),
        exact=_rows(table.exact for table in tables),
        prefixes=_rows(table.prefixes for table in tables),
        prefixed=frozenset().union(*(table.prefixed for table in tables)),
        otherwise=max(levels, key=RANK.__getitem__, default=None),
        minor_topics=frozenset().union(*(table.minor_topics for table in tables)),
        minor_labels=tuple(dict.fromkeys(one for table in tables for one in table.minor_labels)),
        names={name: uri for table in tables for name, uri in table.names.items()},
    )


def _rows(
    every: Iterable[Mapping[tuple[str, str], tuple[Topic, ...]]],
) -> dict[tuple[str, str], tuple[Topic, ...]]:
    joined: dict[tuple[str, str], tuple[Topic, ...]] = {}
    for rows in every:
        for key, topics in rows.items():
            joined[key] = tuple(dict.fromkeys((*joined.get(key, ()), *topics)))
    return joined


def parse_table(root: Node) -> tuple[SensitivityTable | None, list[Diagnostic]]:
    """Build a table from a positioned document; None with every problem where it has an error."""
    reader = _Reader()
    table = reader.table(root)
    return (None if reader.problems else table), reader.problems


@dataclass(slots=True)
class _Reader(Problems):
    """Gather what one document says, and every fault in it."""

    systems: dict[str, tuple[str, str]] = field(default_factory=dict)
    exact: dict[tuple[str, str], tuple[Topic, ...]] = field(default_factory=dict)
    prefixes: dict[tuple[str, str], tuple[Topic, ...]] = field(default_factory=dict)
    other_names: dict[str, str] = field(default_factory=dict)

    def table(self, root: Node) -> SensitivityTable:
        self.known(root, _KEYS, "a sensitivity table")
        self.read_systems(root)
        topics = {name: self.topic(name, node) for name, _, node in self.entries(root, "topics")}
        minor = root.get("minors")
        minor_topics: tuple[str, ...] = ()
        minor_labels: tuple[str, ...] = ()
        if minor is not None:
            self.known(minor, _MINOR_KEYS, "minors")
            minor_topics = self.names(minor, "topics", topics)
            minor_labels = self.words(minor, "labels")
        return SensitivityTable(
            name=self.word(root, "sensitivity"),
            version=self.word(root, "version"),
            systems=frozenset(uri for uri, _ in self.systems.values()),
            exact=self.exact,
            prefixes=self.prefixes,
            prefixed=frozenset(uri for uri, match in self.systems.values() if match == "prefix"),
            otherwise=self.rank(root, "otherwise") if root.get("otherwise") else None,
            minor_topics=frozenset(minor_topics),
            minor_labels=minor_labels,
            names=self.other_names,
        )

    def read_systems(self, root: Node) -> None:
        for name, _, node in self.entries(root, "systems"):
            self.known(node, _SYSTEM_KEYS, f"the system '{name}'")
            match = self.word(node, "match")
            if match not in ("exact", "prefix"):
                self.problem(
                    "N003",
                    f"'{match}' is no way to match codes.",
                    node.place,
                    expected="exact or prefix",
                )
            self.systems[name] = (self.word(node, "uri"), match)
            if node.get("also"):
                uri = self.systems[name][0]
                self.other_names.update((spelling(one), uri) for one in self.words(node, "also"))

    def topic(self, name: str, node: Node) -> Topic:
        self.known(node, _TOPIC_KEYS, f"the topic '{name}'")
        topic = Topic(
            name=name,
            title=self.word(node, "title"),
            labels=self.words(node, "labels"),
            confidentiality=self.rank(node, "confidentiality"),
        )
        for system, place, codes in self.entries(node, "codes"):
            if system not in self.systems:
                self.problem(
                    "N002",
                    f"The system '{system}' is not among the systems of this table.",
                    place,
                    remedy=did_you_mean(system, self.systems),
                )
                continue
            self.add(topic, system, codes)
        return topic

    def add(self, topic: Topic, system: str, codes: Node) -> None:
        uri, match = self.systems[system]
        for node in codes.value if codes.is_list else ():
            if not isinstance(node.value, str | int) or isinstance(node.value, bool):
                self.problem("N003", "A code must be text.", node.place)
                continue
            for code in self.expand(str(node.value), match, node.place):
                rows = self.prefixes if match == "prefix" else self.exact
                if topic in rows.get((uri, code), ()):
                    self.problem("N004", f"The code '{code}' stands twice in a topic.", node.place)
                rows[uri, code] = (*rows.get((uri, code), ()), topic)
        if not codes.is_list:
            self.problem("N003", "Codes are written as a list.", codes.place, expected="a list")

    def expand(self, code: str, match: str, place: Place) -> Iterator[str]:
        if match != "prefix":
            yield code
            return
        if not (found := _RANGE.match(code)):
            yield _plain(code)
            return
        letter, first, last = found.groups()
        if int(first) > int(last):
            self.problem("N003", f"The range '{code}' runs backwards.", place)
        for number in range(int(first), int(last) + 1):
            yield f"{letter}{number:02}"

    def rank(self, node: Node, key: str) -> str:
        word = self.word(node, key)
        if word and word not in RANK:
            self.problem(
                "N003",
                f"'{word}' is no confidentiality.",
                (node.get(key) or node).place,
                expected="one of " + ", ".join(RANK),
            )
        return word

    def names(self, node: Node, key: str, known: Mapping[str, Any]) -> tuple[str, ...]:
        words = self.words(node, key)
        for word in words:
            if word not in known:
                self.problem(
                    "N002",
                    f"The topic '{word}' is not in this table.",
                    (node.get(key) or node).place,
                    remedy=did_you_mean(word, known),
                )
        return words

    def words(self, node: Node, key: str) -> tuple[str, ...]:
        found = node.get(key)
        if found is None or not found.is_list or not found.value:
            place = found.place if found else node.place
            self.problem(
                "N001", f"'{key}' is missing or no list.", place, expected="a list of codes"
            )
            return ()
        return tuple(str(item.value) for item in found.value)

    def word(self, node: Node, key: str) -> str:
        found = node.get(key)
        if found is None or not isinstance(found.value, str | int) or found.value == "":
            place = found.place if found else node.place
            self.problem("N001", f"'{key}' is missing or empty.", place, expected="a text")
            return ""
        return str(found.value)

    def entries(self, node: Node, key: str) -> Iterator[tuple[str, Place, Node]]:
        found = node.get(key)
        if found is None or not found.is_map:
            place = found.place if found else node.place
            self.problem("N001", f"'{key}' is missing or no mapping.", place, expected="a mapping")
            return
        yield from found.items()

    def known(self, node: Node, keys: tuple[str, ...], what: str) -> None:
        for key, place, _ in node.items():
            if key not in keys:
                self.problem(
                    "N002",
                    f"'{key}' is no part of {what}.",
                    place,
                    expected="one of " + ", ".join(keys),
                    remedy=did_you_mean(key, keys),
                )
