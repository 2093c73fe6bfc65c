"""The parse stage: bytes to one tree, or a diagnostic with place and HTTP status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.diagnostics import CODES
from engine.parse import Limits, parse


def _circle() -> bytes:
    def inner(name: str, to: str) -> dict[str, object]:
        return {"resourceType": "Organization", "id": name, "partOf": {"reference": f"#{to}"}}

    tree = {"resourceType": "CareTeam", "contained": [inner("a", "b"), inner("b", "a")]}
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": tree}]}).encode()


def _bundle(count: int) -> bytes:
    return json.dumps({"resourceType": "Bundle", "entry": [{}] * count}).encode()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "P001"),
        (b" \n\xef\xbb\xbf"[:2], 400, "P001"),
        (b"\xef\xbb\xbf", 400, "P001"),
        (b'{"a": "\xff"}', 400, "P003"),
        (b"<Patient/>", 400, "P004"),
        (b'{"resourceType":"CareTeam"', 400, "P004"),
        (b'{"a":NaN}', 400, "P004"),
        (b'{"id":"a","id":"b"}', 400, "P005"),
        (b"[" * 200 + b"]" * 200, 400, "P006"),
        (b'{"a":1e99999}', 400, "P007"),
        (b"[]", 400, "P008"),
        (b'"text"', 400, "P008"),
        (b"{}", 422, "P009"),
        (b'{"resourceType":7}', 422, "P009"),
        (b'{"resourceType":"Careteam"}', 422, "P010"),
        (_bundle(5000), 413, "P011"),
        (_circle(), 422, "P012"),
        (b'{"resourceType":"Bundle","entry":{}}', 422, "P013"),
        (b'{"resourceType":"Bundle","entry":null}', 422, "P013"),
        (b'{"resourceType":"Bundle","entry":[1]}', 422, "P013"),
        (b'{"resourceType":"Bundle","entry":[{"resource":[]}]}', 422, "P013"),
    ],
)
def test_bad_bodies_are_refused(body: bytes, status: int, code: str) -> None:
    """Each kind of bad body has its own code and HTTP status, and leaves no tree behind."""
    parsed = parse(body)
    assert parsed.tree is None
    assert (parsed.status, [problem.code for problem in parsed.diagnostics]) == (status, [code])
    assert code in CODES


def test_a_body_over_the_limit_is_refused_unread() -> None:
    """A body larger than the limit is refused with 413, whatever it holds."""
    parsed = parse(b"[" * 101, Limits(bytes=100))
    assert (parsed.status, parsed.diagnostics[0].code) == (413, "P002")


def test_the_place_of_a_syntax_error_is_told() -> None:
    """A syntax error names line and column, counted in characters."""
    said = parse('{"resourceType": "CareTeam",\n "é": ,}'.encode()).diagnostics[0].message
    assert "line 2, column 7" in said


def test_a_repeated_key_is_told_with_its_path() -> None:
    """A repeated key names its path and the place where it stands again."""
    body = b'{"resourceType":"CareTeam",\n"participant":[{"id":"a",\n"id":"b"}]}'
    problem = parse(body).diagnostics[0]
    assert problem.path == "participant[0].id"
    assert "line 3, column 1" in problem.message


def test_a_misspelt_type_has_a_remedy() -> None:
    """An unknown resource type names the nearest one that exists."""
    remedy = parse(b'{"resourceType":"Careteam"}').diagnostics[0].remedy
    assert remedy == "did you mean 'CareTeam'?"


def test_a_byte_order_mark_is_skipped() -> None:
    """A byte order mark before the object is no obstacle."""
    parsed = parse(b'\xef\xbb\xbf{"resourceType":"CareTeam"}')
    assert (parsed.status, parsed.tree) == (200, {"resourceType": "CareTeam"})


def test_no_value_of_the_body_is_told() -> None:
    """Diagnostics never repeat a value of the body."""
    for body in (
        b'{"resourceType":"Doe-1970"}',
        b'{"name":"Doe-1970",}',
        b'{"a":1,"a":"Doe-1970"}',
    ):
        problems = parse(body).diagnostics
        assert problems
        assert all("Doe-1970" not in problem.text() for problem in problems)


def test_every_corpus_file_parses(shared: Path) -> None:
    """Every real file gives a tree or a diagnostic, never an exception."""
    index = json.loads((shared / "corpus" / "index.json").read_bytes())
    assert index
    for entry in index:
        parsed = parse((shared / "corpus" / "examples" / entry["file"]).read_bytes(), Limits())
        assert (parsed.tree is None) == bool(parsed.diagnostics)
