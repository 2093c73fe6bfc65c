"""Stored messages through another version of a mapping: what would come out otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from engine.carried import with_carried
from engine.fhir.json import dumps
from engine.fhir.profiles import Profiles
from engine.gather import gather
from engine.keeping import send_again, state_of
from engine.mapping_sets import Sets
from engine.message import Next, Outcome
from engine.project import Project
from engine.replacing import label
from engine.road.pipeline import run_again
from engine.road.trip import Trip
from engine.store import Transaction, UnitRow
from engine.stored import Stored, stored_messages
from engine.transform.adapter import Adapter, load_adapters
from engine.transform.cases import difference
from engine.wholes import last_heard, with_wholes


@dataclass(frozen=True, slots=True)
class Change:
    """Hold one stored resource of which another mapping makes something else.

    `was` and `now` say how it fares (`routed`, `rejected T002`), `lines` what differs: these hold
    values of the message, `paths` do not. `current` tells whether nothing newer is on record.
    """

    stored: Stored
    row: UnitRow
    was: str
    now: str
    lines: tuple[str, ...]
    outcome: Outcome
    current: bool
    trial: Project

    def again(self, tx: Transaction) -> Outcome:
        """Return the outcome as things stand now: of siblings, another may have gone before."""
        if (self.stored.message.system, self.row.type) in self.trial.siblings:
            return _run(tx, self.stored, self.row, self.trial)
        return self.outcome

    @property
    def paths(self) -> tuple[str, ...]:
        """Return where it differs, without values."""
        return tuple(dict.fromkeys(line[2:].partition(": ")[0] for line in self.lines))

    def to_json(self) -> dict[str, Any]:
        """Render as plain data without any payload."""
        return {
            "message": self.stored.message.id,
            "received": self.stored.message.received,
            "from": self.stored.message.system,
            "unit": self.row.id,
            "type": self.row.type,
            "was": self.was,
            "now": self.now,
            "paths": list(self.paths),
        }


class Versions:
    """Find the adapters that once read and wrote, among the sets of mappings that are kept."""

    def __init__(self, project: Project, sets: Sets, profiles: Profiles) -> None:
        self._profiles = profiles
        self._sets = sets
        self._waiting = list(dict.fromkeys(one.hash for one in reversed(sets.history())))
        self._known: dict[str, Adapter] = dict(project.adapters.retired)
        self._add(project.adapters.mapped.values())

    def find(self, name: str) -> Adapter | None:
        """Return the adapter of a name, version and hash as a unit or delivery notes it."""
        while name not in self._known and self._waiting:
            hash = self._waiting.pop(0)
            if self._sets.is_whole(hash):
                adapters, _ = load_adapters(self._sets.path(hash), self._profiles)
                self._add(adapters.mapped.values())
        return self._known.get(name)

    def _add(self, adapters: Any) -> None:
        for adapter in adapters:
            self._known.setdefault(label(adapter), adapter)


def replayed(
    tx: Transaction,
    project: Project,
    trial: Project,
    versions: Versions,
    names: frozenset[str],
    since: str | None = None,
) -> Iterator[Change]:
    """Yield every stored resource of which `trial` makes something else, newest first.

    Only resources that a mapping of `names` read or wrote are looked at. Both versions run on the
    record as it is now, so that a difference comes from the mapping alone; the version that did
    the work is the kept one, else the one of `project`.
    """
    for stored in stored_messages(tx, since):
        for row in stored.rows:
            used = _used(tx, row)
            meant = {one.split(" ")[0] for one in used} | _unread(project, stored, row)
            if stored.unit(row) is None or not names & meant:
                continue
            before = _as_it_was(project, versions, used, row.type)
            change = _change(tx, stored, row, before, trial)
            if change is not None:
                yield change


def _used(tx: Transaction, row: UnitRow) -> list[str]:
    """Return the mappings that read a resource or wrote it, with version and hash."""
    read = [str(part) for part in (row.mapping, row.mapping_version, row.mapping_hash) if part]
    wrote = (str(one.envelope.get("mapping", "")) for one in tx.deliveries.of_unit(row.id))
    return [" ".join(read), *dict.fromkeys(wrote)]


def _unread(project: Project, stored: Stored, row: UnitRow) -> set[str]:
    """Return the mapping of a resource that was refused before any mapping read it."""
    system = project.config.systems.get(stored.message.system)
    return {f"{system.dialect}/{row.type.lower()}"} if system and not row.mapping else set()


def _as_it_was(
    project: Project, versions: Versions, used: Sequence[str], type_name: str
) -> Project:
    found = [one for one in map(versions.find, used) if one is not None]
    mine = {(one.name.split("/", 1)[0], type_name): one for one in found}
    mapped = {**project.adapters.mapped, **mine}
    return replace(project, adapters=replace(project.adapters, mapped=mapped))


def _change(
    tx: Transaction, stored: Stored, row: UnitRow, before: Project, trial: Project
) -> Change | None:
    new = _run(tx, stored, row, trial)
    if row.mapping:
        old = _run(tx, stored, row, before)
        was, made = _fares(old), _documents(old)
    else:
        was, made = _recorded(row), {}
    now = _fares(new)
    lines = tuple(difference(made, _documents(new), exact=True))
    if was == now and not lines:
        return None
    current = _is_current(tx, trial, stored, row)
    return Change(stored, row, was, now, lines, new, current, trial)


def _run(tx: Transaction, stored: Stored, row: UnitRow, project: Project) -> Outcome:
    facts = gather(tx, project, stored.message.system, stored.submission.units, at=tx.now)
    facts = with_wholes(tx, project, stored.message, stored.submission.units, facts)
    facts = with_carried(tx, project, stored.message.system, stored.submission.units, facts)
    trip = Trip(project, facts, stored.message.system)
    return run_again(stored.submission, row.entry, trip).outcomes[0]


def _recorded(row: UnitRow) -> str:
    """Tell from the record how a resource fared that no mapping read."""
    notes = (note for note in row.notes if note.get("severity") == "error")
    return " ".join((row.state, *sorted({str(note["code"]) for note in notes})))


def _fares(outcome: Outcome) -> str:
    if isinstance(outcome, Next):
        return state_of(outcome)
    codes = sorted({problem.code for problem in outcome.diagnostics})
    return " ".join((state_of(outcome), *codes))


def _documents(outcome: Outcome) -> dict[str, Any]:
    """Return what came out, by whom it is for."""
    unit = outcome.unit
    out: dict[str, Any] = {"canonical": unit.canonical} if unit.canonical is not None else {}
    for draft in unit.drafts:
        name = f"to {draft.destination}"
        out[f"{name} as {draft.link}" if draft.sibling else name] = draft.resource
    return out


def _is_current(tx: Transaction, project: Project, stored: Stored, row: UnitRow) -> bool:
    type_name, _, entity = (row.resource or "").partition("/")
    current = tx.resources.get(type_name, entity) if entity else None
    if current is None or current.deleted:
        return False
    message = stored.message
    if (message.system, type_name) in project.siblings:
        heard = last_heard(project, current, message, stored.submission, row)
        return heard == message.received
    return current.version == row.version


def deliver_again(tx: Transaction, change: Change, by: str) -> int:
    """Send what changed once more; nothing where something newer is on record, or was refused.

    Only the drafts that differ from what was last enqueued for their destination are sent.
    """
    outcome = change.again(tx)
    if not isinstance(outcome, Next) or not change.current or outcome.unit.canonical is None:
        return 0
    message, row = change.stored.message, change.row
    together = (message.system, row.type) in change.trial.siblings
    found = tx.deliveries.of_message(message.id) if together else tx.deliveries.of_unit(row.id)
    sent = {(one.destination, one.envelope.get("reference")): one.body for one in found}
    drafts = tuple(
        draft
        for draft in outcome.unit.drafts
        if sent.get((draft.destination, draft.link)) != dumps(draft.resource)
    )
    unit = structs.replace(outcome.unit, drafts=drafts)
    return send_again(tx, message, Next(unit), row, by)
