"""What a permit of acceptance rests on, and whether at sending all of it still stands.

What leaves is decided from the Consents as they stand at sending (DESIGN section 4, promise 4). In
most cases nothing has changed since acceptance, and deciding and writing again would end just the
same. So what both rested on is noted with the delivery. Where it reads the same at sending, in the
transaction that claims the delivery, the permit is *reaffirmed*: recorded as taken again now, by
the same reasons. Where anything differs, or nobody can tell, all is decided and written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from engine.clock import instant
from engine.deliver.ports import Delivery, Permit, Ruling
from engine.fhir.dates import moment
from engine.message import Unit
from engine.project import Project
from engine.road.facts import targets_of
from engine.road.pipeline import Travelled
from engine.store import Transaction
from engine.store.memory import REMEMBERED

Named = Mapping[str, list[int]]
"""What a resource names, by `Type/id`: the version on record (0: none) and how many links it has.

What is `REMEMBERED` is left out: the record itself counts the changes to it.
"""

_QUARTER = 15 * 60
_SECOND = 1_000_000


def grounds_of(
    tx: Transaction, project: Project, travelled: Travelled, unit: Unit, version: int | None
) -> dict[str, Any] | None:
    """Return what the drafts of a unit rest on, to be noted with each; None where nobody can tell.

    `version` is the one that the unit just got on record. Nobody can tell where the message itself
    brings what the unit rests on: it is on record only once the message is.
    """
    facts, changes = travelled.facts, tx.recall.stamp
    if facts is None or facts.turns is None or not project.fingerprint or changes is None:
        return None
    until = _until(facts.at, facts.turns)
    named = _named(travelled, unit, version)
    if named is None or until <= facts.at or unit.type in project.sibling_types:
        return None
    return {
        "changes": changes,
        "project": project.fingerprint,
        "since": facts.at,
        "until": until,
        "named": named,
    }


def _until(at: str, turns: int) -> str:
    """Return how long a decision counts: to the next quarter of an hour, or a turn before that.

    Whatever turns with a day does so at a midnight, and every zone's is at a quarter in UTC.
    """
    now = (moment(at) or (0, 0))[0]
    quarter = (now // _SECOND // _QUARTER + 1) * _QUARTER * _SECOND
    return _just_before(max(min(quarter, turns), 0))


@lru_cache(maxsize=1024)
def _just_before(time: int) -> str:
    return instant((time - 1) / _SECOND)


def _named(travelled: Travelled, unit: Unit, version: int | None) -> Named | None:
    facts = travelled.facts
    if facts is None or unit.canonical is None or unit.type in REMEMBERED or version is None:
        return None
    known = facts.links.known
    named: dict[str, list[int]] = {}
    for target in targets_of(unit.canonical):
        kind, _, id = target.partition("/")
        if kind not in REMEMBERED:
            resource = facts.content.get(target)
            on_record = int(resource["meta"]["versionId"]) if resource is not None else 0
            named[target] = [on_record, len(known.get(id, ()))]
    if named and any(f"{one.unit.type}/{one.unit.entity}" in named for one in travelled.outcomes):
        return None
    taught = {key for key, entity in travelled.links.items() if entity == unit.entity}
    links = taught.union(known.get(unit.entity, ()))
    named[f"{unit.type}/{unit.entity}"] = [version, len(links)]
    return named


def may_stand(tx: Transaction, project: Project, delivery: Delivery) -> bool:
    """Tell whether a permit of acceptance may be reaffirmed, as far as one knows without asking."""
    noted = delivery.envelope.get("grounds")
    return (
        noted is not None
        and not tx.recall.changed  # whoever shares this commit counts only once it is made
        and noted["changes"] == tx.recall.stamp
        and noted["project"] == project.fingerprint
        and noted["since"] <= tx.now < noted["until"]
    )


def ready(tx: Transaction, deliveries: Iterable[Delivery]) -> None:
    """Read together, for all of them, what `reaffirmed` asks of each."""
    noted = [found for one in deliveries if (found := one.envelope.get("grounds")) is not None]
    named = (target.partition("/") for one in noted for target in one["named"])
    tx.resources.ready([(kind, id) for kind, _, id in named])
    tx.decisions.ready([one["decision"] for one in noted])


def reaffirmed(tx: Transaction, project: Project, delivery: Delivery) -> Permit | None:
    """Return the permit of acceptance where all that it rests on stands; None: decide again."""
    if not may_stand(tx, project, delivery):
        return None
    noted = delivery.envelope["grounds"]
    for target, expected in noted["named"].items():
        kind, _, id = target.partition("/")
        if [*tx.resources.standing(kind, id)] != expected:
            return None
    taken = tx.decisions.get(noted["decision"])
    if taken is None or taken.decision != "permit":
        return None
    body = {**taken.body, "at": tx.now, "reaffirms": taken.id}
    return Permit(Ruling("permit", taken.code, body))
