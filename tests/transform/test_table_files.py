"""Code tables from each format: both directions, what collapses, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.transform.tables import Table, load_table

ROWS = [("a", "1", None), ("b", "2", "to_dialect"), ("c", "2", None)]
D, C = "http://d.example", "http://c.example"


def _csv() -> str:
    lines = ["dialect_system,dialect,canonical_system,canonical,preferred"]
    return "\n".join([*lines, *(f"{D},{d},{C},{c},{p or ''}" for d, c, p in ROWS)]) + "\n"


def _yaml() -> str:
    rows = (f"  - {{dialect: {d}, canonical: '{c}'" + (f", preferred: {p}" if p else "") + "}"
            for d, c, p in ROWS)  # fmt: skip
    return f"table: role\ndialect: {D}\ncanonical: {C}\nrows:\n" + "\n".join(rows) + "\n"


def _concept_map() -> str:
    url = "https://carelane.example/fhir/StructureDefinition/preferred"
    elements = []
    for dialect, canonical, preferred in ROWS:
        target: dict[str, object] = {"code": canonical, "equivalence": "equivalent"}
        if preferred:
            target["extension"] = [{"url": url, "valueCode": preferred}]
        elements.append({"code": dialect, "target": [target]})
    elements.append({"code": "none", "target": [{"equivalence": "unmatched"}]})
    group = {"source": D, "target": C, "element": elements}
    return json.dumps({"resourceType": "ConceptMap", "status": "active", "group": [group]})


def _load(tmp_path: Path, name: str, text: str) -> Table:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    table, problems = load_table(path, name)
    assert table is not None, problems
    return table


@pytest.mark.parametrize(
    ("name", "text"),
    [("role.csv", _csv()), ("role.yaml", _yaml()), ("role.json", _concept_map())],
)
def test_each_format_gives_the_same_table(name: str, text: str, tmp_path: Path) -> None:
    """CSV, YAML and ConceptMap say the same thing, in both directions."""
    table = _load(tmp_path, name, text)
    there = {key[1]: row.canonical[1] for key, row in table.ways["to_canonical"].items()}
    back = {key[1]: row.dialect[1] for key, row in table.ways["to_dialect"].items()}
    assert there == {"a": "1", "b": "2", "c": "2"}
    assert back == {"1": "a", "2": "b"}
    (key, rows), *more = table.collapsing("to_canonical")
    assert not more
    assert key == (C, "2")
    assert [row.dialect[1] for row in rows] == ["b", "c"]


def test_a_row_of_one_direction_takes_no_part_in_the_other(tmp_path: Path) -> None:
    """`only:` keeps a row out of the other way, and out of the choice there."""
    text = f"dialect_system,dialect,canonical_system,canonical,only\n{D},a,{C},1,\n"
    table = _load(tmp_path, "role.csv", text + f"{D},b,{C},1,to_canonical\n")
    assert table.ways["to_dialect"][C, "1"].dialect == (D, "a")
    assert table.ways["to_canonical"][D, "b"].canonical == (C, "1")


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t="])
@pytest.mark.parametrize("name", ["role.csv", "role.yaml", "role.json"])
def test_a_cell_that_looks_like_a_formula_is_refused(sign: str, name: str, tmp_path: Path) -> None:
    """No cell may run in the spreadsheet of the person who reviews the table."""
    cell = f"{sign}cmd"
    texts = {
        "role.csv": f'dialect,canonical\n"{cell}",x\n',
        "role.yaml": f"table: role\nrows: [{{dialect: {json.dumps(cell)}, canonical: x}}]\n",
        "role.json": _concept_map().replace('"code": "a"', f'"code": {json.dumps(cell)}'),
    }
    path = tmp_path / name
    path.write_text(texts[name], encoding="utf-8")
    table, problems = load_table(path, name)
    if sign == "\t=" and name == "role.csv":
        cell = cell.strip()
    assert table is None
    assert "M023" in {problem.code for problem in problems}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", ""),
        ("t.csv", "dialect,canonical\n1,2,3\n"),
        ("t.csv", 'dialect,canonical\n"open,2\n'),
        ("t.json", "[]"),
        ("t.json", "{"),
        ("t.json", '{"resourceType": "ConceptMap", "group": 3}'),
        ("t.json", "[" * 100_000),
        ("t.yaml", "table: t\nrows: 3\n"),
        ("t.yaml", "table: t\nrows: [3]\n"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(name: str, text: str, tmp_path: Path) -> None:
    """A file of another shape is a problem with a place, never an exception."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    table, problems = load_table(path, name)
    assert table is None
    assert problems
    assert all(problem.place and problem.place.file == name for problem in problems)


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("t.csv", b"dialect,dialect,canonical\na,b,c\n", 1, "stands twice"),
        ("t.csv", b"dialect,canonical\na,b\nc,\xe9\n", 3, "UTF-8"),
        ("t.csv", b'dialect,canonical\na,b\n"c"x,d\n', 3, "no"),
        ("t.yaml", b"table: t\nrows:\n  - {dialect: a, canonical: b, note: x}\n  - {dialect: 'c ',"
         b" canonical: d}\n", 4, "space"),
        ("t.yaml", b"table: t\nrows:\n  - {dialect: a, canonical: b, canonical_display: [x]}\n",
         3, "more than one value"),
        ("t.yaml", b"table: t\nrows:\n  - {dialect: a, canonical: \xe9}\n", 3, "UTF-8"),
        ("t.json", b'{"resourceType": "ConceptMap",\n "group": [{"element": [{"code": 5,'
         b' "target": [{"code": "b"}]}]}]}', 1, "no text"),
        ("t.json", b'{"resourceType": "ConceptMap",\n "group": [{"element": [{"code": "a",'
         b' "targt": [{"code": "b"}]}]}]}', 1, "'targt'"),
        ("t.json", b'{"resourceType": "ConceptMap", "group": [{"element": [{"code": "a",'
         b' "target": [{"code": "b", "dependsOn": []}]}]}]}', 1, "'dependsOn'"),
        ("t.json", b'{"resourceType": "ConceptMap", "group": [], "group": []}', 1, "twice"),
        ("t.json", b'{"resourceType": "ConceptMap",\n "group": [}', 2, "JSON"),
        ("t.json", b'{"resourceType": "ConceptMap",\n "group": [{"element": [\n'
         b'{"code": "a",\n "target": [{"code": "b", "equivalence": "eqal"}]}]}]}', 3, "'eqal'"),
    ],
)  # fmt: skip
def test_what_a_table_cannot_say_is_refused_where_it_stands(
    name: str, text: bytes, line: int, said: str, tmp_path: Path
) -> None:
    """No row and no cell is passed over; the line is that of the file."""
    path = tmp_path / name
    path.write_bytes(text)
    table, problems = load_table(path, name)
    assert table is None
    assert [p.place.line for p in problems if said in p.message and p.place] == [line]


def test_lines_may_end_as_on_any_machine(tmp_path: Path) -> None:
    """LF, CRLF and CR alone are the same."""
    tables = [_load(tmp_path, "role.csv", _csv().replace("\n", end)) for end in ("\n", "\r")]
    assert [[row.dialect for row in table.rows] for table in tables] == [
        [(D, "a"), (D, "b"), (D, "c")]
    ] * 2
