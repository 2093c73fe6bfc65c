"""What generated adapters call beside the common road: everything rare, and every complaint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.diagnostics import Diagnostic, Place, Severity, did_you_mean
from engine.fhir.references import is_reference
from engine.fhir.schema import Element, schema
from engine.transform.carry import Carried, carried, read_carried, side_of
from engine.transform.cross_version import Codecs
from engine.transform.expressions import evaluate
from engine.transform.functions import Pair
from engine.transform.mapping import Direction, Fate, other
from engine.transform.plan import End
from engine.transform.references import Crosswalk, Unresolved, is_local
from engine.transform.translate import Translator

Tree = dict[str, Any]
Spec = tuple[Any, ...]
"""Where something stands: the spec around it or None, a pattern with `[]`, then list and item
for each `[]`. It becomes a path only when somebody complains."""

Restored = dict[str, Any]
NOTHING: Restored = {}
BESIDE = ("extension", "modifierExtension")


def path_of(spec: Spec) -> str:
    """Return the path that a spec stands for, with the index of each item."""
    around, pattern, *pairs = spec
    parts = str(pattern).split("[]")
    out = path_of(around) if around is not None else ""
    for index, part in enumerate(parts):
        out += part
        if index < len(parts) - 1 and 2 * index + 1 < len(pairs):
            out += f"[{_index(pairs[2 * index], pairs[2 * index + 1])}]"
    return out


def _index(items: Any, item: Any) -> int:
    return next((i for i, candidate in enumerate(items) if candidate is item), 0)


def put(out: Tree, names: tuple[str, ...], value: Any) -> None:
    """Write a value at a path, making the objects on the way."""
    for name in names[:-1]:
        out = out.setdefault(name, {})
    out[names[-1]] = value


def take(tree: Tree, names: tuple[str, ...]) -> Any:
    """Return the value at a path, or None."""
    value: Any = tree
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def copied(tree: Any) -> Any:
    """Return a deep copy of plain data."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(item) for item in tree] if isinstance(tree, list) else tree


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Hold what may stand in one kind of object beside what the generated code reads itself."""

    place: Place
    plain: frozenset[str]
    primitives: Mapping[str, tuple[str, ...] | None]
    known: frozenset[str]
    extension: Fate
    modifier: Fate
    primitive: Fate
    carries_unmapped: bool
    restores: Mapping[str, tuple[str, ...]]
    cross: Mapping[str, tuple[Element, tuple[str, ...]]]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Hold what a rare step needs at run time: its ends by name, its place, its function."""

    place: Place
    source: tuple[End, ...]
    target: tuple[End, ...]
    pair: Pair | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    expression: str = ""
    url: str = ""

    def asked(self, ends: tuple[End, ...]) -> dict[str, Any]:
        """Return the empty lists that a function is asked with where nothing is there."""
        if self.pair is None or not self.pair.absent:
            return {}
        return {end.text: [] for end in ends if end.element.is_list}


class Run:
    """Take one resource through one adapter: collects diagnostics and unresolved references.

    `deep` says that references change on the way, `far` that extensions may hold some.
    """

    __slots__ = (
        "codecs",
        "deep",
        "diagnostics",
        "direction",
        "far",
        "mapping",
        "unresolved",
        "way",
    )

    def __init__(
        self,
        mapping: str,
        direction: Direction,
        crosswalk: Crosswalk,
        deep: bool,
        codecs: Codecs,
        far: bool = True,
    ) -> None:
        self.mapping = mapping
        self.direction = direction
        is_in = direction == "to_canonical"
        self.way = crosswalk.to_canonical if is_in else crosswalk.to_dialect
        self.deep = deep
        self.far = far
        self.codecs = codecs
        self.diagnostics: list[Diagnostic] = []
        self.unresolved: list[Unresolved] = []

    def note(
        self,
        code: str,
        message: str,
        spec: Spec,
        place: Place | None,
        stops: bool = True,
        remedy: str | None = None,
    ) -> None:
        """Add a diagnostic; `stops` makes it an error."""
        severity = Severity.ERROR if stops else Severity.INFORMATION
        if code == "T004":
            severity = Severity.WARNING
        self.diagnostics.append(
            Diagnostic(code, message, severity, place, path_of(spec), remedy=remedy)
        )

    # --- what stands beside the mapped elements ---------------------------------------------

    def unusual(self, level: Level, s: Tree, o: Tree, spec: Spec) -> Restored:
        """Deal with extensions, primitive siblings and unknown elements of one object."""
        restored = self.extensions(level, s, o, spec) if "extension" in s else {}
        for key in s:
            if key in level.plain or key == "extension":
                continue
            if key == "modifierExtension":
                self.modifier(level, s, o, spec)
            elif key in level.primitives:
                self.primitive(level, key, s, o, spec)
            else:
                self.unmapped(level, key, o, spec)
        return restored

    def extensions(self, level: Level, s: Tree, o: Tree, spec: Spec) -> Restored:
        restored: Restored = {}
        others: list[Any] = []
        kept: list[Any] = []
        crossed: dict[str, list[Tree]] = {}
        for extension in s["extension"]:
            found = read_carried(extension) if isinstance(extension, dict) else None
            url = extension.get("url") if isinstance(extension, dict) else None
            if found is not None and self.is_mine(found):
                restored[found.path] = found.value()
            elif found is not None:
                kept.append(extension)
            elif url in level.cross:
                crossed.setdefault(str(url), []).append(extension)
            else:
                others.append(extension)
        others = self.policy(level.extension, "extension", "T008", others, o, spec, level)
        rest = others + kept
        if rest:
            o["extension"] = rest
        else:
            o.pop("extension", None)
        self.restore(level, restored, o)
        for url, found_here in crossed.items():
            self.uncross(level, url, found_here, o)
        return restored

    def is_mine(self, found: Carried) -> bool:
        return found.mapping == self.mapping and found.side == side_of(other(self.direction))

    def policy(
        self,
        fate: Fate,
        name: str,
        code: str,
        values: list[Any],
        o: Tree,
        spec: Spec,
        level: Level,
    ) -> list[Any]:
        """Return which of the values stay where they are."""
        if not values or fate.kind == "copy":
            return values
        place = (spec, f".{name}")
        if fate.kind == "carry":
            o.pop(name, None)
            extension = carried(self.mapping, side_of(self.direction), name, values)
            self.note("T015", f"'{name}' travels in an extension.", place, fate.place, False)
            return [extension] if name == "extension" else self.append(o, extension)
        if fate.kind == "drop":
            self.note("T016", f"Dropped: {fate.reason}.", place, fate.place, False)
            return []
        self.note(code, f"The mapping refuses '{name}' here.", place, fate.place)
        return []

    def append(self, o: Tree, extension: Tree) -> list[Any]:
        o["extension"] = [*o.get("extension", ()), extension]
        return []

    def restore(self, level: Level, restored: Restored, o: Tree) -> None:
        """Put back what was carried whole."""
        for path in list(restored):
            if path == "extension":
                o["extension"] = [*o.get("extension", ()), *restored.pop(path)]
            elif path in level.restores:
                put(o, level.restores[path], self.rewritten(restored.pop(path), (None, path)))
            elif path.endswith("#unmapped"):
                o[path.removesuffix("#unmapped")] = restored.pop(path)

    def uncross(self, level: Level, url: str, extensions: list[Tree], o: Tree) -> None:
        element, names = level.cross[url]
        for prefix, value in self.codecs.decode.decode(element, extensions).items():
            put(o, (*names[:-1], f"{prefix}{names[-1]}"), value)

    def modifier(self, level: Level, s: Tree, o: Tree, spec: Spec) -> None:
        fate = level.modifier
        if fate.kind == "copy":
            self.note(
                "T007",
                "A modifierExtension went across as it is.",
                (spec, ".modifierExtension"),
                fate.place,
                False,
            )
            return
        o.pop("modifierExtension", None)
        self.policy(fate, "modifierExtension", "T007", s["modifierExtension"], o, spec, level)

    def primitive(self, level: Level, key: str, s: Tree, o: Tree, spec: Spec) -> None:
        here = (spec, f".{key}")
        if level.primitive.kind == "reject":
            said = "The mapping refuses extensions of primitive values."
            self.note("T009", said, here, level.primitive.place)
            return
        self.note("T009", "It says more about a primitive value.", here, level.place, False)
        names = level.primitives[key]
        if names is not None and names != (key,):
            o.pop(key, None)
            put(o, names, s[key])

    def unmapped(self, level: Level, key: str, o: Tree, spec: Spec) -> None:
        here = (spec, f".{key}")
        if level.carries_unmapped:
            value = o.pop(key)
            side = side_of(self.direction)
            self.append(o, carried(self.mapping, side, f"{key}#unmapped", value))
            self.note("T015", "An unknown element is carried.", here, level.place, False)
            return
        self.note(
            "T001",
            "The mapping does not know this element.",
            here,
            level.place,
            remedy=did_you_mean(key, level.known) or "remove it, or set `on_unmapped: carry`.",
        )

    # --- values -----------------------------------------------------------------------------

    def code(self, spec: Spec, place: Place) -> None:
        """Complain about a code outside its required value set."""
        self.note("T006", "FHIR does not allow this code here.", spec, place)

    def concept(self, translator: Translator, concept: Tree, spec: Spec, place: Place) -> Tree:
        """Translate a CodeableConcept the slow way."""
        return translator.concept(concept, lambda c, m, s: self.note(c, m, spec, place, s))

    def coding(self, translator: Translator, coding: Tree, spec: Spec, place: Place) -> Tree:
        """Translate a Coding."""
        return translator.coding(coding, lambda c, m, s: self.note(c, m, spec, place, s))

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
            self.note("T005", said, spec, place, False)
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
            self.note("T002", f"It is not in the table '{translator.table.name}'.", spec, place)
        elif miss is not None:
            said = f"It is not in the table '{translator.table.name}' ({miss.kind})."
            self.note("T003", said, spec, place, False)
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

    # --- references -------------------------------------------------------------------------

    def reference(self, reference: Tree, targets: frozenset[str], spec: Spec, place: Place) -> Tree:
        """Take one reference through the crosswalk, noting a type that does not belong there."""
        literal = reference.get("reference")
        if targets and (literal is None or literal.partition("/")[0] not in targets):
            kind = _type_of(reference)
            if kind is not None and kind not in targets:
                said = f"It points to {kind}."
                self.note("T010", said, spec, place, remedy=f"one of {', '.join(sorted(targets))}")
        if not self.deep or is_local(reference):
            return reference
        if len(reference) > 1 and any(isinstance(v, dict | list) for v in reference.values()):
            reference = self.within(reference, spec)
        return self.crossed(reference, targets, spec)

    def within(self, tree: Tree, spec: Spec) -> Tree:
        """Return an object with the references inside its children taken across."""
        changed: Tree = {}
        for name, value in tree.items():
            if isinstance(value, dict | list):
                new = self.rewritten(value, (spec, f".{name}"))
                if new is not value:
                    changed[name] = new
        return {**tree, **changed} if changed else tree

    def crossed(self, reference: Tree, targets: frozenset[str], spec: Spec) -> Tree:
        found = self.way(reference, targets)
        if not isinstance(found, Unresolved):
            return found
        self.unresolved.append(found.at(path_of(spec)))
        self.note("K001", f"The crosswalk does not know this reference: {found.reason}", spec, None)
        return reference

    def rewritten(self, value: Any, spec: Spec) -> Any:
        """Return a value with every Reference inside it taken through the crosswalk.

        What holds none comes back as it is, not copied.
        """
        if not self.deep:
            return value
        if isinstance(value, list):
            pattern = f"{spec[1]}[]"
            items = [
                self.rewritten(item, (spec[0], pattern, *spec[2:], value, item))
                if isinstance(item, dict | list)
                else item
                for item in value
            ]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else items
        if not isinstance(value, dict):
            return value
        if ("reference" in value or "identifier" in value) and _is_reference(value):
            return self.reference(value, frozenset(), spec, _NOWHERE)
        return self.within(value, spec)

    def rewrite(self, o: Tree, names: tuple[str, ...], spec: Spec) -> None:
        """Take the references inside copied elements through the crosswalk."""
        for name in names:
            value = o.get(name)
            if value is not None:
                o[name] = self.rewritten(value, (spec, f".{name}"))

    # --- steps that change structure --------------------------------------------------------

    def carry(self, o: Tree, path: str, value: Any, spec: Spec, place: Place) -> None:
        """Put a value into a Carelane extension of the object around it."""
        away = self.rewritten(value, spec)
        self.append(o, carried(self.mapping, side_of(self.direction), path, away))
        self.note("T015", "It has no home there and travels in an extension.", spec, place, False)

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
        there, back = task.pair.to_canonical, task.pair.to_dialect
        if self.direction == "to_dialect":
            there, back = back, there
        values = _values(s, task.source)
        label = "+".join(end.text for end in task.source)
        memory = restored.get(f"{label}#function")
        if not values and not task.pair.absent and memory is None:
            return
        full = task.asked(task.source)
        empty = task.asked(task.target)
        if memory is not None and _full(back(empty | memory, task.arguments)) == values:
            made = memory
        else:
            made = _full(there(full | values, task.arguments))
            if _full(back(empty | made, task.arguments)) != values:
                away = "+".join(end.text for end in task.target)
                self.remember(o, f"{away}#function", values)
                said = f"The function '{task.pair.name}' changed it; the original is remembered."
                self.note("T018", said, (spec, f".{task.source[0].text}"), task.place, False)
        for end in task.target:
            for prefix in ("", "_"):
                value = made.get(_sibling(end, prefix))
                if value is not None:
                    names = (*end.names[:-1], f"{prefix}{end.name}")
                    put(o, names, self.rewritten(value, (spec, f".{end.text}")))

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

    def guard(
        self,
        s: Tree,
        o: Tree,
        names: tuple[str, ...],
        known: frozenset[str],
        spec: Spec,
        level: Level,
    ) -> None:
        """See to what a dotted path leaves behind in the object that it reads out of."""
        group = take(s, names)
        place = level.place
        if isinstance(group, dict) and not known.issuperset(group):
            for key in sorted(group.keys() - known):
                here = (spec, f".{key}")
                fate = level.extension if key == "extension" else level.modifier
                if key == "id" or (key in BESIDE and fate.kind in ("copy", "carry")):
                    self.carry(o, ".".join((*names, key)), group[key], here, place)
                    continue
                if key in BESIDE:
                    code = "T008" if key == "extension" else "T007"
                    self.policy(fate, key, code, group[key], {}, spec, level)
                    continue
                said = "The mapping does not know this element."
                self.note("T001", said, here, place, remedy=did_you_mean(key, known))

    def default(self, o: Tree, names: tuple[str, ...], value: Any, spec: Spec, line: Place) -> None:
        """Write a default where nothing is."""
        beside = (*names[:-1], f"_{names[-1]}")
        if take(o, names) is None and take(o, beside) is None:
            put(o, names, copied(value))
            path = f"{'.'.join(names)}#default"
            self.append(o, carried(self.mapping, side_of(self.direction), path, value))
            self.note("T017", "The mapping's default was written.", spec, line, False)


_NOWHERE = Place("", 0, 0)
_TYPES = schema("R4").resources | schema("R5").resources


def _is_reference(value: Tree) -> bool:
    return "resourceType" not in value and is_reference(value)


def _sibling(end: End, prefix: str) -> str:
    return ".".join((*end.names[:-1], f"{prefix}{end.name}"))


def _values(s: Tree, ends: tuple[End, ...]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for end in ends:
        for prefix in ("", "_"):
            value = take(s, (*end.names[:-1], f"{prefix}{end.name}"))
            if value is not None:
                out[_sibling(end, prefix)] = value
    return out


def _full(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _type_of(reference: Tree) -> str | None:
    """Return the resource type that a reference names, if it does."""
    literal = reference.get("reference")
    if not isinstance(literal, str) or literal.startswith(("#", "urn:")):
        named = reference.get("type")
        return named if isinstance(named, str) else None
    head, query, _ = literal.partition("?")
    steps = head.split("/_history/")[0].rstrip("/").split("/")
    found = steps[-1] if query else steps[-2] if len(steps) > 1 else ""
    return found if found in _TYPES else None
