"""What a transaction asks by name: for many names at once, and only once where nobody else writes.

Whatever many writes of one commit ask is asked together, before the first of them has its turn:
each tells, ahead of it, the names it asked for and those that it will ask for (`Reads`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from engine.store.database import Listing, Statement
    from engine.store.session import Rows, Session

N = TypeVar("N", bound=Hashable)
A = TypeVar("A")


class Question(Generic[N, A]):
    """Hold one question; `ask` answers it for those names for which the answer is not `none`."""

    def __init__(self, ask: Callable[[Session, Sequence[N]], Mapping[N, A]], none: A) -> None:
        self.ask = ask
        self.none = none


def rows_of(listing: Listing, place: int) -> Question[str, Sequence[tuple[Any, ...]]]:
    """Return what asks for all rows of a name, which stands in them at `place`, in their order."""

    def ask(session: Session, names: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
        found: dict[str, list[tuple[Any, ...]]] = {}
        for row in session.each(listing, names):
            found.setdefault(row[place], []).append(row)
        return found

    return Question(ask, ())


class Answers:
    """Keep what one transaction was told, until it changes that itself.

    Where it does not `keep` them, each is asked anew: as on a database with several writers, where
    every statement may be told otherwise.
    """

    def __init__(self, session: Session, *, keep: bool) -> None:
        self._session = session
        self._keep = keep
        self._kept: dict[Question[Any, Any], dict[Any, Any]] = {}

    def to(self, question: Question[N, A], names: Iterable[N]) -> dict[N, A]:
        """Return the answer for each name; each is asked for once, however often it is named."""
        listed = dict.fromkeys(names)
        if not listed:
            return {}
        kept = self._kept.setdefault(question, {}) if self._keep else {}
        unread = [name for name in listed if name not in kept]
        if unread:
            told = question.ask(self._session, unread)
            kept.update((name, told.get(name, question.none)) for name in unread)
        found: dict[N, A] = {name: kept[name] for name in listed}
        if self._session.reads is not None:
            self._session.reads.note_told(question, found)
        return found

    def of(self, question: Question[N, A], name: N) -> A:
        """Return the answer for one name."""
        if self._session.reads is None:
            kept = self._kept.get(question)
            if kept is not None and name in kept:
                found: A = kept[name]
                return found
        return self.to(question, (name,))[name]

    @property
    def kept(self) -> bool:
        """Whether what is asked beforehand is known when it is asked for."""
        return self._keep

    def ready(self, question: Question[N, A], names: Iterable[N]) -> None:
        """Ask together what will be asked one by one, where the answers are kept."""
        if self._keep:
            self.to(question, names)

    def expect(self, question: Question[N, A], names: Iterable[N]) -> None:
        """Say, ahead of a turn, what will be asked in it."""
        if self._session.reads is not None:
            self._session.reads.expected.setdefault(question, []).extend(names)

    def foresee(self, reads: Iterable[Reads]) -> None:
        """Ask, for all of them together, what was asked ahead of the turn and what was expected."""
        wanted: dict[Question[Any, Any], list[Any]] = {}
        for one in reads:
            for asked in (one.told, one.expected):
                for question, names in asked.items():
                    wanted.setdefault(question, []).extend(names)
        for question, names in wanted.items():
            self.to(question, names)

    def tell(self, question: Question[N, A], name: N, answer: A) -> None:
        """Say what the answer is now that this transaction has changed it."""
        if self._keep:
            self._kept.setdefault(question, {})[name] = answer

    def forget(self, question: Question[N, A], names: Iterable[N]) -> None:
        """Say that this transaction has changed the answers for some names."""
        kept = self._kept.get(question)
        if kept:
            for name in names:
                kept.pop(name, None)

    def forget_all(self, *questions: Question[Any, Any]) -> None:
        """Say that this transaction may have changed any answer to these questions."""
        for question in questions:
            self._kept.pop(question, None)


class Reads:
    """Hold what a look ahead asked and was `told`, and what its turn is `expected` to ask."""

    def __init__(self) -> None:
        self._rows: list[tuple[Statement, Mapping[str, Any], Rows]] = []
        self.told: dict[Question[Any, Any], dict[Any, Any]] = {}
        self.expected: dict[Question[Any, Any], list[Any]] = {}

    def note(self, statement: Statement, values: Mapping[str, Any], rows: Rows) -> None:
        """Note one question and its answer."""
        self._rows.append((statement, dict(values), rows))

    def note_told(self, question: Question[N, A], found: Mapping[N, A]) -> None:
        """Note what was told for some names."""
        self.told.setdefault(question, {}).update(found)

    def same(self, session: Session) -> bool:
        """Tell whether another transaction would be told just the same."""
        return all(
            session.answers.to(question, told) == told for question, told in self.told.items()
        ) and all(
            list(session.run(statement, values)) == list(rows)
            for statement, values, rows in self._rows
        )
