"""Asking the sender who it means: a bounded read of people and organizations not yet known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import httpx
import structlog

from engine.config import System
from engine.fhir.json import JSONError, dumps, loads
from engine.fhir.references import iter_references
from engine.intake import Arrival, Intake
from engine.message import Resource
from engine.parse import Limits, parse
from engine.project import Project
from engine.road.entries import Submission, split
from engine.store import Store, Transaction
from engine.transform.crosswalk import IDENTITY_TYPES, Key

Connect = Callable[[System], httpx.AsyncBaseTransport]

MOST = 20
"""How many resources are asked for in one round at most."""

ROUNDS = 3
"""A role leads to its organization, that to the one above it: no further."""

LARGEST = 1_000_000

_log = structlog.get_logger(__name__)


def direct(_system: System) -> httpx.AsyncBaseTransport:
    """Return the way to a system over the network; TLS is verified, no proxy is used."""
    return httpx.AsyncHTTPTransport(verify=True, trust_env=False)


class Lookup:
    """Read what a submission refers to from the sender's own endpoint, where config allows it.

    All of it ends with the system's time-out. What could not be read stays unresolved, and the
    submission goes on as it would without this.
    """

    def __init__(self, intake: Intake, store: Store, connect: Connect = direct) -> None:
        self._intake = intake
        self._store = store
        self._connect = connect

    async def before(self, arrival: Arrival) -> None:
        """Take in the people and organizations that a submission refers to and nobody knows."""
        project = self._intake.project
        system = project.config.systems[arrival.system]
        if not system.lookup:
            return
        try:
            async with asyncio.timeout(system.timeout):
                await self._rounds(project, arrival, system)
        except TimeoutError:
            _log.warning("lookup.timeout", system=arrival.system)

    async def _rounds(self, project: Project, arrival: Arrival, system: System) -> None:
        resources = _resources(project, arrival.body)
        async with httpx.AsyncClient(
            transport=self._connect(system), timeout=system.timeout, follow_redirects=False
        ) as client:
            for _ in range(ROUNDS):
                missing = await asyncio.to_thread(
                    self._store.read, _missing_from(project, arrival.system, resources)
                )
                if not missing:
                    return
                reads = (_read(client, system, key) for key in missing[:MOST])
                found = [one for one in await asyncio.gather(*reads) if one is not None]
                if not found:
                    return
                await self._take(arrival.system, found)
                resources = [*resources, *found]

    async def _take(self, system: str, found: Sequence[Resource]) -> None:
        bundle = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": resource} for resource in found],
        }
        future = self._intake.submit(Arrival(system, "bundle", dumps(bundle)))
        await asyncio.wrap_future(future)


def _resources(project: Project, body: bytes) -> list[Resource]:
    limits = project.config.limits
    tree = parse(body, Limits(limits.bytes, limits.depth, limits.entries)).tree
    submission = split(tree) if tree is not None else None
    if not isinstance(submission, Submission):
        return []
    return [unit.source for unit in submission.units]


def _missing_from(
    project: Project, system: str, resources: Sequence[Resource]
) -> Callable[[Transaction], list[Key]]:
    own = {key for resource in resources for key in project.naming.own_keys(system, resource)}

    def missing(tx: Transaction) -> list[Key]:
        wanted = dict.fromkeys(
            key
            for alternatives in _referred(project, system, resources)
            if not own.intersection(alternatives) and not tx.crosswalk.resolve(alternatives)
            for key in alternatives[:1]
            if key.kind == "reference" and key.system == system and key.type in IDENTITY_TYPES
        )
        return list(wanted)

    return missing


def _referred(
    project: Project, system: str, resources: Iterable[Resource]
) -> Iterable[Sequence[Key]]:
    for resource in resources:
        for _, reference in iter_references(resource):
            if keys := project.naming.reference_keys(system, reference):
                yield keys


async def _read(client: httpx.AsyncClient, system: System, key: Key) -> Resource | None:
    """Read one resource; whatever is not just that resource counts as unknown."""
    headers = {"Accept": "application/fhir+json"}
    if system.bearer:
        headers["Authorization"] = f"Bearer {system.bearer}"
    url = f"{system.base_url}/{key.value}"
    try:
        async with client.stream("GET", url, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                return None
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST:
                    return None
        resource = loads(body)
    except (httpx.HTTPError, JSONError):
        return None
    if not isinstance(resource, dict):
        return None
    found = f"{resource.get('resourceType')}/{resource.get('id')}"
    return resource if found == key.value else None
