"""Read a mapping from positioned YAML; whatever the format does not have is a problem."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from engine.diagnostics import Diagnostic, Place, did_you_mean
from engine.document import Node
from engine.fhir.schema import schema
from engine.transform.mapping import (
    DIRECTIONS,
    OPERATIONS,
    Direction,
    Expression,
    Fate,
    Fixed,
    MappingFile,
    Miss,
    Name,
    Path,
    Policies,
    Rule,
    Side,
)
from engine.transform.selectors import Condition, SelectorError, parse_condition

TOP = [
    "mapping",
    "version",
    "description",
    "extends",
    "dialect",
    "canonical",
    "on_unmapped",
    "extension",
    "modifierExtension",
    "primitive_extensions",
    "fields",
    "canonical_only",
    "constants",
    "defaults",
]
_MAIN = {
    "fields": "fields",
    "table": "table",
    "coding": "coding",
    "ref": "ref",
    "identifier": "identifier",
    "carry": "carry",
    "drop": "drop",
    "cross_version": "cross_version",
    "split": "split",
    "function": "function",
    "to_canonical": "expression",
    "to_dialect": "expression",
}
_ALWAYS = frozenset({"to", "when", "otherwise", "first", "rest"})
_OPTIONS: dict[str, frozenset[str]] = {
    "coding": frozenset({"on_miss", "keep_source", "only"}),
    "table": frozenset({"on_miss", "keep_source", "only"}),
    "function": frozenset({"with", "arguments"}),
}
RULE_KEYS = frozenset(_MAIN) | _ALWAYS | {"on_miss", "keep_source", "only", "with", "arguments"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:\[x\])?\Z")
_MISSES = ("reject", "keep-source", "text-only")


class Reader:
    """Turn the nodes of one file into a MappingFile, collecting every problem on the way."""

    def __init__(self) -> None:
        self.problems: list[Diagnostic] = []

    def problem(
        self,
        code: str,
        message: str,
        place: Place,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        """Note one problem."""
        self.problems.append(
            Diagnostic(code, message, place=place, expected=expected, remedy=remedy)
        )

    # --- the file ---------------------------------------------------------------------------

    def file(self, root: Node) -> MappingFile | None:
        """Read the whole file; None where its head cannot be understood."""
        if not root.is_map:
            self.problem("M003", "A mapping file is a YAML mapping.", root.place)
            return None
        self.known(root, TOP, "a mapping file")
        name = self.text(root, "mapping", required=True)
        version = self.version(root)
        dialect, canonical = self.side(root, "dialect"), self.side(root, "canonical")
        fields = self.need(root, "fields")
        if not (name and version and dialect and canonical and fields):
            return None
        return MappingFile(
            name=name.text,
            version=version,
            description=self.plain_text(root, "description"),
            place=root.place,
            dialect=dialect,
            canonical=canonical,
            policies=self.policies(root),
            fields_place=root.keys["fields"],
            fields=tuple(self.rules(fields)),
            canonical_only=tuple(self.rules(root.get("canonical_only"))),
            constants=self.fixed(root, "constants"),
            defaults=self.fixed(root, "defaults"),
        )

    def version(self, root: Node) -> int | None:
        node = self.need(root, "version")
        if node is None:
            return None
        if isinstance(node.value, bool) or not isinstance(node.value, int) or node.value < 1:
            self.problem("M003", "The version is no whole number.", node.place, "version: 1")
            return None
        return node.value

    def side(self, root: Node, key: str) -> Side | None:
        node = self.need(root, key)
        if node is None or not self.is_map(node, f"{key}: {{fhir: R4, resource: CareTeam}}"):
            return None
        self.known(node, ("fhir", "resource", "profile"), f"`{key}:`")
        fhir, resource = self.text(node, "fhir", True), self.text(node, "resource", True)
        if not fhir or not resource:
            return None
        if fhir.text not in ("R4", "R5"):
            self.problem(
                "M005",
                f"'{fhir.text}' is no FHIR version that is read here.",
                fhir.place,
                "R4 or R5",
                did_you_mean(fhir.text, ("R4", "R5")),
            )
            return None
        known = schema("R4" if fhir.text == "R4" else "R5").resources
        if resource.text not in known:
            self.problem(
                "M005",
                f"FHIR {fhir.text} has no resource type '{resource.text}'.",
                resource.place,
                remedy=did_you_mean(resource.text, known),
            )
            return None
        version = cast(Any, fhir.text)
        return Side(version, resource.text, self.text(node, "profile"), root.keys[key])

    def policies(self, root: Node) -> Policies:
        unmapped = self.text(root, "on_unmapped")
        choices = ("reject", "carry")
        if unmapped and unmapped.text not in choices:
            self.word(unmapped, choices)
        kind = "carry" if unmapped and unmapped.text == "carry" else "reject"
        return Policies(
            cast(Any, kind),
            self.policy(root, "extension", ("copy", "carry", "reject")),
            self.policy(root, "modifierExtension", ("copy", "carry", "reject")),
            self.policy(root, "primitive_extensions", ("copy", "reject")),
        )

    def policy(self, root: Node, key: str, words: tuple[str, ...]) -> Fate | None:
        node = root.get(key)
        if node is None:
            self.problem(
                "M009",
                f"The policy `{key}:` is missing.",
                root.place,
                " | ".join(words),
                f"add `{key}: {words[0]}` to the top of the file.",
            )
            return None
        return self.fate(node, words)

    def fixed(self, root: Node, key: str) -> dict[Direction, tuple[Fixed, ...]]:
        node = root.get(key)
        out: dict[Direction, tuple[Fixed, ...]] = {}
        if node is None or not self.is_map(node, f"{key}: {{to_dialect: {{path: value}}}}"):
            return out
        self.known(node, DIRECTIONS, f"`{key}:`")
        for direction in DIRECTIONS:
            values = node.get(direction)
            if values is not None and self.is_map(values, "path: value"):
                made = ((self.path(text, place), value) for text, place, value in values.items())
                out[direction] = tuple(Fixed(path, value) for path, value in made if path)
        return out

    # --- fields -----------------------------------------------------------------------------

    def rules(self, node: Node | None) -> Iterator[Rule]:
        """Yield the rules of a `fields:` mapping."""
        if node is None or not self.is_map(node, "path: what happens to it"):
            return
        for text, place, value in node.items():
            path = self.path(text, place)
            if path is not None:
                rule = self.rule(path, value)
                if rule is not None:
                    yield rule

    def rule(self, path: Path, node: Node, case: bool = False) -> Rule | None:
        if isinstance(node.value, str):
            return self.short(path, node)
        if not self.is_map(node, "copy, carry, or a mapping such as {to: name}"):
            return None
        allowed = RULE_KEYS | ({"take"} if case else frozenset())
        self.known(node, allowed, "a field", "M015")
        mains = [key for key in node.value if key in _MAIN]
        operations = {_MAIN[key] for key in mains}
        if len(operations) > 1:
            self.problem(
                "M029",
                f"The field '{path.text}' has {len(operations)} operations: {', '.join(mains)}.",
                node.keys[mains[1]],
                "one main operation",
            )
            return None
        operation = operations.pop() if operations else "copy"
        self.options(path, node, operation)
        return self.filled(path, node, operation)

    def short(self, path: Path, node: Node) -> Rule | None:
        if node.value in ("copy", "carry"):
            return Rule(path, node.value, path.place)
        if node.value == "drop":
            self.problem(
                "M017",
                f"'{path.text}' is dropped without a reason.",
                node.place,
                "{drop: why}",
                f"write `{path.text}: {{drop: why nobody needs it}}`.",
            )
            return None
        self.problem(
            "M015",
            f"There is no operation '{node.value}'.",
            node.place,
            "copy, carry, or a mapping with one operation",
            did_you_mean(str(node.value), OPERATIONS),
        )
        return None

    def options(self, path: Path, node: Node, operation: str) -> None:
        allowed = _ALWAYS | _OPTIONS.get(operation, frozenset())
        allowed |= {key for key, main in _MAIN.items() if main == operation} | {"take"}
        for key, place, _ in node.items():
            if key in RULE_KEYS and key not in allowed:
                self.problem(
                    "M029",
                    f"The option '{key}' does not go with {operation} (field '{path.text}').",
                    place,
                    ", ".join(sorted(allowed)),
                )

    def filled(self, path: Path, node: Node, operation: str) -> Rule:
        when, when_place = self.condition(node)
        inner = node.get("fields")
        same = inner is not None and inner.value == "same"
        function, systems = self.text(node, "function"), node.get("identifier")
        return Rule(
            path=path,
            operation=operation,
            place=path.place,
            to=self.paths(node, "to"),
            fields=() if same else tuple(self.rules(node.get("fields"))),
            same=same,
            only=self.only(node),
            table=self.text(node, operation) if operation in ("table", "coding") else None,
            on_miss=self.on_miss(path, node, operation),
            keep_source=self.flag(node, "keep_source", True),
            targets=tuple(self.names(node, "ref")),
            systems=self.texts(systems) if systems else {},
            reason=self.reason(path, node, operation),
            url=self.text(node, "cross_version"),
            cases=tuple(self.cases(path, node)),
            take=self.text(node, "take"),
            function=function,
            with_=self.paths(node, "with"),
            arguments=self.texts(node.get("arguments")),
            expressions=self.expressions(node),
            first=self.flag(node, "first", False),
            rest=self.rest(path, node, operation),
            when=when,
            when_place=when_place,
            otherwise=self.otherwise(path, node, when),
        )

    def reason(self, path: Path, node: Node, operation: str) -> str:
        if operation not in ("drop", "carry"):
            return ""
        given = self.plain_text(node, operation)
        if operation == "drop" and len(given.strip()) < 3:
            place = (node.get("drop") or node).place
            self.problem("M017", f"'{path.text}' is dropped without a reason.", place, "drop: why")
        return given

    def rest(self, path: Path, node: Node, operation: str) -> Fate | None:
        rest = node.get("rest")
        if rest is not None:
            return self.fate(rest, ("carry", "reject"))
        if operation == "split" or self.flag(node, "first", False):
            word = "split" if operation == "split" else "first"
            self.problem(
                "M019",
                f"'{path.text}' has `{word}:` without `rest:`.",
                node.keys.get(word, node.place),
                "rest: carry | reject | {drop: why}",
                "say what becomes of the other items, for example `rest: carry`.",
            )
        return None

    def otherwise(self, path: Path, node: Node, when: Condition | None) -> Fate | None:
        given = node.get("otherwise")
        if given is not None:
            return self.fate(given, ("carry", "reject"))
        if node.get("when") is not None and "take" not in node.value and path.names != ("",):
            self.problem(
                "M019",
                f"'{path.text}' has `when:` without `otherwise:`.",
                node.keys["when"],
                "otherwise: carry | reject | {drop: why}",
                "say what becomes of it where the condition does not hold.",
            )
        return None

    def cases(self, path: Path, node: Node) -> Iterator[Rule]:
        given = node.get("split")
        if given is None:
            return
        if not given.is_list or not given.value:
            self.problem(
                "M003", "`split:` is a list of cases.", given.place, "- {when: .., to: ..}"
            )
            return
        for case in given.value:
            if not self.is_map(case, "{when: CONDITION, to: path}"):
                continue
            rule = self.rule(Path(("",), True, case.place), case, case=True)
            if rule is not None:
                yield rule

    def expressions(self, node: Node) -> dict[Direction, Expression]:
        found = {key: self.text(node, key) for key in DIRECTIONS}
        return {key: Expression(name.text, name.place) for key, name in found.items() if name}

    def condition(self, node: Node) -> tuple[Condition | None, Place | None]:
        name = self.text(node, "when")
        if name is None:
            return None, None
        try:
            return parse_condition(name.text), name.place
        except SelectorError as error:
            self.problem(
                "M020",
                f"The condition is not read: {error}.",
                Place(name.place.file, name.place.line, name.place.column + 1 + error.offset),
                "dotted names, where(k = 'v'), exists(), ofType(), first(), =, !=, and, or, not()",
            )
            return None, None

    def only(self, node: Node) -> Direction | None:
        name = self.text(node, "only")
        if name is not None and name.text not in DIRECTIONS:
            self.word(name, DIRECTIONS)
            return None
        return cast(Any, name.text) if name else None

    # --- on_miss and fates ------------------------------------------------------------------

    def on_miss(self, path: Path, node: Node, operation: str) -> dict[Direction, Miss]:
        if operation not in ("table", "coding"):
            return {}
        given = node.get("on_miss")
        if given is None:
            self.problem(
                "M018",
                f"'{path.text}' uses a table without `on_miss:`.",
                node.place,
                "on_miss: reject | keep-source | text-only | default: ...",
            )
            return {}
        if given.is_map and set(given.value) & set(DIRECTIONS):
            self.known(given, DIRECTIONS, "`on_miss:`")
            parts = {d: given.get(d) for d in DIRECTIONS}
            only = self.plain_text(node, "only")
            for direction, part in parts.items():
                if part is None and only in ("", direction):
                    self.problem("M018", f"`on_miss:` does not say {direction}.", given.place)
            made = {d: self.miss(part, operation) for d, part in parts.items() if part}
        else:
            miss = self.miss(given, operation)
            made = dict.fromkeys(DIRECTIONS, miss)
        return {d: miss for d, miss in made.items() if miss}

    def miss(self, node: Node, operation: str) -> Miss | None:
        words = _MISSES if operation == "coding" else ("reject", "keep-source")
        if isinstance(node.value, str):
            if node.value not in words:
                self.word(Name(node.value, node.place), (*words, "default"), "M018")
                return None
            return Miss(cast(Any, node.value), node.place)
        default = node.get("default")
        if default is None or len(node.value) != 1:
            self.problem("M018", "`on_miss:` is not understood.", node.place, " | ".join(words))
            return None
        if operation == "table":
            return Miss("default", node.place, str(default.value))
        if not self.is_map(default, "default: {system: .., code: ..}"):
            return None
        self.known(default, ("system", "code", "display"), "`default:`")
        return Miss("default", node.place, self.texts(default))

    def fate(self, node: Node, words: tuple[str, ...]) -> Fate | None:
        if isinstance(node.value, str) and node.value in words:
            return Fate(cast(Any, node.value), "", node.place)
        if isinstance(node.value, str) and node.value != "drop":
            self.word(Name(node.value, node.place), words)
            return None
        reason = node.get("drop")
        if reason is None or not isinstance(reason.value, str) or len(reason.value.strip()) < 3:
            code = "M017" if node.value == "drop" or node.get("drop") else "M003"
            self.problem(
                code,
                "What becomes of the value is not said, or dropped without a reason.",
                node.place,
                f"{' | '.join(words)} | {{drop: why}}",
            )
            return None
        return Fate("drop", reason.value, node.place)

    # --- small pieces -----------------------------------------------------------------------

    def path(self, text: str, place: Place) -> Path | None:
        each = text.endswith("[]")
        names = tuple(text.replace("[].", ".").removesuffix("[]").split("."))
        if not all(_NAME.match(name) for name in names):
            self.problem(
                "M003",
                f"'{text[:80]}' is no path.",
                place,
                "names with dots between them, `[]` at the end for each item of a list",
            )
            return None
        return Path(names, each, place)

    def paths(self, node: Node, key: str) -> tuple[Path, ...]:
        found = (self.path(name.text, name.place) for name in self.names(node, key))
        return tuple(path for path in found if path)

    def names(self, node: Node, key: str) -> Iterator[Name]:
        given = node.get(key)
        if given is None:
            return
        for item in given.value if given.is_list else [given]:
            if isinstance(item.value, str):
                yield Name(item.value, item.place)
            else:
                self.problem("M003", f"`{key}:` is a name or a list of names.", item.place)

    def texts(self, node: Node | None) -> Mapping[str, str]:
        if node is None or not self.is_map(node, "name: text"):
            return {}
        return {key: str(value.value) for key, _, value in node.items()}

    def flag(self, node: Node, key: str, default: bool) -> bool:
        given = node.get(key)
        if given is None:
            return default
        if not isinstance(given.value, bool):
            self.problem("M003", f"`{key}:` is true or false.", given.place, "true or false")
            return default
        return given.value

    def text(self, node: Node, key: str, required: bool = False) -> Name | None:
        given = self.need(node, key) if required else node.get(key)
        if given is None:
            return None
        if not isinstance(given.value, str) or not given.value:
            self.problem("M003", f"`{key}:` is a text.", given.place, "a text")
            return None
        return Name(given.value, given.place)

    def plain_text(self, node: Node, key: str) -> str:
        given = node.get(key)
        return given.value if given is not None and isinstance(given.value, str) else ""

    def need(self, node: Node, key: str) -> Node | None:
        given = node.get(key)
        if given is None:
            self.problem("M002", f"The key `{key}:` is missing.", node.place, f"{key}: ...")
        return given

    def is_map(self, node: Node, expected: str) -> bool:
        if not node.is_map:
            self.problem("M003", "A mapping (key: value) belongs here.", node.place, expected)
        return node.is_map

    def known(self, node: Node, keys: Iterable[str], what: str, code: str = "M001") -> None:
        names = list(keys)
        for key, place, _ in node.items():
            if key not in names:
                self.problem(
                    code,
                    f"There is no '{key}' in {what}.",
                    place,
                    ", ".join(sorted(names)),
                    did_you_mean(key, names),
                )

    def word(self, name: Name, words: Iterable[str], code: str = "M003") -> None:
        choices = list(words)
        self.problem(
            code,
            f"'{name.text[:80]}' is none of the words that belong here.",
            name.place,
            " | ".join(choices),
            did_you_mean(name.text, choices),
        )
