"""What no single setting can tell: names that point to other parts of the file, and doubles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from engine.config.media import check_media
from engine.config.model import CHECKED_TYPES, EVERYTHING, Config
from engine.config.reading import Reading
from engine.diagnostics import Place
from engine.document import Node
from engine.fhir.schema import schema

TABLES = "tables"
"""The folder beside the dialects that holds code tables."""

NOTIFICATIONS = "notifications"
"""The folder beside the dialects that holds the words of notices to members."""


def check(root: Node, config: Config | None, reading: Reading) -> None:
    """Check names and doubles across the file; works on any file, also a partly wrong one."""
    systems = _children(root, "systems")
    _dialects(root, systems, reading)
    _routes(root, systems, reading)
    _acting(root, systems, reading)
    _asked(root, systems, reading)
    check_media(root, reading)
    _types(root, reading)
    _own_identifiers(systems, reading)
    _batches(systems, reading)
    if config is not None:
        _tokens(config, systems, reading)


def dialects(folder: Path) -> frozenset[str]:
    """Return the dialects of a mappings folder: its folders, but for the tables."""
    if not folder.is_dir():
        return frozenset()
    others = (TABLES, NOTIFICATIONS)
    folders = (each for each in folder.iterdir() if each.is_dir() and each.name not in others)
    return frozenset(each.name for each in folders if not each.name.startswith((".", "_")))


def _children(node: Node, key: str) -> dict[str, Node]:
    child = node.get(key)
    return {name: each for name, _, each in child.items()} if child is not None else {}


def _texts(node: Node | None) -> Iterator[tuple[str, Place]]:
    """Yield the texts of a list or of one value, but for those from the environment."""
    if node is None:
        return
    for each in node.value if isinstance(node.value, list) else [node]:
        if isinstance(each.value, str) and "${" not in each.value:
            yield each.value, each.place


def _dialects(root: Node, systems: dict[str, Node], reading: Reading) -> None:
    given = root.get("mappings")
    folder = given.value if given is not None and isinstance(given.value, str) else "mappings"
    known = dialects(reading.root / folder)
    for system in systems.values():
        for name, place in _texts(system.get("dialect")):
            if name not in known:
                reading.unknown("C112", name, f"dialect under '{folder}'", known, place)


def _routes(root: Node, systems: dict[str, Node], reading: Reading) -> None:
    for route in _listed(root.get("routes")):
        senders = dict(_texts(route.get("from")))
        receivers = dict(_texts(route.get("to")))
        for name, place in [*senders.items(), *receivers.items()]:
            if name not in systems and name != EVERYTHING:
                reading.unknown("C114", name, "system of this file", systems, place)
        for name, place in senders.items():
            if set(receivers) == {name} and name != EVERYTHING:
                reading.problem(
                    "C118", f"This route leads from '{name}' back to itself.", place,
                    expected="a receiving system other than the sender",
                )  # fmt: skip


def _types(root: Node, reading: Reading) -> None:
    structure_only = dict(_texts(root.get("structure_only")))
    rules = root.get("rules")
    consent = rules.get("consent") if rules is not None else None
    applies_to = dict(_texts(consent.get("applies_to"))) if consent is not None else {}
    if (place := applies_to.get("Consent")) is not None:
        reading.problem(
            "C123", "A Consent cannot need a consent that covers it.", place,
            expected="the types that are told: CarePlan, CareTeam and others",
            remedy="leave Consent out: the first one could never come in.",
        )  # fmt: skip
    known = schema("R4").resources
    carried = [pair for route in _listed(root.get("routes")) for pair in _texts(route.get("types"))]
    for name, place in [*structure_only.items(), *applies_to.items(), *carried]:
        if name not in known and name != EVERYTHING:
            reading.unknown("C116", name, "resource type of FHIR R4", known, place)
    for name, place in carried:
        if name in known - CHECKED_TYPES - structure_only.keys():
            reading.problem(
                "C117", f"The engine knows {name} by its structure only.", place,
                expected="a type with checks of its own, or one listed under structure_only",
                remedy=f"add {name} to structure_only to carry it all the same.",
            )  # fmt: skip


def _acting(root: Node, systems: dict[str, Node], reading: Reading) -> None:
    """Let the engine write only on behalf of a system of this file."""
    section = root.get("coordination")
    acting = section.get("acting") if section is not None else None
    if acting is not None and isinstance(acting.value, str) and acting.value not in systems:
        reading.unknown("C114", acting.value, "system of this file", systems, acting.place)


def _asked(root: Node, systems: dict[str, Node], reading: Reading) -> None:
    """Let records be asked for, and members told, only through systems of this file."""
    section = root.get("coordination")
    records = section.get("records") if section is not None else None
    notices = section.get("notifications") if section is not None else None
    for name, place in _texts(notices.get("through") if notices is not None else None):
        if name not in systems:
            reading.unknown("C114", name, "system of this file", systems, place)
    if records is None:
        return
    poll = records.get("poll")
    polled = list(_texts(poll.get("systems"))) if poll is not None else []
    formed = [(name, node.place) for name, node in _children(records, "form").items()]
    for name, place in [*polled, *formed]:
        if name not in systems:
            reading.unknown("C114", name, "system of this file", systems, place)


def _batches(systems: dict[str, Node], reading: Reading) -> None:
    """Let deliveries go together only where they go in a Bundle."""
    for system in systems.values():
        batch, interaction = system.get("batch"), system.get("interaction")
        if batch is None or batch.value in (1, "1"):
            continue
        if interaction is None or interaction.value in ("update", "create"):
            reading.problem(
                "C122", "Deliveries go together only in a Bundle.", batch.place,
                expected="`interaction: batch` or `interaction: transaction` beside it",
            )  # fmt: skip


def _own_identifiers(systems: dict[str, Node], reading: Reading) -> None:
    owner: dict[str, str] = {}
    for name, system in systems.items():
        for identifier, place in _texts(system.get("identifiers")):
            if owner.setdefault(identifier, name) != name:
                reading.problem(
                    "C120", f"'{owner[identifier]}' already assigns these identifiers.", place,
                    expected="each identifier system under the one system that assigns it",
                    remedy="if both use the same numbers, list it under crosswalk.shared.",
                )  # fmt: skip


def _tokens(config: Config, systems: dict[str, Node], reading: Reading) -> None:
    holders: dict[str, list[str]] = defaultdict(list)
    for name, system in config.systems.items():
        if system.token_sha256:
            holders[system.token_sha256.lower()].append(name)
    for first, *others in holders.values():
        for name in others:
            node = systems[name].get("token_sha256")
            reading.problem(
                "C121", f"'{name}' has the same token as '{first}'.",
                node.place if node is not None else systems[name].place,
                expected="a token of its own for each system: it tells who sends",
                remedy="'carelane token' prints a new one.",
            )  # fmt: skip


def _listed(node: Node | None) -> list[Node]:
    if node is None:
        return []
    return node.value if isinstance(node.value, list) else [node]
