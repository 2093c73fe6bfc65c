"""The ids under which a system knows siblings: the same item has the same id at each update."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Sequence

from engine.transform.siblings import Part, Seam, home_id

_LAWFUL = re.compile(r"[A-Za-z0-9\-._]{1,64}")
_LENGTH = 32


def sibling_ids(
    seam: Seam, parts: Sequence[Part], entity: str, system: str, known: Container[str] = ()
) -> list[str]:
    """Return the id of each part at a system: the one it came under, else one that is made.

    It is made of the whole (`entity`) and what the item is known by, so it needs no memory; where
    two items are known by the same, the second is told by more of its names. `known` are the ids
    that the system has already: an item that has its own longer name there keeps it.
    """
    ids = [_own(part, system) for part in parts]
    names = [_names(seam, part) for part in parts]
    taken = {id for id in ids if id}
    for index, (plain, full) in enumerate(names):
        made = _made(entity, full)
        if not ids[index] and full != plain and made in known and made not in taken:
            ids[index] = made
            taken.add(made)
    for index, (plain, full) in enumerate(names):
        if not ids[index]:
            ids[index] = _free(entity, plain, full, taken)
            taken.add(ids[index])
    return ids


def _own(part: Part, system: str) -> str:
    id = part.ids.get(system, "")
    return id if _LAWFUL.fullmatch(id) else ""


def _names(seam: Seam, part: Part) -> tuple[str, str]:
    """Return the short and the full name of a part: by the sibling that it came as, if any."""
    if came := home_id(part):
        return f"sibling {came}", f"sibling {came}"
    names = seam.names(part)
    return names[0], " ".join(names)


def _free(entity: str, plain: str, full: str, taken: Container[str]) -> str:
    number = 0
    made = _made(entity, plain)
    while made in taken:
        made = _made(entity, f"{full} {number}" if number else full)
        number += 1
    return made


def _made(entity: str, name: str) -> str:
    return hashlib.sha256(f"{entity}|{name}".encode()).hexdigest()[:_LENGTH]
