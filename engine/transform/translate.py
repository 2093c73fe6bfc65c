"""Codes from one side to the other by a table, so that the way back finds what was there.

A translated concept is its translations followed by its own codings. The way back tells which
codings were added by translating again; where that would not give the original, the original is
remembered in a Carelane extension on the element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from engine.transform.carry import SELF, carried, remembered, side_of
from engine.transform.mapping import Direction, Miss, other
from engine.transform.tables import Key, Row, Table

Coding = dict[str, Any]
Concept = dict[str, Any]
Said = tuple[str, str, bool]
"""A code of diagnostics, a sentence, and whether it stops the message."""
Note = Callable[[str, str, bool], None]
"""Take what is said of a code."""

_MOST_KNOWN = 2_000
_LONGEST_KNOWN = 300
_PLAIN = frozenset({"coding", "text"})


def _written(concept: Concept) -> bytes | None:
    """Return a short concept as text, order included; None for any that JSON cannot tell apart."""
    try:
        text = orjson.dumps(concept)
    except TypeError:  # decimals
        return None
    return text if len(text) <= _LONGEST_KNOWN else None


def _is_plain(concept: Concept) -> bool:
    """Tell whether a concept consists of texts alone, so that a copy of its codings is whole."""
    codings = concept.get("coding")
    return (
        _PLAIN.issuperset(concept)
        and isinstance(concept.get("text", ""), str)
        and isinstance(codings, list)
        and all(isinstance(coding, dict) for coding in codings)
        and all(isinstance(part, str) for coding in codings for part in coding.values())
    )


def _are(made: Iterable[Coding | None], wanted: list[Coding]) -> bool:
    """Tell whether translations, each taken once, are these; ends at the first that is not."""
    seen: set[tuple[tuple[str, Any], ...]] = set()
    for one in made:
        if one is None or (name := tuple(one.items())) in seen:
            continue
        if len(seen) == len(wanted) or wanted[len(seen)] != one:
            return False
        seen.add(name)
    return len(seen) == len(wanted)


def _key(coding: Coding) -> Key:
    return (coding.get("system"), str(coding.get("code")))


@dataclass(slots=True)
class Translator:
    """Translate in one direction; `table` and what the mapping says about its use."""

    mapping: str
    direction: Direction
    table: Table
    on_miss: Miss | None
    keep_source: bool
    only: Direction | None
    back_miss: Miss | None = None
    known: dict[bytes, tuple[Concept, Sequence[Said]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def there(self) -> Mapping[Key, Row]:
        return self._rows(self.direction)

    @property
    def back(self) -> Mapping[Key, Row]:
        return self._rows(other(self.direction))

    def _rows(self, direction: Direction) -> Mapping[Key, Row]:
        return self.table.ways[direction] if self.only in (None, direction) else {}

    # --- concepts ---------------------------------------------------------------------------

    def hits(self) -> dict[str | None, tuple[str | None, Coding]]:
        """Return system and translation by code, of rows that need no word to the reader."""
        return _by_code(self.there, self.direction, _plain)

    def fast(self) -> Callable[[Concept], Concept | None]:
        """Return the function for the common concepts; its None means: take the slow way."""
        hits = self.hits()
        added = _by_code(self.back, other(self.direction))
        keep = self.keep_source

        def translate(concept: Concept) -> Concept | None:
            codings = concept.get("coding")
            if codings is None:
                return None if "extension" in concept else concept
            if not keep:
                return None
            if len(codings) == 1:
                coding = codings[0]
                system, hit = hits.get(coding.get("code"), _MISS)
                if hit is None or system != coding.get("system") or "extension" in concept:
                    return None
                out = concept.copy()
                out["coding"] = [hit.copy(), coding]
                return out
            if len(codings) == 2:
                coding = codings[1]
                system, again = added.get(coding.get("code"), _MISS)
                same = again == codings[0] and system == coding.get("system")
                if same and "extension" not in concept:
                    return {**concept, "coding": [coding]}
            return None

        return translate

    def plain(self, codings: list[Coding], direction: Direction) -> list[Coding]:
        """Return the codings on the other side, by the table alone."""
        added = self.added(codings, other(direction))
        if added:
            return codings[added:]
        hits = self.translations(codings, direction)
        if self.keep_source:
            return [*hits, *codings]
        return [self.replaced(coding, direction) for coding in codings]

    def added(self, codings: list[Coding], back: Direction) -> int:
        """Return how many codings stand in front as translations of those behind them.

        Each coding is looked up once, however many there are.
        """
        rows = self._rows(back)
        found = (rows.get(_key(coding)) for coding in codings)
        made = [None if row is None else row.coding(back) for row in found]
        most = len({tuple(one.items()) for one in made if one is not None})
        cuts = range(1, min(most + 1, len(codings)))
        return next((cut for cut in cuts if _are(islice(made, cut, None), codings[:cut])), 0)

    def translations(self, codings: list[Coding], direction: Direction) -> list[Coding]:
        rows = self._rows(direction)
        found = (rows.get(_key(coding)) for coding in codings)
        out: list[Coding] = []
        for row in found:
            if row is not None and (coding := row.coding(direction)) not in out:
                out.append(coding)
        return out

    def concept(self, concept: Concept) -> tuple[Concept, Sequence[Said]]:
        """Translate any concept; return it with what its reader should know.

        Plain ones are few, so what becomes of them is remembered within bounds, and copied.
        """
        key = _written(concept)
        known = self.known.get(key) if key is not None else None
        if known is None:
            notes: list[Said] = []
            known = (self.translated(concept, lambda *one: notes.append(one)), notes)
            if key is None or not _is_plain(concept) or "extension" in known[0]:
                return known
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            self.known[key] = known
        made, said = known
        out = made.copy()
        if "coding" in out:
            out["coding"] = [coding.copy() for coding in out["coding"]]
        return out, said

    def translated(self, concept: Concept, note: Note) -> Concept:
        """Work out the translation of a concept."""
        memory, _ = remembered(concept.get("extension"), self.mapping, self.direction)
        if memory is not None:
            known = self.recalled(concept, memory.value())
            if known is not None:
                return known
        codings = concept.get("coding")
        if not isinstance(codings, list) or not codings:
            return concept
        self.look(codings, note)
        out = dict(concept)
        out["coding"] = self.plain(codings, self.direction)
        if out["coding"] == codings and self.missed(codings):
            out = self.miss(concept, codings, note)
        if not self.restores(out, codings):
            memory_of = carried(self.mapping, side_of(self.direction), SELF, concept)
            out["extension"] = [*out.get("extension", ()), memory_of]
        return out

    def restores(self, out: Concept, codings: list[Coding]) -> bool:
        """Tell whether the way back gives the codings again without a memory of them."""
        made = out.get("coding")
        if made is None or self.plain(made, other(self.direction)) != codings:
            return False
        kind = self.back_miss.kind if self.back_miss is not None else "keep-source"
        if kind == "text-only" and _shown_as(out) is None:
            return True
        return kind == "keep-source" or not self.missed(made)

    def recalled(self, concept: Concept, original: Any) -> Concept | None:
        """Return the remembered original, if this concept is still what was made of it."""
        if not isinstance(original, dict):
            return None
        codings = concept.get("coding")
        if codings is None:
            emptied = self.back_miss is not None and self.back_miss.kind == "text-only"
            return original if emptied else None
        made = self.plain(original.get("coding", []), other(self.direction))
        return original if codings == made or self.was_default(concept, original) else None

    def was_default(self, concept: Concept, original: Concept) -> bool:
        codings = concept.get("coding") or []
        return bool(codings[1:] == original.get("coding"))

    def missed(self, codings: list[Coding]) -> bool:
        there, back = self.there, self.back
        return not any(_key(c) in there or _key(c) in back for c in codings)

    def look(self, codings: list[Coding], note: Note) -> None:
        """Note codings without system and translations that are not equivalent."""
        for coding in codings:
            if coding.get("system") is None and coding.get("code") is not None:
                note("T004", "A coding has no system and was not looked up.", False)
            row = self.there.get(_key(coding))
            if row is not None and row.relationship != "equivalent":
                said = f"Its translation by '{self.table.name}' is {_seen(row, self.direction)}."
                note("T005", said, False)

    def miss(self, concept: Concept, codings: list[Coding], note: Note) -> Concept:
        miss = self.on_miss
        name = self.table.name
        if miss is None:
            return dict(concept)
        if miss.kind == "reject":
            note("T002", f"No coding is in the table '{name}'.", True)
            return dict(concept)
        note("T003", f"No coding is in the table '{name}' ({miss.kind}).", False)
        if miss.kind == "default" and isinstance(miss.default, Mapping):
            return {**concept, "coding": [dict(miss.default), *codings]}
        if miss.kind == "text-only":
            text = _shown_as(concept)
            out = {key: value for key, value in concept.items() if key != "coding"}
            return {**out, "text": text} if text else dict(concept)
        return dict(concept)

    # --- single codings ---------------------------------------------------------------------

    def replaced(self, coding: Coding, direction: Direction) -> Coding:
        row = self._rows(direction).get(_key(coding))
        if row is None:
            return coding
        kept = {k: v for k, v in coding.items() if k in ("id", "extension", "userSelected")}
        return row.coding(direction) | kept

    def coding(self, coding: Coding, note: Note) -> Coding:
        """Translate an element that is a single Coding."""
        memory, _ = remembered(coding.get("extension"), self.mapping, self.direction)
        if memory is not None:
            original = memory.value()
            bare = {k: v for k, v in coding.items() if k != "extension"}
            made = self.replaced(original, other(self.direction))
            if _key(made) == _key(bare) or _key(original) == _key(bare):
                return dict(original)
        self.look([coding], note)
        out = self.replaced(coding, self.direction)
        if out is coding and self.missed([coding]) and self.on_miss is not None:
            kind = self.on_miss.kind
            said = f"The coding is not in the table '{self.table.name}'"
            note("T002" if kind == "reject" else "T003", f"{said} ({kind}).", kind == "reject")
            if kind == "default" and isinstance(self.on_miss.default, Mapping):
                out = dict(self.on_miss.default)
        passes = self.back_miss is None or self.back_miss.kind == "keep-source"
        if self.replaced(out, other(self.direction)) != coding or not (
            passes or not self.missed([out])
        ):
            memory_of = carried(self.mapping, side_of(self.direction), SELF, coding)
            out = {**out, "extension": [*out.get("extension", ()), memory_of]}
        return out

    # --- bare codes -------------------------------------------------------------------------

    def codes(self, direction: Direction) -> dict[str, str]:
        """Return code by code in one direction."""
        rows = self._rows(direction)
        return {key[1]: row.target(direction)[1] for key, row in rows.items()}

    def exact(self) -> dict[str, str]:
        """Return the codes that come back as they were, and need no word."""
        there, back = self.codes(self.direction), self.codes(other(self.direction))
        plain = {key[1] for key, row in self.there.items() if _plain(row)}
        return {k: v for k, v in there.items() if back.get(v) == k and k in plain}


_MISS: tuple[None, None] = (None, None)


def _plain(row: Row) -> bool:
    return row.relationship == "equivalent"


def _by_code(
    rows: Mapping[Key, Row], direction: Direction, wanted: Callable[[Row], bool] = lambda row: True
) -> dict[str | None, tuple[str | None, Coding]]:
    """Return system and translation by code alone, which is quicker than by both.

    A code that two systems have stands for the first; the slow way knows the other.
    """
    found: dict[str | None, tuple[str | None, Coding]] = {}
    for (system, code), row in rows.items():
        if wanted(row):
            found.setdefault(code, (system, row.coding(direction)))
    return found


def _shown_as(concept: Concept) -> str | None:
    """Return what a reader would see of a concept: its text, or the first display."""
    displays = (c["display"] for c in concept.get("coding", ()) if "display" in c)
    return concept.get("text") or next(displays, None)


def _seen(row: Row, direction: Direction) -> str:
    """Return the relationship as it is seen in this direction."""
    if direction == "to_canonical":
        return row.relationship
    return {"wider": "narrower", "narrower": "wider"}.get(row.relationship, row.relationship)
