"""What was carried for one dialect, kept on record when a system of another writes the resource."""

from __future__ import annotations

from typing import Any

from engine.transform.carry import CARRIED, read_carried
from engine.transform.home import is_ours, without

Tree = dict[str, Any]


def reunited(new: Tree, before: Tree, mapping: str) -> Tree:
    """Return a canonical resource with what the version before carried for other dialects.

    `mapping` wrote the new version: of its own, the new version says all. Within the resource a
    carried value stays with an object that is the same as before; of one that was changed or taken
    away, the version before keeps it.
    """
    return _with_kept(new, before, mapping, True)


def _with_kept(new: Tree, before: Tree, mapping: str, is_same: bool) -> Tree:
    out = dict(new)
    for name, value in before.items():
        there = new.get(name)
        if name == "extension" or there is None:
            continue
        if isinstance(value, dict) and isinstance(there, dict):
            out[name] = _with_kept(there, value, mapping, without(value) == without(there))
        elif isinstance(value, list) and isinstance(there, list):
            out[name] = _items(there, value, mapping)
    own = out.get("extension", [])
    kept = [one for one in before.get("extension", ()) if is_same and _is_others(one, mapping)]
    more = [one for one in kept if one not in own]
    return {**out, "extension": [*own, *more]} if more else out


def _items(new: list[Any], before: list[Any], mapping: str) -> list[Any]:
    """Return items, each with what its equal of before carried; each of those is taken once."""
    waiting = [(without(item), item) for item in before if isinstance(item, dict)]
    made = []
    for item in new:
        bare = without(item) if isinstance(item, dict) else None
        found = next((pair for pair in waiting if bare and pair[0] == bare), None)
        if found is not None:
            waiting.remove(found)
            item = _with_kept(item, found[1], mapping, True)
        made.append(item)
    return made


def _is_others(extension: Any, mapping: str) -> bool:
    """Tell whether an extension was carried for another dialect; marks of defaults are not kept."""
    if not is_ours(extension):
        return False
    found = read_carried({**extension, "url": CARRIED})
    return (
        found is not None
        and found.mapping != mapping
        and found.side == "dialect"
        and not found.path.endswith("#default")
    )
