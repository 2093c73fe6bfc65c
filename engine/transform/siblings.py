"""The seam where several resources of a dialect become one of canonical, and one becomes several.

Each sibling is turned by its adapter as ever; here the canonical siblings are put together and
taken apart again. What a sibling says otherwise than the whole stands in Carelane extensions of
its item, so that taking apart gives each as it came, and putting together gives the same whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.diagnostics import Diagnostic, Severity
from engine.message import Resource
from engine.transform.carry import carried, read_carried
from engine.transform.containing import needed, renamed
from engine.transform.mapping import Merging
from engine.transform.merging import (
    differ,
    given,
    joined,
    mark,
    ours,
    rest_of,
    without_ours,
)
from engine.transform.plan import SiblingPlan

SIBLING, ASIDE = "$sibling", "$siblings"
"""The paths under which an item remembers its sibling, and a whole those that are no part of it."""

_HEAD = ("resourceType", "id")
_SETTLED = frozenset({"common", "first", "widest"})
Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """Hold one sibling in canonical form: its items, and in `header` all else that it says.

    `ids` gives its id by system, the one it came under first; none where it never came by itself.
    `at` is when that content was received. `aside` says that it stands beside the whole.
    """

    header: Tree
    items: tuple[Any, ...]
    ids: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    aside: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Whole:
    """Hold a whole taken apart; `rest` is what of it belongs to none of its parts."""

    parts: tuple[Part, ...]
    rest: Tree = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Made:
    """Hold a whole put together, and what was noted about its siblings."""

    resource: Resource
    notes: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Seam:
    """Put siblings together and take wholes apart, as one mapping declares it."""

    mapping: str
    type_name: str
    plan: SiblingPlan

    # --- one sibling --------------------------------------------------------------------------

    def part(self, resource: Resource, ids: Mapping[str, str] | None = None, at: str = "") -> Part:
        """Return a canonical sibling as a part."""
        header = {n: v for n, v in resource.items() if n not in (*_HEAD, self.plan.one)}
        return Part(header, tuple(resource.get(self.plan.one) or ()), ids or {}, at)

    def resource(self, part: Part, id: str) -> Resource:
        """Return a part as a canonical resource of its own."""
        made: Resource = {"resourceType": self.type_name, "id": id, **part.header}
        return {**made, self.plan.one: list(part.items)} if part.items else made

    def closed(self, part: Part) -> Part:
        """Return a part as it is told where its item has left the whole."""
        if self.standing(part) != "open":
            return part
        return replace(part, header={**part.header, **self.plan.closing})

    def standing(self, part: Part) -> str:
        """Return `open`, `ended` or `left`: whether the item of a part stands in the whole."""
        for clause, word in ((self.plan.left, "left"), (self.plan.ended, "ended")):
            if clause is not None and clause.condition.holds(self.resource(part, "-")):
                return word
        return "open"

    def names(self, part: Part) -> tuple[str, ...]:
        """Return what the first item of a part is known by, the surest first."""
        return self._item_names(part.items[0] if part.items else {})

    def _item_names(self, item: Tree) -> tuple[str, ...]:
        return tuple(_known_by(item.get(name)) for name in self.plan.by)

    # --- taking apart -------------------------------------------------------------------------

    def take_apart(self, whole: Resource) -> Whole:
        """Return the parts of a canonical whole: those it came in, else one for each item."""
        whole, aside = self._aside(whole)
        grouped: dict[str, tuple[Tree, list[Any]]] = {}
        for index, item in enumerate(whole.get(self.plan.one) or ()):
            memory, bare = self._remembered(item)
            name = repr(sorted(memory["ids"].items())) if memory else f"# {index}"
            grouped.setdefault(name, (memory, []))[1].append(bare)
        if not grouped and not aside:
            grouped["#"] = ({}, [])
        parts = [self._part(whole, memory, items) for memory, items in grouped.values()]
        owned = [memory.get("own", {}) for memory, _ in grouped.values()]
        owned += [part.header for part in aside if not part.items]
        return Whole((*parts, *aside), dict(self._rest(whole, owned)))

    def _aside(self, whole: Resource) -> tuple[Resource, list[Part]]:
        """Return a whole without the siblings that stand beside it, and those."""
        for extension in whole.get("extension") or ():
            found = self._mine(extension, ASIDE)
            if isinstance(found, list):
                others = [one for one in whole["extension"] if one is not extension]
                whole = {name: part for name, part in whole.items() if name != "extension"}
                parts = [_told_aside(one) for one in found]
                return (whole | {"extension": others} if others else whole), parts
        return whole, []

    def _remembered(self, item: Tree) -> tuple[Tree, Tree]:
        """Return what an item remembers of its sibling, and the item as its sibling holds it."""
        for extension in item.get("extension") or ():
            found = self._mine(extension, SIBLING)
            if isinstance(found, dict):
                others = [one for one in item["extension"] if one is not extension]
                bare = {name: part for name, part in item.items() if name != "extension"}
                bare |= {"extension": others} if others else {}
                return found, _without(bare, self.plan.until, found.get("until"))
        return {}, item

    def _mine(self, extension: Any, path: str) -> Any:
        found = read_carried(extension) if isinstance(extension, dict) else None
        if found and (found.mapping, found.side, found.path) == (self.mapping, "dialect", path):
            return found.value()
        return None

    def _part(self, whole: Resource, memory: Tree, items: list[Any]) -> Part:
        own, over = memory.get("own", {}), memory.get("over", {})
        header: Tree = {}
        for name in dict.fromkeys((*(n for n in whole if n not in _HEAD), *own)):
            if name == self.plan.one:
                continue
            value = self._given(name, whole)
            if name in own and mark(value) == over.get(name, ""):
                value = own[name]
            if value is not None:
                header[name] = value
        if "renamed" in memory:
            items = renamed(items, memory["renamed"])
        if "contained" not in own and (inside := needed(whole.get("contained"), header, items)):
            header["contained"] = inside
        return Part(header, tuple(items), memory.get("ids", {}), memory.get("at", ""))

    def _given(self, name: str, whole: Tree) -> Any:
        value = without_ours(whole.get(name)) if name == "extension" else whole.get(name)
        return value if self._is_same(name) else given(self._word(name), value)

    def _rest(self, whole: Resource, owned: Sequence[Tree]) -> Iterator[tuple[str, Any]]:
        for name, value in whole.items():
            if name == "extension" and (kept := ours(value)):
                yield "extension#ours", kept
            if name in (*_HEAD, self.plan.one) or self._is_same(name):
                continue
            told = without_ours(value) if name == "extension" else value
            found = rest_of(self._word(name), told, (own.get(name) for own in owned))
            if found is not None:
                yield name, found

    def _is_same(self, name: str) -> bool:
        return any(name.removeprefix("_") == same for same, _ in self.plan.same)

    def _word(self, name: str) -> Merging:
        """Return how an element is merged; the sibling of a primitive goes with its own."""
        word = self.plan.others[name.removeprefix("_")]
        if name[0] == "_" and word.word in ("first", "widest"):
            return replace(word, word="common")
        return word

    # --- putting together ---------------------------------------------------------------------

    def put_together(self, whole: Whole, id: str | None = None) -> Made:
        """Return the whole that parts make; the same parts in any order make the same."""
        parts = _ordered(whole.parts)
        standing: dict[str, list[int]] = {"open": [], "ended": [], "left": []}
        for index, part in enumerate(parts):
            standing[self.standing(part)].append(index)
        counted = standing["open"] or standing["ended"] or standing["left"]
        until = {i: end for i in standing["ended"] if (end := self._until(parts[i]))}
        members = [i for i in range(len(parts)) if i in counted or i in until]
        told = _apart([parts[i] for i in members])
        header = dict(self._header(members, counted, told, whole.rest))
        items: list[Any] = []
        for index, shown in zip(members, told, strict=True):
            ended = "" if index in counted else until[index]
            items += self._items(parts[index], shown, header, ended)
        bare = [i for i in members if not parts[i].items and parts[i].ids]
        aside = [parts[i] for i in range(len(parts)) if i not in members or i in bare]
        made: Resource = {"resourceType": self.type_name, **({"id": id} if id else {}), **header}
        if items:
            made[self.plan.one] = items
        extensions = [*(header.get("extension") or ()), *whole.rest.get("extension#ours", ())]
        if aside:
            extensions.append(carried(self.mapping, "dialect", ASIDE, [_kept(p) for p in aside]))
        if extensions:
            made["extension"] = extensions
        newest = max((part.at for part in parts), default="")
        gone = [part for part in aside if part.items and part.at == newest]
        return Made(made, tuple(self._notes(whole.rest, [parts[i] for i in counted], gone)))

    def _header(
        self, members: list[int], counted: list[int], told: Sequence[Part], rest: Tree
    ) -> Iterator[tuple[str, Any]]:
        said = {index: part.header for index, part in zip(members, told, strict=True)}
        names = [name for header in said.values() for name in header] + [*rest]
        for name in dict.fromkeys(names):
            if name == "extension#ours":
                continue
            if self._is_same(name):
                value = said[counted[0]].get(name)
            else:
                word = self._word(name)
                wide = word.word in ("collect", "labels")
                asked = [said[i].get(name) for i in (members if wide else counted)]
                asked = [without_ours(v) for v in asked] if name == "extension" else asked
                value = joined(word, asked, rest.get(name))
            if value is not None:
                yield name, value

    def _items(self, part: Part, told: Part, header: Tree, ended: str) -> Iterator[Any]:
        """Yield the items of a part as they stand in the whole, each with its memory."""
        memory = self._memory(part, told, header) if part.ids else None
        for item in told.items:
            made, known = (_with(item, self.plan.until, ended) if ended else item), memory
            if known is not None and made is not item:
                known = {**known, "until": ended}
            if known is not None:
                extension = carried(self.mapping, "dialect", SIBLING, known)
                made = {**made, "extension": [*made.get("extension", ()), extension]}
            yield made

    def _memory(self, part: Part, told: Part, header: Tree) -> Tree:
        own, over = {}, {}
        for name in sorted({*part.header, *header}):
            value = self._given(name, header)
            if part.header.get(name) != value:
                own[name] = part.header.get(name)
                if value is not None:
                    over[name] = mark(value)
        if "contained" not in own and "contained" in header:
            own["contained"] = part.header.get("contained")
        memory: Tree = {"ids": dict(part.ids), "at": part.at}
        memory |= {name: found for name, found in (("own", own), ("over", over)) if found}
        turned = _renamings(part, told)
        return memory | ({"renamed": turned} if turned else {})

    def _until(self, part: Part) -> str:
        """Return the end that an ended sibling states for its items, if it does for each."""
        if not self.plan.until or not part.items:
            return ""
        around = str(_at(part.header, self.plan.until) or "")
        stated = [str(_at(item, self.plan.until) or around) for item in part.items]
        return stated[0] if all(stated) else ""

    # --- memory -------------------------------------------------------------------------------

    def reminded(self, whole: Resource, recorded: Resource) -> Resource:
        """Return a whole that somebody else wrote with what is on record of its siblings.

        An item remembers its sibling where it is known by the same; what it remembers holds only
        as far as the whole still says what it said.
        """
        aside = self._extension(recorded, ASIDE)
        known: dict[str, list[tuple[str, Any]]] = {}
        for item in recorded.get(self.plan.one) or ():
            if (memory := self._extension(item, SIBLING)) is not None:
                first, *more = self._item_names(item)
                known.setdefault(first, []).append((" ".join(more), memory))
        if aside is None and not known:
            return whole
        items = whole.get(self.plan.one) or ()
        told = dict(self._memories(items, known))
        made = {**whole}
        if items:
            made[self.plan.one] = [
                _beside(item, told[i]) if i in told else item for i, item in enumerate(items)
            ]
        return _beside(made, aside) if aside is not None else made

    def _memories(
        self, items: Sequence[Any], known: dict[str, list[tuple[str, Any]]]
    ) -> Iterator[tuple[int, Any]]:
        """Yield which items remember what: those known by all their names choose first."""
        names = [self._item_names(item) for item in items]
        waiting: list[int] = []
        for index, (first, *more) in enumerate(names):
            left = known.get(first, [])
            found = next((one for one in left if one[0] == " ".join(more)), None)
            if found is None:
                waiting.append(index)
                continue
            left.remove(found)
            yield index, found[1]
        for index in waiting:
            if left := known.get(names[index][0], []):
                yield index, left.pop(0)[1]

    def _extension(self, tree: Tree, path: str) -> Any:
        extensions = tree.get("extension") or ()
        return next((one for one in extensions if self._mine(one, path) is not None), None)

    def last_heard(self, whole: Resource, system: str, id: str) -> str:
        """Return when the content was received that is on record of a sibling, or an empty text."""
        parts = self.take_apart(whole).parts
        return next((part.at for part in parts if part.ids.get(system) == id), "")

    # --- notes --------------------------------------------------------------------------------

    def _notes(
        self, rest: Tree, counted: Sequence[Part], gone: Sequence[Part]
    ) -> Iterator[Diagnostic]:
        headers = [part.header for part in counted]
        for name in dict.fromkeys(name for header in headers for name in header):
            if self._is_same(name) or not differ([header.get(name) for header in headers]):
                continue
            word = self._word(name)
            if word.word == "agree":
                yield self._note(
                    "T023", f"Siblings must agree on '{name}', and do not.", name, True
                )
            elif word.word in _SETTLED:
                said = f"Siblings say '{name}' differently; the whole has it by `{word.word}`."
                yield self._note("T021", said, name)
        for _ in gone:
            said = "A sibling that ended, has not begun or was entered in error is no part of it."
            yield self._note("T022", said, self.plan.one)
        if any(len(part.items) > 1 for part in counted if part.ids):
            said = f"A sibling holds several items of '{self.plan.one}'."
            yield self._note("T025", said, self.plan.one)

    def _note(self, code: str, said: str, name: str, stops: bool = False) -> Diagnostic:
        word = self.plan.others.get(name.removeprefix("_"))
        severity = Severity.ERROR if stops else Severity.INFORMATION
        place = word.place if word else self.plan.place
        return Diagnostic(code, said, severity, place, f"{self.type_name}.{name}")

    def stayed(self, whole: Whole) -> list[Diagnostic]:
        """Return what to note of a whole that leaves as siblings: what none of them can hold."""
        names = sorted(name for name in whole.rest if "#" not in name)
        said = "It belongs to no sibling, and stays on record."
        return [self._note("T024", said, name) for name in names]


def _told_aside(kept: Tree) -> Part:
    return Part(kept["header"], tuple(kept["items"]), kept["ids"], kept["at"], aside=True)


def _kept(part: Part) -> Tree:
    return {
        "ids": dict(part.ids),
        "at": part.at,
        "header": part.header,
        "items": list(part.items),
    }


def home_id(part: Part) -> str:
    """Return the id under which a part came first, or an empty text."""
    return next(iter(part.ids.values()), "")


def _ordered(parts: Sequence[Part]) -> list[Part]:
    """Return siblings that all came by themselves in the order of their ids, others as they are."""
    return sorted(parts, key=home_id) if all(part.ids for part in parts) else list(parts)


def _apart(parts: Sequence[Part]) -> list[Part]:
    """Return parts whose contained resources have ids that no other part uses for another."""
    taken: dict[str, Any] = {}
    told: list[Part] = []
    for part in parts:
        turned: dict[str, str] = {}
        for inner in part.header.get("contained") or ():
            name = str(inner.get("id", ""))
            number = 1
            while (new := name if number == 1 else f"{name}-{number}") in taken:
                if taken[new] == {**inner, "id": new}:
                    break
                number += 1
            taken[new] = {**inner, "id": new}
            if new != name:
                turned[name] = new
        told.append(_renamed_part(part, turned) if turned else part)
    return told


def _renamed_part(part: Part, turned: Mapping[str, str]) -> Part:
    header = renamed(part.header, turned)
    inside = [
        {**inner, "id": turned.get(str(inner.get("id")), inner.get("id"))}
        for inner in header["contained"]
    ]
    return replace(part, header={**header, "contained": inside},
                   items=tuple(renamed(list(part.items), turned)))  # fmt: skip


def _renamings(part: Part, told: Part) -> dict[str, str]:
    """Return the new names of contained resources with their old ones."""
    before, after = part.header.get("contained") or (), told.header.get("contained") or ()
    pairs = zip(before, after, strict=True)
    return {str(new["id"]): str(old["id"]) for old, new in pairs if new != old and "id" in old}


def _known_by(value: Any) -> str:
    """Return what an element is known by: a reference by whom it means, else by its content."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            return str(value["reference"])
        identifier = value.get("identifier")
        if isinstance(identifier, dict):
            return f"{identifier.get('system', '')}|{identifier.get('value', '')}"
        if isinstance(value.get("display"), str):
            return str(value["display"])
    return mark(value)


def _beside(tree: Tree, extension: Any) -> Tree:
    return {**tree, "extension": [*tree.get("extension", ()), extension]}


def _at(tree: Any, names: Iterable[str]) -> Any:
    for name in names:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _with(item: Tree, names: Sequence[str], value: str) -> Tree:
    """Return an item that says a value at a path, unless it says one there itself."""
    if _at(item, names) is not None:
        return item
    inner = value if len(names) == 1 else _with(item.get(names[0]) or {}, names[1:], value)
    return {**item, names[0]: inner}


def _without(item: Tree, names: Sequence[str], value: str | None) -> Tree:
    """Return an item without a value that was written at a path, and nothing empty left of it."""
    if value is None or _at(item, names) != value:
        return item
    kept = {name: part for name, part in item.items() if name != names[0]}
    inner = _without(item[names[0]], names[1:], value) if len(names) > 1 else {}
    return {**kept, names[0]: inner} if inner else kept
