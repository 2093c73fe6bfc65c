"""Answers that hold for more than one message, given again while all that they rest on stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from engine.fhir.dates import Interval, birthday, covers
from engine.rules.alike import ToldContent
from engine.rules.consent.compile import CompiledConsent
from engine.rules.consent.decide import answer
from engine.rules.consent.directory import Directory
from engine.rules.consent.policy import Policy
from engine.rules.consent.question import instant, outreach
from engine.rules.consent.turns import stretch, turns_in
from engine.rules.decision import Decision
from engine.rules.request import asked_about, read_for
from engine.rules.told import Told

_MOST_BESIDE = 8
"""How many answers are kept to one question, whose contents or moments differ: each is tried."""


class Answers:
    """Keep answers for the messages to come: who tells whom, and what for, is asked many times.

    An answer is given again to a message that asks the same of the very same directory, consents
    and policy, whose content says the same to whatever the consents asked of it, and between the
    same turns of time: no date of a consent, of a person's period or of coming of age lies between.
    """

    def __init__(self, most: int = 5_000) -> None:
        self._most = most
        self._held = 0
        self._kept: dict[tuple[Any, ...], list[_Kept]] = {}

    def answer(
        self,
        told: Told,
        consents: Sequence[CompiledConsent],
        directory: Directory,
        *,
        sender_system: Mapping[str, Any],
        recipient_systems: Sequence[Mapping[str, Any]],
        purpose: Sequence[Mapping[str, Any]],
        at: str,
        policy: Policy,
    ) -> Decision:
        """Decide whether what a resource tells may go there at the instant `at`.

        `sender_system`, `recipient_systems` and `purpose` are those of `asked_about`; `directory`
        holds the people that the library of `told` knows. The answer, its record and its reasons
        are what `engine.rules.consent.decide.answer` gives.
        """
        way: dict[str, Any] = {
            "sender_system": sender_system,
            "recipient_systems": recipient_systems,
            "purpose": purpose,
        }
        content, now = ToldContent(told, policy, directory), instant(at, policy)
        moments = (now, outreach(told.resource.get("sent"), now, policy))
        read = read_for(told.resource, **way)
        name = (read, directory, *consents)
        for kept in self._kept.get(name, ()):
            if kept.policy is policy and kept.stands(moments) and content.says(kept.heard):
                return kept.decision.again(at)
        asked = asked_about(told, **way, policy=policy)
        asked = replace(asked, content=lambda _: content)
        decision = answer(asked, consents, directory, at=at, policy=policy)
        if read is not None and _is_clear(decision):
            self._keep(name, _Kept(decision, content, moments, consents, directory, policy))
        return decision

    def _keep(self, name: tuple[Any, ...], kept: _Kept) -> None:
        if self._held >= self._most:
            self._kept.clear()
            self._held = 0
        beside = self._kept.setdefault(name, [])
        if len(beside) >= _MOST_BESIDE:
            del beside[0]
        else:
            self._held += 1
        beside.append(kept)


def _is_clear(decision: Decision) -> bool:
    """Tell whether nothing went wrong on the way to a decision: that may not go wrong again."""
    codes = (decision.code, *[one.code for one in decision.recipients])
    return "consent-unclear" not in codes


class _Kept:
    """Hold an answer, and what must be so for it to be given again."""

    __slots__ = ("_consents", "_directory", "_moments", "_stretches", "decision", "heard", "policy")

    def __init__(
        self,
        decision: Decision,
        content: ToldContent,
        moments: tuple[Interval, Interval],
        consents: Sequence[CompiledConsent],
        directory: Directory,
        policy: Policy,
    ) -> None:
        self.decision, self.heard, self.policy = decision, content.asked(), policy
        self._moments, self._consents, self._directory = moments, consents, directory
        self._stretches: tuple[Interval, Interval] | None = None

    def stands(self, moments: tuple[Interval, Interval]) -> bool:
        """Tell whether nothing turns between these moments and those of the answer.

        They are the moment of the decision and that of the outreach. Most answers are never asked
        for again, so the turns are looked for when the first is.
        """
        if self._stretches is None:
            turns = list(self._turns())
            now, sent = self._moments
            self._stretches = stretch(now, turns), stretch(sent, turns)
        now, sent = self._stretches
        return covers(now, moments[0]) and covers(sent, moments[1])

    def _turns(self) -> Iterator[int]:
        zone, majority = self.policy.zone, self.policy.majority_age
        ages = {majority, *(under.majority_age for _, under in self.policy.by_category)}
        yield from self._directory.turns()
        for consent in self._consents:
            yield from turns_in(consent.resource, zone)
        for person in self._directory.of_type("Patient"):
            for age in ages:
                yield from birthday(person.born or "", age, zone) or ()
