"""A concept with very many codings is translated with a few looks at each of them."""

from __future__ import annotations

from pathlib import Path

from engine.transform.tables import Key, Row, load_table
from engine.transform.translate import Translator

MANY = 500
CSV = "dialect_system,dialect,canonical_system,canonical\nhttp://d.example,a,http://c.example,1\n"
OURS = {"system": "http://d.example", "code": "a"}
THEIRS = {"system": "http://c.example", "code": "1"}


class _Counted(dict[Key, Row]):
    """Rows that count how often they are asked."""

    asked = 0

    def get(self, key: Key, default: Row | None = None) -> Row | None:  # type: ignore[override]
        """Return a row, and count."""
        self.asked += 1
        return super().get(key, default)


def test_the_looks_at_a_table_grow_with_the_codings(tmp_path: Path) -> None:
    """Five hundred codings took a hundred thousand looks, and ten times as many a hundred times."""
    path = tmp_path / "t.csv"
    path.write_text(CSV, encoding="utf-8")
    table, _ = load_table(path, "t.csv")
    assert table is not None
    rows = {direction: _Counted(found) for direction, found in table.ways.items()}
    object.__setattr__(table, "ways", rows)
    strange = [{"system": "http://x.example", "code": str(index)} for index in range(MANY)]
    translator = Translator("home/careteam", "to_canonical", table, None, True, None)
    made, _ = translator.concept({"coding": [OURS, *strange]})
    assert made == {"coding": [THEIRS, OURS, *strange]}
    assert sum(one.asked for one in rows.values()) < 10 * MANY
