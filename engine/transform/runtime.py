"""What generated adapters call beside the common road: everything rare, and every complaint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.diagnostics import Place
from engine.transform.beside import Beside
from engine.transform.carry import carried, read_carried, side_of
from engine.transform.expressions import evaluate
from engine.transform.functions import Pair
from engine.transform.journey import NOTHING, Level, Restored, Spec, Task, Tree, copied, put, take
from engine.transform.mapping import Fate, other
from engine.transform.translate import Note, Translator

__all__ = ["NOTHING", "Level", "Run", "Task", "put"]


class Run(Beside):
    """Take one resource through one adapter."""

    __slots__ = ()

    def code(self, spec: Spec, place: Place) -> None:
        """Complain about a code outside its required value set."""
        self.note("T006", "FHIR does not allow this code here.", spec, place)

    def concept(self, translator: Translator, concept: Tree, spec: Spec, place: Place) -> Tree:
        """Translate a CodeableConcept the slow way."""
        made, notes = translator.concept(concept)
        for code, message, stops in notes:
            self.note(code, message, spec, place, stops, table=translator.table.label)
        return made

    def coding(self, translator: Translator, coding: Tree, spec: Spec, place: Place) -> Tree:
        """Translate a Coding."""
        return translator.coding(coding, self.of_table(translator, spec, place))

    def of_table(self, translator: Translator, spec: Spec, place: Place) -> Note:
        """Return what notes something about a code together with the table looked into."""
        table = translator.table.label
        return lambda c, m, s: self.note(c, m, spec, place, s, table=table)

    def bare(
        self,
        translator: Translator,
        code: str,
        o: Tree,
        restored: Restored,
        name: str,
        away: str,
        spec: Spec,
        place: Place,
    ) -> str:
        """Translate a bare code that is not one to one; `name` and `away` name its element."""
        there = translator.codes(self.direction)
        back = translator.codes(other(self.direction))
        original = restored.get(f"{name}#code")
        if original is not None and back.get(original, original) == code:
            return str(original)
        new = there.get(code)
        if new is None:
            return self.bare_miss(translator, code, o, away, back, spec, place)
        row = next(r for k, r in translator.there.items() if k[1] == code)
        if row.relationship != "equivalent":
            said = f"Its translation by '{translator.table.name}' is not equivalent."
            self.note("T005", said, spec, place, False, table=translator.table.label)
        if back.get(new) != code and translator.keep_source:
            self.append(o, carried(self.mapping, side_of(self.direction), f"{away}#code", code))
        return new

    def bare_miss(
        self,
        translator: Translator,
        code: str,
        o: Tree,
        away: str,
        back: Mapping[str, str],
        spec: Spec,
        place: Place,
    ) -> str:
        miss = translator.on_miss
        new = code
        if miss is not None and miss.kind == "reject":
            said = f"It is not in the table '{translator.table.name}'."
            self.note("T002", said, spec, place, table=translator.table.label)
        elif miss is not None:
            said = f"It is not in the table '{translator.table.name}' ({miss.kind})."
            self.note("T003", said, spec, place, False, table=translator.table.label)
            new = str(miss.default) if miss.kind == "default" else code
        if back.get(new, new) != code:
            self.append(o, carried(self.mapping, side_of(self.direction), f"{away}#code", code))
        return new

    def identifier(self, identifier: Tree, systems: Mapping[str, str], spec: Spec) -> Tree:
        """Rename the system of an Identifier; one that has the new name already is remembered."""
        memory = None
        extensions = identifier.get("extension")
        if extensions:
            found = [read_carried(e) for e in extensions if isinstance(e, dict)]
            memory = next((f for f in found if f and f.path == "$this" and self.is_mine(f)), None)
        if memory is not None:
            original = memory.value()
            return dict(original) if isinstance(original, dict) else identifier
        system = identifier.get("system")
        new = systems.get(str(system))
        if new is not None:
            return {**identifier, "system": new}
        if system in systems.values():
            own = carried(self.mapping, side_of(self.direction), "$this", identifier)
            return {**identifier, "extension": [*(extensions or ()), own]}
        return identifier

    def fate(self, fate: Fate, o: Tree, path: str, value: Any, spec: Spec) -> None:
        """Do with a value what the mapping says about the rest."""
        if fate.kind == "carry":
            self.carry(o, path, value, spec, fate.place)
        elif fate.kind == "drop":
            self.note("T016", f"Dropped: {fate.reason}.", spec, fate.place, False)
        else:
            self.note("T019", "The mapping does not take this value.", spec, fate.place)

    def narrow(
        self, fate: Fate | None, o: Tree, path: str, v: Any, u: Any, spec: Spec
    ) -> tuple[Any, Any]:
        """Return the first value of a primitive list and its sibling; the rest goes its way."""
        if max(len(v or ()), len(u or ())) > 1 and fate is not None:
            rest = {"value": (v or [])[1:], "beside": (u or [])[1:]}
            self.fate(fate, o, path, rest if u else rest["value"], spec)
        return (v or [None])[0], (u or [None])[0]

    def widen(self, rest: Any, value: Any, beside: Any) -> tuple[Any, Any]:
        """Return a primitive list and its siblings from the first value and what was carried."""
        more = rest if isinstance(rest, dict) else {"value": rest or [], "beside": []}
        values = [value, *more["value"]]
        siblings = [beside, *more["beside"]]
        if all(item is None for item in siblings):
            siblings = []
        size = max(len(values), len(siblings))
        siblings = siblings and siblings + [None] * (size - len(siblings))
        if all(item is None for item in values):
            return None, siblings or None
        return values + [None] * (size - len(values)), siblings or None

    def remember(self, o: Tree, path: str, value: Any) -> None:
        """Keep what the way back needs, without a word."""
        away = self.rewritten(value, (None, path))
        self.append(o, carried(self.mapping, side_of(self.direction), path, away))

    def dropped(self, reason: str, spec: Spec, place: Place) -> None:
        """Record that a value was dropped."""
        self.note("T016", f"Dropped: {reason}.", spec, place, False)

    def cross(self, task: Task, value: Any, beside: Any, o: Tree, spec: Spec) -> None:
        """Write an element into its cross-version extension."""
        value = self.rewritten(value, spec)
        made = self.codecs.encode.encode(task.url, task.source[0].element, value, beside)
        o["extension"] = [*o.get("extension", ()), *made]

    def function(self, task: Task, s: Tree, o: Tree, restored: Restored, spec: Spec) -> None:
        """Run one half of a registered function, remembering what the other would not restore."""
        assert task.pair is not None
        values: Tree = {}
        for name, names, _ in task.reads:
            value = take(s, names) if names[1:] else s.get(name)
            if value is not None:
                values[name] = value
        memory = None
        if restored:
            label = "+".join(end.text for end in task.source)
            memory = restored.get(f"{label}#function")
        if not values and not task.pair.absent and memory is None:
            return
        made, full = values, {**task.nothing_read, **values}
        if memory is not None or not (task.stays and task.pair.settled(full, task.arguments)):
            made = self.changed(task, task.pair, values, memory, o, spec)
        for name, names, text in task.writes:
            value = made.get(name)
            if value is not None:
                far = task.holds or self.far
                put(o, names, self.rewritten(value, (spec, f".{text}")) if far else value)

    def changed(
        self, task: Task, pair: Pair, values: Tree, memory: Any, o: Tree, spec: Spec
    ) -> Tree:
        """Return what a function makes of values, or what is remembered of them."""
        there, back = pair.to_canonical, pair.to_dialect
        if self.direction == "to_dialect":
            there, back = back, there
        full, empty = task.nothing_read, task.nothing_written
        if memory is not None and _full(back({**empty, **memory}, task.arguments)) == values:
            remembered: Tree = memory
            return remembered
        made = _full(there({**full, **values}, task.arguments))
        if _full(back({**empty, **made}, task.arguments)) != values:
            away = "+".join(end.text for end in task.target)
            self.remember(o, f"{away}#function", values)
            said = f"The function '{pair.name}' changed it; the original is remembered."
            self.note("T018", said, (spec, f".{task.source[0].text}"), task.place, False)
        return made

    def expression(self, task: Task, s: Tree, o: Tree, spec: Spec) -> None:
        """Write what an expression finds."""
        values = evaluate(task.expression, s)
        end = task.target[0]
        if not values:
            return
        if not end.element.is_list and len(values) > 1:
            said = f"The expression found {len(values)} values for '{end.text}'."
            self.note("T012", said, spec, task.place)
        put(o, end.names, values if end.element.is_list else values[0])

    def constant(self, value: Any, constant: Any, spec: Spec, place: Place) -> None:
        """Complain about a value that contradicts a constant of the other direction."""
        if value is not None and value != constant:
            self.note("T011", "Another value than the mapping's constant.", spec, place)

    def copied(self, value: Any) -> Any:
        """Return a copy of a constant, so that no two messages share it."""
        return copied(value)

    def joined(self, lists: tuple[list[Any], ...], rest: Any, order: Any) -> list[Any]:
        """Return the items of a split list in the order that they had."""
        queues = [*lists, [self.rewritten(item, (None, "rest")) for item in rest]]
        flat = [item for queue in queues for item in queue]
        if not isinstance(order, list) or len(order) != len(flat):
            return flat
        ends = [iter(queue) for queue in queues]
        try:
            return [next(ends[index]) for index in order]
        except (StopIteration, IndexError, TypeError):
            return flat

    def default(self, o: Tree, names: tuple[str, ...], value: Any, spec: Spec, line: Place) -> None:
        """Write a default where nothing is."""
        beside = (*names[:-1], f"_{names[-1]}")
        if take(o, names) is None and take(o, beside) is None:
            put(o, names, copied(value))
            path = f"{'.'.join(names)}#default"
            self.append(o, carried(self.mapping, side_of(self.direction), path, value))
            self.note("T017", "The mapping's default was written.", spec, line, False)


def _full(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [], {})}
