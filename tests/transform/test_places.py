"""A complaint says where it stands, however many there are of one list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.transform.journey import Stands, path_of


class Counted(list[Any]):
    """A list that counts how often somebody looks through it."""

    looks = 0

    def __iter__(self) -> Iterator[Any]:
        self.looks += 1
        return super().__iter__()


def test_a_long_list_is_looked_through_once_for_all_its_complaints() -> None:
    """Each item is named by where it stands, and the time grows with the list, not its square."""
    items = Counted({"reference": f"Practitioner/{index}"} for index in range(50))
    inner = Counted([items[7], items[7]])
    stands: Stands = {}
    told = [path_of((None, ".author[]", items, items[place]), stands) for place in range(50)]
    assert told == [f".author[{place}]" for place in range(50)]
    assert items.looks == 1
    around = (None, ".author[]", items, items[3])
    assert path_of((around, ".part[].x", inner, items[7]), stands) == ".author[3].part[0].x"
    assert path_of((None, ".author[]", [1], 2), stands) == ".author[0]"
