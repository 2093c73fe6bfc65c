"""Check that both sides are closed: each element taken once, none left out, the required made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from engine.diagnostics import Place
from engine.fhir.schema import Element
from engine.transform.fixed import Fixing
from engine.transform.mapping import DIRECTIONS, Direction, Name, Path
from engine.transform.plan import Block, End, Step, Value, Version
from engine.transform.resolve import variants_of
from engine.transform.types import children

NO_TARGET = frozenset({"carry", "drop", "cross_version"})
_EXTENSIONS = {
    "R4": "http://hl7.org/fhir/4.0/StructureDefinition/extension-",
    "R5": "http://hl7.org/fhir/5.0/StructureDefinition/extension-",
}
_OF_ALL_VERSIONS = "http://hl7.org/fhir/StructureDefinition/"
_FOR_AN_ELEMENT = re.compile(r"/StructureDefinition/extension-[A-Z][A-Za-z]*\.")
_URL = re.compile(r"(?:https?://|urn:)\S+")
_REQUIRED = "write a field that produces it, or a default"


class Closing(Fixing):
    """Look at all rules of an object together."""

    __slots__ = ()

    def double_reads(self, block: Block) -> None:
        """Note each element that two rules take; reading backwards they write it twice."""
        for side, title in (("dialect", "dialect"), ("canonical", "canonical")):
            taken: dict[tuple[str, ...], Step] = {}
            for step in block.steps:
                for end in getattr(step, side):
                    before = next((n for n in taken if _overlap(n, end.names)), None)
                    if before is not None:
                        line = taken[before].rule.place.line
                        self.problem(
                            "M012",
                            f"The {title} element '{end.text}' is already taken in line {line}.",
                            step.rule.place,
                            "one rule for each element",
                        )
                    taken[end.names] = step

    def double_reads_late(
        self, block: Block, constants: Mapping[Direction, tuple[Value, ...]]
    ) -> None:
        taken = {end.names: s for s in block.steps if s.dialect for end in s.canonical}
        for step in block.steps:
            for end in step.canonical if not step.dialect else ():
                before = next((n for n in taken if _overlap(n, end.names)), None)
                if before is not None:
                    line = taken[before].rule.place.line
                    said = f"'{end.text}' is no element of canonical alone: line {line} has it."
                    self.problem("M012", said, step.rule.place)
        for direction, values in constants.items():
            for value in values:
                for step in block.steps:
                    for end in step.target(direction):
                        if _overlap(end.names, value.end.names):
                            place = Place(step.rule.place.file, value.line, 1)
                            said = f"The constant '{value.end.text}' is also written by line "
                            self.problem("M012", f"{said}{step.rule.place.line}.", place)

    def extensions(self, block: Block) -> None:
        """Note urls of cross-version extensions that two elements share, or that are another's."""
        taken: dict[tuple[bool, str], tuple[End, Step]] = {}
        for step in block.steps:
            url = step.rule.url
            if step.operation != "cross_version" or url is None:
                continue
            end = (step.dialect or step.canonical)[0]
            before, first = taken.setdefault((bool(step.dialect), url.text), (end, step))
            alike = before.names[:-1] == end.names[:-1] and before.element.choice is not None
            if first is not step and not (alike and before.element.choice == end.element.choice):
                said = f"The extension is that of '{before.text}' in line {first.rule.place.line}."
                self.problem("M012", said, url.place, "an extension for each element")
            self.cross_version(url, block, step, end)

    def cross_version(self, url: Name, block: Block, step: Step, end: End) -> None:
        """Note the url of an extension that is none, or is made for another element."""
        version = self.left if step.dialect else self.right
        kind = block.dialect_type if step.dialect else block.canonical_type
        name = (end.element.choice or end.name).removesuffix("[x]")
        path = ".".join((kind, *end.names[:-1], name))
        made_for = f"{_EXTENSIONS[version]}{path}"
        if not _URL.fullmatch(url.text):
            said = f"'{url.text[:80]}' is no url."
            self.problem("M003", said, url.place, made_for)
        elif _near_miss(url.text, made_for):
            said = "The extension is not the one that FHIR makes for this element."
            self.problem("M029", said, url.place, made_for, f"write `{made_for}`.")

    def canonical_only(self, root: Block) -> None:
        """Put the rules of `canonical_only` into the blocks that hold their elements."""
        for rule in self.mapping.canonical_only:
            if rule.operation not in NO_TARGET:
                said = f"'{rule.path.text}' cannot be mapped here: no field produces it."
                self.problem("M029", said, rule.place, "carry | {drop: why} | {cross_version: url}")
                continue
            if rule.when is not None or rule.first:
                said = f"'{rule.path.text}' is seen to always: conditions are the dialect's."
                remedy = "leave `when:` and `first:` away."
                self.problem("M029", said, rule.place, "one operation alone", remedy)
            block, names = _block_of(root, rule.path.names)
            variants = [names]
            if names[-1].endswith("[x]"):
                found = variants_of(self.right, block.canonical_type, names[-1])
                variants = [(*names[:-1], name) for name in found] or variants
            for variant in variants:
                path = Path(variant, rule.path.each, rule.path.place)
                ends = self.ends("M007", (path,), self.right, block.canonical_type)
                if ends:
                    step = Step(replace(rule, path=path), rule.operation, (), ends)
                    block.steps.append(step)

    def close(
        self,
        block: Block,
        place: Place,
        constants: Mapping[Direction, tuple[Value, ...]],
        defaults: Mapping[Direction, tuple[Value, ...]],
        seen: frozenset[int] = frozenset(),
    ) -> None:
        """Note what no rule mentions on either side, and what nothing produces."""
        if id(block) in seen:
            return
        self.double_reads_late(block, constants)
        self.extensions(block)
        self.mentioned(block, place, "dialect", _names(constants.get("to_dialect", ())))
        self.mentioned(block, place, "canonical", _names(constants.get("to_canonical", ())))
        for direction in DIRECTIONS:
            written = (*constants.get(direction, ()), *defaults.get(direction, ()))
            self.required(block, place, direction, _names(written))
        for step in _all(block.steps):
            if step.block is not None and step.block is not block:
                self.close(step.block, step.rule.place, {}, {}, seen | {id(block)})

    def mentioned(
        self, block: Block, place: Place, side: str, constant: set[tuple[str, ...]]
    ) -> None:
        version = self.left if side == "dialect" else self.right
        type_name = block.dialect_type if side == "dialect" else block.canonical_type
        path = block.dialect_path if side == "dialect" else block.canonical_path
        taken = {end.names for step in block.steps for end in getattr(step, side)} | constant
        missing = list(_missing(version, type_name, taken, ()))
        twins = self.twins(block, missing, side)
        if side == "canonical":
            missing = [one for one in missing if one[0] not in twins]
        if not missing:
            return
        inner = path.partition(".")[2]
        prefix = f"{inner}." if inner and side == "canonical" else ""
        lines = "".join(
            f"\n  {prefix}{'.'.join(names)}: {_proposed(element) if names in twins else 'carry'}"
            for names, element in missing
        )
        count = f"{len(missing)} elements" if len(missing) > 1 else "an element"
        where = "`fields:`" if side == "dialect" else "`canonical_only:`, at the top of the file"
        self.problem(
            "M008",
            f"The mapping does not mention {count} of {side} {path}: "
            f"{', '.join('.'.join(names) for names, _ in missing)}.",
            place,
            "each element mapped, carried or dropped for a reason",
            f"paste under {where}, then change what should be otherwise:{lines}",
        )

    def twins(
        self, block: Block, missing: Sequence[tuple[tuple[str, ...], Element]], side: str
    ) -> set[tuple[str, ...]]:
        """Return which elements the other side has too, of the same type and mentioned nowhere.

        One line for both is enough: it is proposed on the dialect's side.
        """
        back = "canonical" if side == "dialect" else "dialect"
        version = self.right if side == "dialect" else self.left
        type_name = block.canonical_type if side == "dialect" else block.dialect_type
        taken = {end.names for step in block.steps for end in getattr(step, back)}
        other = dict(_missing(version, type_name, taken, ()))
        return {
            names
            for names, element in missing
            if (twin := other.get(names)) is not None
            and self.left == self.right
            and (twin.type, twin.is_list) == (element.type, element.is_list)
        }

    def required(
        self, block: Block, place: Place, direction: Direction, written: set[tuple[str, ...]]
    ) -> None:
        back: Direction = "to_dialect" if direction == "to_canonical" else "to_canonical"
        version = self.left if direction == "to_dialect" else self.right
        path = block.path(back)
        produced = set(written)
        for step in block.steps:
            if step.source(direction) or step.operation == "expression":
                produced |= {end.names for end in step.target(direction)}
            if step.operation == "cross_version" and not step.source(direction):
                produced |= {end.names for end in step.target(direction)}
        elements = children(version, block.type(back))
        reached = {names[0] for names in produced}
        choices = {e.choice for n, e in elements.items() if n in reached and e.choice}
        said: set[str] = set()
        for name, element in elements.items():
            shown = element.choice or name
            if not element.required or name in reached or shown in said | choices:
                continue
            said.add(shown)
            self.problem(
                "M013",
                f"{path} requires '{shown}', and {direction} nothing produces it.",
                place,
                expected=_REQUIRED,
                remedy=f"write `{shown}` under `defaults: {{{direction}: ...}}`, or map it.",
            )


def _near_miss(url: str, made_for: str) -> bool:
    """Tell whether a url is nearly one that FHIR makes for an element, and not the one for this.

    Other extensions, also those that HL7 defines for all versions, may well hold the element.
    """
    host = url.partition("://")[2].partition("/")[0]
    of_a_version = host == "hl7.org" and not url.startswith(_OF_ALL_VERSIONS)
    return url != made_for and (of_a_version or _FOR_AN_ELEMENT.search(url) is not None)


def _proposed(element: Element) -> str:
    """Return what is most often done with an element that both sides have."""
    if element.type != "Reference":
        return "copy"
    targets = sorted(element.targets - {"Resource"})
    return f"{{ref: [{', '.join(targets)}]}}" if targets else "{ref: any}"


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def _all(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from step.cases


def _block_of(block: Block, names: tuple[str, ...]) -> tuple[Block, tuple[str, ...]]:
    """Return the innermost block that holds a canonical path, and the rest of the path."""
    for step in block.steps:
        if step.block is None or step.block is block or not step.canonical:
            continue
        head = step.canonical[0].names
        if len(names) > len(head) and names[: len(head)] == head:
            return _block_of(step.block, names[len(head) :])
    return block, names


def _names(values: Sequence[Value]) -> set[tuple[str, ...]]:
    return {value.end.names for value in values}


def _missing(
    version: Version, type_name: str, taken: set[tuple[str, ...]], prefix: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Element]]:
    for name, element in children(version, type_name).items():
        names = (*prefix, name)
        if names in taken:
            continue
        if any(t[: len(names)] == names for t in taken):
            yield from _missing(version, element.type, taken, names)
        else:
            yield names, element
