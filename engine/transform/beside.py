"""What may stand beside the mapped elements of an object: extensions, siblings, strangers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.diagnostics import Place, did_you_mean
from engine.transform.carry import Carried, carried, read_carried, side_of
from engine.transform.journey import BESIDE, Journey, Level, Restored, Spec, Tree, put, take
from engine.transform.mapping import Fate, other

Crossed = tuple[tuple[str, ...], Any]
"""Where a value that a cross-version extension held goes, and the value."""

_NAME_IT = "name it under `on_unmapped:`; `carelane coverage` prints the lines."


class Beside(Journey):
    """See to everything in an object that generated code does not read itself."""

    __slots__ = ()

    def unusual(self, level: Level, s: Tree, o: Tree, spec: Spec) -> Restored:
        """Deal with extensions, primitive siblings and unknown elements of one object."""
        names = set(o)
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
        stays = (o.get(key) == value for key, value in s.items() if key not in level.plain)
        self.kept = self.kept and o.keys() == names and all(stays)
        return restored

    def extensions(self, level: Level, s: Tree, o: Tree, spec: Spec) -> Restored:
        restored: Restored = {}
        others: list[Any] = []
        kept: list[Any] = []
        crossed = self.crossing(level, s["extension"]) if level.cross else {}
        for extension in s["extension"]:
            found = read_carried(extension) if isinstance(extension, dict) else None
            url = extension.get("url") if isinstance(extension, dict) else None
            if found is not None and self.is_mine(found):
                restored[found.path] = found.value()
            elif found is not None:
                kept.append(extension)
            elif url not in crossed:
                others.append(extension)
        others = self.policy(level.extension, "extension", "T008", others, o, spec, level)
        rest = others + kept
        if rest:
            o["extension"] = rest
        else:
            o.pop("extension", None)
        self.restore(level, restored, o)
        for values in crossed.values():
            for names, value in values:
                put(o, names, self.rewritten(value, (spec, f".{'.'.join(names)}")))
        return restored

    def crossing(self, level: Level, extensions: list[Any]) -> Mapping[str, list[Crossed]]:
        """Return the elements that cross-version extensions hold, with their paths, by url.

        What an extension says beyond an element would be lost in it: such a one stays as it is.
        """
        groups: dict[str, list[Tree]] = {}
        for extension in extensions:
            if isinstance(extension, dict) and extension.get("url") in level.cross:
                groups.setdefault(extension["url"], []).append(extension)
        codec, out = self.codecs.decode, {}
        for url, group in groups.items():
            told = [(names, codec.told(url, e, group)) for e, names in level.cross[url]]
            said = [(names, values) for names, values in told if values]
            if len(said) == 1:
                names, values = said[0]
                out[url] = [
                    ((*names[:-1], f"{prefix}{names[-1]}"), value)
                    for prefix, value in values.items()
                ]
        return out

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

    def modifiers(self, level: Level, value: Any, spec: Spec) -> None:
        """Note every modifier extension inside a value that is copied whole."""
        if isinstance(value, list):
            for item in value:
                pattern = f"{spec[1]}[]"
                self.modifiers(level, item, (spec[0], pattern, *spec[2:], value, item))
        elif isinstance(value, dict):
            if "modifierExtension" in value:
                stops = level.modifier.kind != "copy"
                said = "The mapping refuses 'modifierExtension' in what it takes whole."
                said = said if stops else "A modifierExtension went across as it is."
                here = (spec, ".modifierExtension")
                self.note("T007", said, here, level.modifier.place, stops)
            for name, inner in value.items():
                if isinstance(inner, dict | list):
                    self.modifiers(level, inner, (spec, f".{name}"))

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
        fate = level.unmapped.get(key)
        place = fate.place if fate is not None else level.place
        if fate is not None and fate.kind == "drop":
            del o[key]
            self.note("T016", f"Dropped: {fate.reason}.", here, place, False)
            return
        if fate is not None or level.carries_unmapped:
            value = o.pop(key)
            side = side_of(self.direction)
            self.append(o, carried(self.mapping, side, f"{key}#unmapped", value))
            self.note("T015", "An unknown element is carried.", here, place, False)
            return
        self.note(
            "T001",
            "The mapping does not know this element.",
            here,
            level.place,
            remedy=did_you_mean(key, level.known) or _NAME_IT,
        )

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

    def carry(self, o: Tree, path: str, value: Any, spec: Spec, place: Place) -> None:
        """Put a value into a Carelane extension of the object around it."""
        away = self.rewritten(value, spec)
        self.append(o, carried(self.mapping, side_of(self.direction), path, away))
        self.note("T015", "It has no home there and travels in an extension.", spec, place, False)
