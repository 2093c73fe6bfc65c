"""Conditions of mappings: a small part of FHIRPath, parsed here and refused beyond it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Value = Any
Evaluate = Callable[[dict[str, Any]], list[Value]]
Names = tuple[str, ...]

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z][A-Za-z0-9]*)|(?P<text>'(?:[^'\\]|\\['\\])*')"
    r"|(?P<number>-?\d+)|(?P<mark>!=|[=.()]))"
)
FUNCTIONS = ("where", "exists", "ofType", "first", "not")
_MAX_LENGTH = 2000
_MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Condition:
    """Hold a parsed condition.

    `names` are the dotted paths that it looks at, with `value:integer` for `value.ofType(integer)`;
    `compared` are those that it compares with a text, with that text.
    """

    text: str
    names: tuple[Names, ...]
    compared: tuple[tuple[Names, str], ...]
    evaluate: Evaluate

    def holds(self, tree: dict[str, Any]) -> bool:
        """Tell whether the condition is true of an object; empty is not true."""
        return _truth(self.evaluate(tree))


class SelectorError(ValueError):
    """Refuse a condition; `offset` counts characters from 0, `name` is what is not read."""

    def __init__(self, message: str, offset: int) -> None:
        self.offset = offset
        super().__init__(message)


def parse_condition(text: str) -> Condition:
    """Parse a condition of the subset, or raise SelectorError saying what is not read."""
    if len(text) > _MAX_LENGTH:
        raise SelectorError("the condition is too long", 0)
    parser = _Parser(text, _tokens(text))
    evaluate = parser.either()
    parser.end()
    return Condition(text, tuple(parser.names), tuple(parser.compared), evaluate)


def _truth(values: list[Value]) -> bool:
    if len(values) == 1 and isinstance(values[0], bool):
        return values[0]
    return bool(values)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(text.rstrip()):
        found = _TOKEN.match(text, place)
        if found is None or found.lastgroup is None:
            place += len(text[place:]) - len(text[place:].lstrip())
            raise SelectorError(f"'{text[place]}' is not read here", place)
        kind = found.lastgroup
        tokens.append(_Token(kind, found[kind], found.start(kind)))
        place = found.end()
    return tokens


class _Parser:
    """Read tokens by recursive descent: or, and, comparison, path."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.names: list[Names] = []
        self.compared: list[tuple[Names, str]] = []
        self.said: Names | str | None = None
        self.prefix: Names = ()

    def peek(self) -> _Token:
        if self.at < len(self.tokens):
            return self.tokens[self.at]
        return _Token("end", "", len(self.text))

    def take(self) -> _Token:
        token = self.peek()
        self.at += 1
        return token

    def accept(self, text: str) -> bool:
        token = self.peek()
        if token.kind in ("mark", "name") and token.text == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        token = self.peek()
        if not self.accept(text):
            shown = f"'{token.text}'" if token.text else "the end"
            raise SelectorError(f"{shown} stands where '{text}' belongs", token.offset)

    def end(self) -> None:
        token = self.peek()
        if token.kind != "end":
            raise SelectorError(f"'{token.text}' is not read here", token.offset)

    def either(self) -> Evaluate:
        left = self.both()
        while self.accept("or"):
            left = _either(left, self.both())
        return left

    def both(self) -> Evaluate:
        left = self.comparison()
        while self.accept("and"):
            left = _both(left, self.comparison())
        return left

    def comparison(self) -> Evaluate:
        left, one = self.term(), self.said
        for mark in ("=", "!="):
            if self.accept(mark):
                right, other = self.term(), self.said
                self.comparing(one, other)
                return _equal(left, right, mark == "=")
        return left

    def comparing(self, one: Names | str | None, other: Names | str | None) -> None:
        """Remember a path that is compared with a text."""
        if isinstance(one, str):
            one, other = other, one
        if isinstance(one, tuple) and isinstance(other, str):
            self.compared.append((one, other))

    def term(self) -> Evaluate:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise SelectorError("the condition is nested too deep", self.peek().offset)
        try:
            return self.term_within()
        finally:
            self.depth -= 1

    def term_within(self) -> Evaluate:
        token = self.take()
        self.said = None
        if token.kind == "text":
            self.said = re.sub(r"\\(.)", r"\1", token.text[1:-1])
            return _constant(self.said)
        if token.kind == "number":
            return _constant(int(token.text))
        if token.kind == "name" and token.text in ("true", "false"):
            return _constant(token.text == "true")
        if token.text == "(":
            inner = self.either()
            self.expect(")")
            return self.steps(inner, ())
        if token.text == "not" and self.accept("("):
            inner = self.either()
            self.expect(")")
            return _negate(inner)
        if token.kind == "name":
            return self.path(token)
        shown = f"'{token.text}'" if token.text else "the end"
        raise SelectorError(f"{shown} stands where a name or value belongs", token.offset)

    def path(self, token: _Token) -> Evaluate:
        if self.peek().text == "(":
            self.at -= 1
            return self.call(_this, ())
        if token.text in ("contains", "in", "div", "mod", "is", "as", "xor", "implies"):
            raise SelectorError(f"'{token.text}' is not read here", token.offset)
        left, path = self.step(_this, token, ())
        return self.steps(left, path)

    def steps(self, left: Evaluate, path: Names) -> Evaluate:
        bare = bool(path)
        while self.accept("."):
            token = self.take()
            if token.kind != "name":
                raise SelectorError("a name belongs behind the dot", token.offset)
            if self.peek().text == "(":
                self.at -= 1
                left, bare = self.call(left, path), False
            else:
                left, path = self.step(left, token, path)
                bare = True
        self.said = (*self.prefix, *path) if bare else None
        return left

    def step(self, left: Evaluate, token: _Token, path: Names) -> tuple[Evaluate, Names]:
        """Read a name, with the type behind it that chooses a variant of it."""
        ahead = [one.text for one in self.tokens[self.at : self.at + 3]]
        if ahead != [".", "ofType", "("]:
            path = (*path, token.text)
            self.names.append((*self.prefix, *path))
            return _step(left, token.text), path
        self.at += 3
        name = self.take()
        if name.kind != "name":
            raise SelectorError("ofType() takes the name of a type", name.offset)
        self.expect(")")
        path = (*path, f"{token.text}:{name.text}")
        self.names.append((*self.prefix, *path))
        return _of_type(left, token.text, name.text), path

    def call(self, left: Evaluate, path: tuple[str, ...]) -> Evaluate:
        token = self.take()
        if token.text not in FUNCTIONS:
            raise SelectorError(f"the function '{token.text}' is not read here", token.offset)
        self.expect("(")
        made = self.argument(token, left, path)
        self.expect(")")
        return made

    def argument(self, token: _Token, left: Evaluate, path: tuple[str, ...]) -> Evaluate:
        match token.text:
            case "exists":
                return lambda tree: [bool(left(tree))]
            case "first":
                return lambda tree: left(tree)[:1]
            case "not":
                return _negate(left)
            case "ofType":
                name = self.take()
                if name.kind != "name":
                    raise SelectorError("ofType() takes the name of a type", name.offset)
                return _resources(left, name.text)
        outer, self.prefix = self.prefix, (*self.prefix, *path)
        inner = self.either()
        self.prefix = outer
        return lambda tree: [v for v in left(tree) if isinstance(v, dict) and _truth(inner(v))]


def _this(tree: dict[str, Any]) -> list[Value]:
    return [tree]


def _constant(value: Value) -> Evaluate:
    return lambda tree: [value]


def _children(value: Value, name: str) -> list[Value]:
    if not isinstance(value, dict):
        return []
    found = value.get(name)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _step(left: Evaluate, name: str) -> Evaluate:
    return lambda tree: [child for value in left(tree) for child in _children(value, name)]


def _of_type(left: Evaluate, name: str, type_name: str) -> Evaluate:
    """Return the values of a choice element in one variant, or the resources of a type."""
    variant = f"{name}{type_name[0].upper()}{type_name[1:]}"

    def evaluate(tree: dict[str, Any]) -> list[Value]:
        out: list[Value] = []
        for value in left(tree):
            found = _children(value, variant)
            out += found or [one for one in _children(value, name) if _is_a(one, type_name)]
        return out

    return evaluate


def _resources(left: Evaluate, type_name: str) -> Evaluate:
    return lambda tree: [value for value in left(tree) if _is_a(value, type_name)]


def _is_a(value: Value, type_name: str) -> bool:
    return isinstance(value, dict) and value.get("resourceType") == type_name


def _equal(left: Evaluate, right: Evaluate, wanted: bool) -> Evaluate:
    def evaluate(tree: dict[str, Any]) -> list[Value]:
        one, other = left(tree), right(tree)
        return [(one == other) is wanted] if one and other else []

    return evaluate


def _negate(inner: Evaluate) -> Evaluate:
    return lambda tree: [not _truth(inner(tree))]


def _both(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda tree: [_truth(left(tree)) and _truth(right(tree))]


def _either(left: Evaluate, right: Evaluate) -> Evaluate:
    return lambda tree: [_truth(left(tree)) or _truth(right(tree))]
