"""Mappings replaced whole in a running engine, or not at all: staged, tested, then swapped.

`reload` and `rollback` put a set into force on disk; every engine of the project follows within a
second. A message in flight keeps the project that it started with, a delivery the mapping that
wrote it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog

from engine.diagnostics import Diagnostic, has_errors, in_order
from engine.errors import ProjectError
from engine.fhir.profiles import Profiles
from engine.mapping_sets import InForce, Sets, set_hash
from engine.project import Project
from engine.transform.adapter import Adapter, Adapters, load_adapters
from engine.transform.cases import run_cases

_log = structlog.get_logger("carelane.mappings")
EVERY_SECONDS = 1.0


class Holder(Protocol):
    """Hold the project that new work starts with."""

    project: Project


@dataclass(frozen=True, slots=True)
class Staged:
    """Hold a set of adapters that was compiled and tested, or why it may not come into force."""

    adapters: Adapters
    problems: tuple[Diagnostic, ...]

    @property
    def ok(self) -> bool:
        """Tell whether the set may come into force."""
        return not has_errors(self.problems)


def staged(mappings: Path, profiles: Profiles) -> Staged:
    """Load, check and compile a set of mappings and run all its cases."""
    adapters, problems = load_adapters(mappings, profiles)
    if not has_errors(problems):
        for adapter in adapters.mapped.values():
            for direction in ("to_canonical", "to_dialect"):
                adapter.function(direction)
            results, _, found = run_cases(adapter, f"{mappings.name}/{adapter.name}.yaml")
            problems += [*found, *(one for result in results for one in result.problems)]
    return Staged(adapters, tuple(dict.fromkeys(problems)))


def differences(before: Adapters, after: Adapters) -> list[str]:
    """Return in words which mappings come, go or change."""
    old = {adapter.name: adapter for adapter in before.mapped.values()}
    new = {adapter.name: adapter for adapter in after.mapped.values()}
    out = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was is None or now is None or was.hash != now.hash:
            out.append(f"{name}: {_shown(was)} -> {_shown(now)}")
    return out


def _shown(adapter: Adapter | None) -> str:
    return f"{adapter.version} {adapter.hash[:12]}" if adapter else "none"


def with_adapters(project: Project, adapters: Adapters, hash: str) -> Project:
    """Return the project with another set of mappings; the ones before it stay within reach."""
    before = project.adapters
    replaced = {label(one): one for one in before.mapped.values()}
    for adapter in adapters.mapped.values():
        replaced.pop(label(adapter), None)
    retired = {**before.retired, **replaced}
    swapped = replace(project, adapters=replace(adapters, retired=retired, set_hash=hash))
    return swapped.digested(project.digest)


def label(adapter: Adapter) -> str:
    """Return what units and deliveries note of an adapter: name, version and start of the hash."""
    return f"{adapter.name} {adapter.version} {adapter.hash[:12]}"


def as_written(project: Project, envelope: Mapping[str, Any], type_name: str) -> Project:
    """Return the project in which a delivery's own mapping is in force, as far as it is known."""
    found = project.adapters.retired.get(str(envelope.get("mapping")))
    if found is None:
        return project
    dialect = found.name.split("/", 1)[0]
    mapped = {**project.adapters.mapped, (dialect, type_name): found}
    return replace(project, adapters=replace(project.adapters, mapped=mapped))


class Follower:
    """Swap the project of a running engine once another set is in force."""

    def __init__(self, sets: Sets, holders: Sequence[Holder]) -> None:
        self._sets = sets
        self._holders = holders
        last = sets.in_force()
        self._seen = holders[0].project.adapters.set_hash or (last.hash if last else "")

    def look(self) -> bool:
        """Swap if another set is in force; tell whether it was. A broken one changes nothing."""
        entry = self._sets.in_force()
        if entry is None or entry.hash == self._seen:
            return False
        self._seen = entry.hash
        project = self._holders[0].project
        if not self._sets.is_whole(entry.hash):
            _log.error("mappings.refused", set=entry.hash, why="the kept set is not whole")
            return False
        adapters, problems = load_adapters(self._sets.path(entry.hash), project.profiles)
        if has_errors(problems):
            codes = [problem.code for problem in problems]
            _log.error("mappings.refused", set=entry.hash, codes=codes)
            return False
        made = with_adapters(project, adapters, entry.hash)
        for holder in self._holders:
            holder.project = made
        _log.info("mappings.replaced", set=entry.hash, by=entry.by)
        return True


@asynccontextmanager
async def following(project: Project, holders: Sequence[Holder]) -> AsyncIterator[None]:
    """Follow the sets of a project for as long as the block lasts."""
    follower = Follower(Sets.of(project.config.root), holders)
    task = asyncio.create_task(_follow(follower))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(follower: Follower) -> None:
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            await asyncio.to_thread(follower.look)
        except (OSError, ValueError, TypeError) as error:
            _log.error("mappings.unreadable", error=type(error).__name__)


def started(project: Project, at: str) -> Project:
    """Return the project as a starting engine runs it: with the set in force, kept for later.

    That is the mappings folder, unless a rollback pinned another set. The set before it stays
    within reach of the deliveries that it wrote. Raises ProjectError where this version
    refuses the pinned one: what was rolled back may not come into force again unasked.
    """
    sets = Sets.of(project.config.root)
    last = sets.in_force()
    if last is not None and last.pinned and sets.is_whole(last.hash):
        hash = last.hash
        adapters, problems = load_adapters(sets.path(hash), project.profiles)
        if has_errors(problems):
            raise ProjectError(in_order(problems))
        project = with_adapters(project, adapters, hash)
    else:
        hash = sets.keep(project.config.mappings)
        if last is None or last.hash != hash:
            sets.put_in_force(InForce(hash, at, "start"))
        project = with_adapters(project, project.adapters, hash)
    return _within_reach(project, sets, hash)


def caught_up(project: Project) -> Project:
    """Return a started project with the set that is in force by now, if another one is.

    A process that is forked from it may begin much later.
    """
    sets = Sets.of(project.config.root)
    last = sets.in_force()
    if last is None or last.hash == project.adapters.set_hash or not sets.is_whole(last.hash):
        return project
    adapters, problems = load_adapters(sets.path(last.hash), project.profiles)
    if has_errors(problems):
        return project
    return _within_reach(with_adapters(project, adapters, last.hash), sets, last.hash)


def _within_reach(project: Project, sets: Sets, hash: str) -> Project:
    others = [one.hash for one in reversed(sets.history()) if one.hash != hash]
    if not others or not sets.is_whole(others[0]):
        return project
    adapters, _ = load_adapters(sets.path(others[0]), project.profiles)
    older = {label(one): one for one in adapters.mapped.values()}
    for adapter in project.adapters.mapped.values():
        older.pop(label(adapter), None)
    retired = {**older, **project.adapters.retired}
    return replace(project, adapters=replace(project.adapters, retired=retired))


__all__ = [
    "Follower",
    "Holder",
    "Staged",
    "as_written",
    "caught_up",
    "differences",
    "following",
    "label",
    "set_hash",
    "staged",
    "started",
    "with_adapters",
]
