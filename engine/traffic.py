"""What the stored traffic used of each mapping, and what it brought that no mapping knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.fhir.json import loads
from engine.project import Project
from engine.store import Transaction, UnitRow
from engine.stored import Stored, stored_messages
from engine.transform.adapter import Adapters
from engine.transform.coverage import Coverage
from engine.transform.unheard import UNKNOWN, lines, shape

_UNKNOWN = ("T001", UNKNOWN)
"""What says that an element arrived which the mapping, or FHIR itself, does not know."""


@dataclass(slots=True)
class Traffic:
    """Hold what traffic did with one mapping.

    `unmapped` counts the source paths that the mapping does not know, by the resources that had
    them; `losses` counts code and path of everything carried, dropped or missed.
    """

    name: str
    coverage: Coverage
    resources: int = 0
    unmapped: Counter[str] = field(default_factory=Counter)
    losses: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """Yield YAML to paste, the most frequent path first; losses as comments."""
        if self.unmapped:
            yield from lines(self.unmapped.most_common(), self.coverage.plan)
        for (code, path, table), count in self.losses.most_common():
            where = f" ({table})" if table else ""
            yield f"# {code} {path}{where}: {_times(count)}"

    def to_json(self) -> dict[str, Any]:
        """Render as plain data."""
        return {
            "mapping": self.name,
            "resources": self.resources,
            "coverage": self.coverage.summary(),
            "unmapped": dict(self.unmapped.most_common()),
            "losses": [
                {"code": code, "path": path, **({"table": table} if table else {}), "count": count}
                for (code, path, table), count in self.losses.most_common()
            ],
        }


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def traffic(
    tx: Transaction, project: Project, adapters: Adapters, since: str | None = None
) -> list[Traffic]:
    """Return what the messages received since an instant did with each mapping."""
    found = {
        adapter.name: Traffic(adapter.name, Coverage(adapter.plan))
        for adapter in adapters.mapped.values()
    }
    for stored in stored_messages(tx, since):
        system = project.config.systems.get(stored.message.system)
        for row in stored.rows:
            if system is not None:
                _arrived(found, stored, row, f"{system.dialect}/{row.type.lower()}")
            _left(tx, project, found, row)
            _noted(found, row, f"{system.dialect}/{row.type.lower()}" if system else "")
    return [one for _, one in sorted(found.items())]


def _arrived(found: dict[str, Traffic], stored: Stored, row: UnitRow, name: str) -> None:
    unit = stored.unit(row)
    if unit is not None and (one := found.get(name)) is not None:
        one.resources += 1
        one.coverage.add("to_canonical", unit.source)


def _left(tx: Transaction, project: Project, found: dict[str, Traffic], row: UnitRow) -> None:
    for delivery in tx.deliveries.of_unit(row.id):
        system = project.config.systems.get(delivery.destination)
        one = found.get(f"{system.dialect}/{row.type.lower()}") if system else None
        version = delivery.envelope.get("version")
        if one is None or version is None:
            continue
        kept = tx.resources.version(row.type, str(delivery.envelope["entity"]), int(version))
        if kept is not None:
            one.resources += 1
            one.coverage.add("to_dialect", loads(kept.body))


def _noted(found: dict[str, Traffic], row: UnitRow, read_by: str) -> None:
    """Count the loss record of one resource, each path once.

    What FHIR does not have is refused before any mapping reads it, in the name of `read_by`.
    """
    seen: set[tuple[str, str, str, str]] = set()
    for note in row.notes:
        name = str(note.get("mapping", "")).split(" ")[0] or read_by
        path = shape(str(note.get("path", "")), row.type)
        code, table = str(note.get("code")), str(note.get("table", "")).split(" ")[0]
        if name not in found or not path or (name, code, path, table) in seen:
            continue
        seen.add((name, code, path, table))
        if code in _UNKNOWN:
            found[name].unmapped[path] += 1
        else:
            found[name].losses[code, path, table] += 1
