"""What stands on record of a resource, in brief: its version, and how many links point at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, func, literal_column, select, union_all
from sqlalchemy.sql import Select

from engine.store.answers import Question
from engine.store.database import Listing
from engine.store.session import Session
from engine.store.tables import link, resource

Name = tuple[str, str]
"""A type and an id."""

_PAGE = 64


def _brief(place: int) -> Select[Any]:
    id: BindParameter[str] = bindparam(f"id{place}")
    one = (resource.c.type == bindparam(f"type{place}"), resource.c.id == id)
    version = select(resource.c.version).where(*one)
    links = select(func.count()).where(link.c.entity_id == id)
    return select(literal_column(str(place)), version.scalar_subquery(), links.scalar_subquery())


_BRIEF = Listing(
    lambda _, places: union_all(*map(_brief, places)),
    "type",
    "id",
)


def _ask(session: Session, names: Sequence[Name]) -> dict[Name, tuple[int, int]]:
    return {
        page[place]: (version or 0, links)
        for page in (names[start : start + _PAGE] for start in range(0, len(names), _PAGE))
        for place, version, links in session.fetch(*_BRIEF.of(page))
        if place < len(page)
    }


STANDING: Question[Name, tuple[int, int]] = Question(_ask, (0, 0))
"""The version of a resource (0 where there is none), and how many links point at its id."""
