"""Whether a provision speaks of this disclosure: period, sender, recipient, action, purpose.

Every criterion is true, false or unknown; unknown is enough for a deny and never for a permit.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.rules.consent.compile import Actor, Provision
from engine.rules.consent.directory import Directory, Party
from engine.rules.consent.parties import EXPANDED, comparable
from engine.rules.consent.question import Question

PERIOD, SENDER, RECIPIENT, ACTION, PURPOSE, CONTENT = (
    "period",
    "sender",
    "recipient",
    "action",
    "purpose",
    "content",
)
UNCLEAR = "unclear"


def gate(
    provision: Provision, denying: bool, question: Question, recipient: Party | None
) -> str | None:
    """Return the first criterion that keeps the provision from applying, or None.

    Content is not looked at here; purpose comes last, so that a nested provision with a purpose
    of its own is known to fail for no other reason.
    """
    when, at = provision.period, question.at
    if when is not None:
        if denying:
            if when[0] >= at[1] or at[0] >= when[1]:
                return PERIOD
        elif when[0] > at[0] or at[1] > when[1]:
            return PERIOD
    elif provision.unreadable_period and not denying:
        return PERIOD
    if provision.actors_unclear and not denying:
        return UNCLEAR
    if provision.senders and not _senders(provision, denying, question):
        return SENDER
    if provision.recipients and not _recipient(provision, denying, recipient, question.directory):
        return RECIPIENT
    if provision.actions is not None and not _actions(provision.actions, denying, question.actions):
        return ACTION
    if provision.permits is not None and not _purposes(provision, denying, question):
        return PURPOSE
    return UNCLEAR if provision.unclear and not denying else None


def for_some(provision: Provision, question: Question) -> bool:
    """Tell whether a permit is for some of the purposes asked, or may be: one side states none."""
    permits, asked = provision.permits, question.purposes
    return not permits or not asked or any(not permits.isdisjoint(concept) for concept in asked)


def _senders(provision: Provision, denying: bool, question: Question) -> bool:
    """Tell whether a deny speaks of one of the senders, or a permit of all of them."""
    for one in question.senders:
        met = not denying and not provision.disclosing.isdisjoint(one.keys)
        met = met or _any_actor(provision.senders, denying, one, question.directory)
        if met == denying:
            return met
    return not denying if question.senders else denying


def _recipient(
    provision: Provision, denying: bool, recipient: Party | None, directory: Directory
) -> bool:
    if recipient is None:
        return denying
    if not denying and (recipient.member or not provision.named.isdisjoint(recipient.keys)):
        return True
    return _any_actor(provision.recipients, denying, recipient, directory)


def _any_actor(actors: Sequence[Actor], denying: bool, party: Party, directory: Directory) -> bool:
    return any(_is(actor, denying, party, directory) for actor in actors)


def _is(actor: Actor, denying: bool, party: Party, directory: Directory) -> bool:
    name = actor.name
    if not name.keys.isdisjoint(party.possible if denying else party.keys):
        return True
    if not name.keys and not party.keys and name.words and name.words == party.name.words:
        return True
    if directory and _through_directory(actor, denying, party, directory):
        return True
    return denying and _unresolved(actor, party, directory)


def _through_directory(actor: Actor, denying: bool, party: Party, directory: Directory) -> bool:
    """Follow the consent's actor: its other identifiers, and whom its group or team consists of."""
    same = directory.same(actor.name)
    reach = party.possible if denying else party.keys
    if not same.isdisjoint(reach):
        return True
    return any(
        not directory.same(member).isdisjoint(reach)
        for member in directory.members(same, strict=not denying)
    )


def _unresolved(actor: Actor, party: Party, directory: Directory) -> bool:
    """Tell whether nobody here can say that the two are not the same."""
    name = actor.name
    if party.unresolved or not name.keys:
        return True
    if name.type in EXPANDED and not directory.holds(name):
        return True
    ours = directory.same(name) if directory else name.keys
    return not comparable(ours, party.keys)


def _actions(stated: frozenset[str], denying: bool, asked: frozenset[str]) -> bool:
    """Disclosing lets the other side have access, so a deny of access denies it too."""
    if denying:
        return bool(stated & asked or "?" in stated or ("access" in stated and "disclose" in asked))
    return asked <= stated


def _purposes(provision: Provision, denying: bool, question: Question) -> bool:
    permits, denies = provision.permits, provision.denies
    asked = question.purposes
    if permits is None or denies is None:
        return True
    if not asked:
        return denying or question.policy.absent_purpose == "match"
    if denying:
        return not denies or any(not denies.isdisjoint(concept) for concept in asked)
    if question.policy.several_purposes == "any":
        return any(not permits.isdisjoint(concept) for concept in asked)
    return all(not permits.isdisjoint(concept) for concept in asked)
