"""Exact JSON: nothing is lost on the way in and out, and what is ambiguous is refused."""

from __future__ import annotations

import copy
import json as standard
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fhir.json import Exact, JSONError, dumps, loads, reread

NUMBERS = [b"72.50", b"1.0e2", b"1E+5", b"-0", b"-0.0", b"0.10", b"123456789012345678901234567890"]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_keeps_its_text(text: bytes) -> None:
    """A number comes out of a round trip with the very characters it came with."""
    assert dumps(loads(b'{"value":%s}' % text)) == b'{"value":%s}' % text


def test_numbers_still_compute() -> None:
    """An exactly kept number is a Decimal, survives copying and pickling, and equals its value."""
    value = loads(b"[1.0e2]")[0]
    assert isinstance(value, Decimal)
    assert value == 100
    for twin in (copy.deepcopy(value), copy.copy(value), pickle.loads(pickle.dumps(value))):
        assert isinstance(twin, Exact)
        assert twin.text == "1.0e2"


@pytest.mark.parametrize("text", ['"日本 😀"', '"tab\\tquote\\"back\\\\"', '"\\u0000"'])
def test_unicode_is_unchanged(text: str) -> None:
    """Text with any character reads back as the same text."""
    tree = loads(text.encode())
    assert loads(dumps(tree)) == tree == standard.loads(text)


def test_escaped_surrogates_become_their_character() -> None:
    """A pair of escaped surrogates is one character, and goes out as such."""
    assert dumps(loads(b'"\\ud83d\\ude00"')).decode() == '"😀"'


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b'{"a":1,"a":2}', "duplicate"),
        (b'{"a":{"b":1,"c":2,"b":3}}', "duplicate"),
        (b'{"a":"x","\\u0061":"y"}', "duplicate"),
        (b'{"a":":","b":"x","b":":y"}', "duplicate"),
        (b'{"a":"\\u003a\\u003a","a":1}', "duplicate"),
        (b"NaN", "syntax"),
        (b"[Infinity]", "syntax"),
        (b"[-Infinity]", "syntax"),
        (b'"\\ud800"', "syntax"),
        (b'{"a":1,}', "syntax"),
        (b"{} {}", "syntax"),
        (b'"\xff"', "encoding"),
        (b"1e99999", "number"),
        (b"9" * 6000, "number"),
        (b"[" * 65 + b"]" * 65, "depth"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "depth"),
        (b"[" * 1_000_000, "depth"),
        (b'["]",' * 70 + b"1" + b"]" * 70, "depth"),
    ],
)
def test_what_is_ambiguous_or_hostile_is_refused(text: bytes, kind: str) -> None:
    """Repeated keys, values that are no JSON, and nests without end are refused by kind."""
    with pytest.raises(JSONError) as refused:
        loads(text)
    assert refused.value.kind == kind


def test_a_repeated_key_is_named_by_path_and_place() -> None:
    """The refusal of a repeated key says which one it is and at which byte the second stands."""
    text = b'{"entry":[{},{"resource":{"id":"a","id":"b"}}]}'
    with pytest.raises(JSONError) as refused:
        loads(text)
    assert refused.value.path == "entry[1].resource.id"
    assert text[refused.value.offset :].startswith(b'"id":"b"')


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.text(st.sampled_from('ab:"\\{}[]\n,é😀'), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.sampled_from('ab:"\\{}[]'), max_size=3), inner, max_size=3)
    ),
    max_leaves=20,
)


def _depth(tree: object) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(TREES, st.booleans())
def test_any_tree_goes_round(tree: object, ascii_only: bool) -> None:
    """Whatever the standard library writes is read as the same tree, with a depth that is right."""
    text = standard.dumps(tree, ensure_ascii=ascii_only).encode()
    assert loads(text, 1000) == tree
    assert loads(dumps(tree), 1000) == tree
    depth = _depth(tree)
    assert loads(text, depth) == tree
    if depth:
        with pytest.raises(JSONError, match="nesting"):
            loads(text, depth - 1)


@given(TREES, st.sampled_from([b"-0", b"1.0e2", b"72.50", b"0"]))
def test_what_was_written_is_reread(tree: object, number: bytes) -> None:
    """Our own text is read again as the tree that it was, with every number as it was written."""
    written = dumps([tree, loads(number)])
    assert reread(written) == [tree, loads(number)]
    assert dumps(reread(written)) == written


@pytest.mark.parametrize("filler", [0, 5000])
def test_escapes_hide_no_depth(filler: int) -> None:
    """Escaped quotes and backslashes before brackets change nothing about the depth."""
    inner = b'["' + b"x" * filler + b'\\\\\\"[{", "\\n]", [[1]], "]"]'
    text = b"[" * 61 + inner + b"]" * 61
    assert loads(text, 64) == loads(text, 100)
    with pytest.raises(JSONError, match="nesting"):
        loads(text, 63)


@given(TREES)
def test_a_key_repeated_anywhere_is_found(tree: object) -> None:
    """Beside any content, and before or after it, a repeated key is refused."""
    inner = standard.dumps(tree)
    for text in (f'{{"k":{inner},"k":1}}', f'[{inner},{{"k":1,"x":{inner},"k":{inner}}}]'):
        with pytest.raises(JSONError) as refused:
            loads(text.encode(), 1000)
        assert refused.value.kind == "duplicate"


def test_five_megabytes_of_narrative_are_unchanged() -> None:
    """A narrative of five megabytes goes through as it came."""
    tree = {"resourceType": "CareTeam", "text": {"div": "<div>" + 'é"\\{[:' * 800_000 + "</div>"}}
    assert loads(dumps(tree)) == tree
