"""Exact JSON at the two ends of the road: every number keeps the text it was written with."""

from __future__ import annotations

import json as standard
import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec
import orjson

MAX_DEPTH = 64
"""How deep objects and lists may nest unless the caller says otherwise."""

MAX_EXPONENT = 4000
"""Numbers beyond ten to this power are refused: computing with them could exhaust memory."""


class JSONError(ValueError):
    """Report why bytes are no JSON that we read.

    `kind` is one of "syntax", "encoding", "duplicate", "depth", "number"; `offset` counts bytes
    from 0 where it is known; `path` is the path of a repeated key.
    """

    def __init__(
        self, kind: str, message: str, *, offset: int | None = None, path: str | None = None
    ) -> None:
        self.kind = kind
        self.offset = offset
        self.path = path
        super().__init__(message)


class Exact(Decimal):
    """Hold a number whose text Decimal alone would not give back, such as `1.0e2` or `-0`."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Exact:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __copy__(self) -> Exact:
        return self

    def __deepcopy__(self, memo: Any) -> Exact:
        return self

    def __reduce__(self) -> tuple[type[Exact], tuple[str]]:
        return Exact, (self.text,)


def loads(data: bytes, depth: int = MAX_DEPTH) -> Any:
    """Read JSON text in UTF-8 into dict, list, str, int, bool, None and Decimal.

    Refuses repeated keys, NaN and infinities, lone surrogates and nesting beyond `depth`, each
    as a JSONError. The tree goes back to the same numbers by `dumps`.
    """
    try:
        tree = _decode(data)
    except JSONError:
        _check_depth(data, depth)
        raise
    if _is_plain(data, tree, depth):
        return tree
    _check_depth(data, depth)
    if _NEGATIVE_ZERO.search(data) or _repeats(data, tree):
        return _decode_slowly(data)
    return tree


def reread(data: bytes) -> Any:
    """Read what `dumps` wrote, as `loads` does, without looking for what only strangers write."""
    return _decode_slowly(data) if _NEGATIVE_ZERO.search(data) else _decode(data)


def dumps(tree: Any) -> bytes:
    """Write a tree as compact JSON in UTF-8, every number with the text it came with."""
    return _ENCODER.encode(tree)


@lru_cache(maxsize=4096)
def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise JSONError("number", "a number is too large to be read") from None
    if abs(number.adjusted()) > MAX_EXPONENT:
        raise JSONError("number", "a number is too large to be read")
    return number if str(number) == text else Exact(text)


def _integer(text: str) -> int | Decimal:
    return Exact(text) if text == "-0" else int(text)


def _write(value: object) -> msgspec.Raw:
    if isinstance(value, Exact):
        return msgspec.Raw(value.text.encode())
    if isinstance(value, Decimal):
        return msgspec.Raw(str(value).encode())
    raise TypeError(f"{type(value).__name__} is no value of a resource tree")


_DECODER = msgspec.json.Decoder(float_hook=_number)
_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=_write)
_NEGATIVE_ZERO = re.compile(rb"-0(?:[\s,\]}]|\Z)")
_BYTE = re.compile(r"\(byte (\d+)\)")


def _decode(data: bytes) -> Any:
    try:
        return _DECODER.decode(data)
    except JSONError:
        raise
    except UnicodeDecodeError:
        raise JSONError("encoding", "the text is not UTF-8", offset=_bad_byte(data)) from None
    except msgspec.ValidationError:
        raise JSONError("number", "a number is too large to be read") from None
    except RecursionError:
        raise JSONError("depth", "the nesting is too deep to be read") from None
    except msgspec.DecodeError as error:
        raise _syntax(str(error), data) from None


def _syntax(said: str, data: bytes) -> JSONError:
    found = _BYTE.search(said)
    offset = int(found[1]) if found else len(data)
    reason = _BYTE.sub("", said).removeprefix("JSON is malformed: ").strip()
    return JSONError("syntax", reason.lower(), offset=offset)


def _bad_byte(data: bytes) -> int | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


# --- the quick look ------------------------------------------------------------------------
# Nearly every text is plain: no key twice, no `-0`, not deep. The tree written again with an
# indent shows it: as many colons as the text (see below), and no line is indented so far that
# something may begin there which is nested too deep. What decimals are is of no matter to that.


def _is_plain(data: bytes, tree: Any, depth: int) -> bool:
    if not depth or _hides_colons(data) or _NEGATIVE_ZERO.search(data):
        return False
    try:
        written = orjson.dumps(tree, default=bool, option=orjson.OPT_INDENT_2)
    except TypeError:  # orjson writes no whole numbers beyond 64 bits and no 255 levels
        return False
    return data.count(b":") == written.count(b":") and b"\n" + b"  " * depth not in written


# --- repeated keys -------------------------------------------------------------------------
# Each member of an object has exactly one colon outside strings, and the decoder drops the
# earlier of two equal keys with its value. So, as long as no colon is written as an escape,
# the text and the tree written again hold the same number of colons if and only if no key
# was dropped.


def _hides_colons(data: bytes) -> bool:
    return b"\\" in data and b"\\u003" in data


def _repeats(data: bytes, tree: Any) -> bool:
    if _hides_colons(data):
        return True
    return data.count(b":") != _ENCODER.encode(tree).count(b":")


def _decode_slowly(data: bytes) -> Any:
    return standard.loads(
        data,
        object_pairs_hook=lambda pairs: _members(pairs, data),
        parse_int=_integer,
        parse_float=_number,
    )


def _members(pairs: list[tuple[str, Any]], data: bytes) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        path, offset = _first_repeat(data)
        raise JSONError(
            "duplicate", "a key stands twice in one object", offset=offset, path=path or None
        )
    return members


_TOKEN = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|([\[\]{},])', re.DOTALL)


class _Frame:
    """One object or list that is open while the text is walked for the place of a key."""

    __slots__ = ("index", "key", "seen")

    def __init__(self, is_list: bool) -> None:
        self.index = 0 if is_list else -1
        self.key = ""
        self.seen: set[str] = set()


def _first_repeat(data: bytes) -> tuple[str, int]:
    frames: list[_Frame] = []
    for token in _TOKEN.finditer(data):
        mark = token[3]
        if mark in (b"{", b"["):
            frames.append(_Frame(is_list=mark == b"["))
        elif mark in (b"}", b"]"):
            frames.pop()
        elif mark == b"," and frames[-1].index >= 0:
            frames[-1].index += 1
        elif token[2] is not None:
            key = standard.loads(token[1])
            frames[-1].key = key
            if key in frames[-1].seen:
                return _path(frames), token.start()
            frames[-1].seen.add(key)
    return "", 0


def _path(frames: list[_Frame]) -> str:
    steps = (f"[{f.index}]" if f.index >= 0 else f".{f.key}" for f in frames)
    return "".join(steps).removeprefix(".")


# --- depth ---------------------------------------------------------------------------------
# Escapes are taken away, then everything but brackets (all as one kind) and quotes. Pairs of
# quotes side by side can go, since that changes for no bracket whether it stands in a string;
# then what is still between quotes goes. Each pass over what is left removes the innermost level.

_KEPT = bytes.maketrans(b"{}", b"[]")
_DROPPED = bytes(set(range(256)) - set(b'[]{}"'))
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_QUOTED = re.compile(rb'"[^"]*"')


def _check_depth(data: bytes, depth: int) -> None:
    if not _within(data, depth):
        raise JSONError("depth", f"the nesting is deeper than {depth}")


def _within(data: bytes, depth: int) -> bool:
    if data.count(b"{") + data.count(b"[") <= depth:
        return True
    marks = _brackets(data)
    for _ in range(depth):
        fewer = marks.replace(b"[]", b"")
        if len(fewer) == len(marks):
            break
        marks = fewer
    return b"[]" not in marks and marks.count(b"[") <= depth


def _brackets(data: bytes) -> bytes:
    escapes = data.count(b"\\")
    if escapes * 200 > len(data):
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    elif escapes:
        data = _ESCAPE.sub(b"", data)
    marks = data.translate(_KEPT, _DROPPED).replace(b'""', b"")
    return _QUOTED.sub(b"", marks) if b'"' in marks else marks
