"""Why a consent or provision did or did not apply, in words for a privacy officer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.rules.consent.codings import listed, mappings
from engine.rules.consent.combine import Ground
from engine.rules.consent.compile import Effect, Provision
from engine.rules.consent.evaluate import Finding, Match
from engine.rules.consent.match import ACTION, PERIOD, PURPOSE, RECIPIENT, SENDER
from engine.rules.consent.parties import name_of
from engine.rules.consent.standing import Standing
from engine.rules.decision import Basis, Considered, Verdict

_ELEMENT = {
    PERIOD: ("period", "it is in force only"),
    SENDER: ("actor", "the sender is not the one that it names:"),
    RECIPIENT: ("actor", "the recipient is not the one that it names:"),
    ACTION: ("action", "the action asked is not"),
    PURPOSE: ("purpose", "the purpose asked is not covered by"),
}


def basis_of(ground: Ground, verdict: Verdict, recipient: str | None) -> Iterator[Basis]:
    """Yield the provisions that a verdict rests on: with a permit, also what limits it."""
    for finding in ground.findings:
        name = finding.consent.name
        if verdict == "permit":
            for permit in finding.permits:
                why = "it permits " + words_of(permit.match)
                yield Basis(name, permit.provision.path, "permit", why, recipient)
        if verdict != "no-consent":
            for deny in finding.denies:
                if {} not in deny.exceptions:
                    why = "it denies " + words_of(deny.match) + _but(deny.exceptions)
                    yield Basis(name, deny.provision.path, "deny", why, recipient)


def considered_of(standing: Standing, finding: Finding | None) -> Iterator[Considered]:
    """Yield what was found of one consent and each of its provisions that was looked at."""
    name = standing.consent.name
    applied = finding is not None and finding.applies
    yield Considered(name, None, applied, _why(standing, finding))
    if finding is not None:
        for provision, effect, missed in finding.trace:
            why = _missed(provision, missed) if missed else _matched(finding, provision, effect)
            yield Considered(name, provision.path, missed is None, why)


def _why(standing: Standing, finding: Finding | None) -> str:
    if standing.why:
        return standing.why + _only_denies(standing)
    if finding is None:
        return "it was not looked at further"
    if finding.blocked:
        return "it cannot permit: " + finding.blocked
    if finding.permits or finding.denies:
        return "it applies"
    return "nothing in it covers this disclosure"


def _only_denies(standing: Standing) -> str:
    return "; it cannot permit, what it denies holds" if standing.mode == "deny-only" else ""


def _matched(finding: Finding, provision: Provision, effect: Effect) -> str:
    for permit in finding.permits:
        if permit.provision is provision:
            return "it permits " + words_of(permit.match)
    for deny in finding.denies:
        if deny.provision is provision:
            return "it denies " + words_of(deny.match) + _but(deny.exceptions)
    return f"who, when and why match its {effect}, the content asked for does not"


def _missed(provision: Provision, missed: str) -> str:
    if missed not in _ELEMENT:
        return "it cannot permit: " + (provision.unclear or "the role of its actor is not clear")
    element, said = _ELEMENT[missed]
    return f"{said} {_shown(element, provision.stated.get(element))}".rstrip()


def _shown(element: str, stated: Any) -> str:
    if element == "period":
        return _period(stated)
    if element == "actor":
        return ", ".join(name_of(one).shown for one in listed(stated))
    return ", ".join(_codes(stated))


def _period(stated: Any) -> str:
    if not isinstance(stated, Mapping):
        return "in a period that cannot be read"
    start, end = stated.get("start"), stated.get("end")
    return " ".join(
        [*([f"from {start}"] if start else []), *([f"until the end of {end}"] if end else [])]
    )


def _codes(stated: Any) -> Iterator[str]:
    for one in listed(stated):
        if isinstance(one, Mapping):
            codings = list(mappings(one.get("coding"))) or [one]
            yield "/".join(str(coding.get("code", "?")) for coding in codings)
        else:
            yield str(one)


def words_of(match: Match) -> str:
    """Return what a match covers, in words."""
    if not match:
        return "everything"
    return " and ".join(_said(name, stated) for name, stated in match.items())


def _said(name: str, stated: Any) -> str:
    match name:
        case "any":
            return "either (" + ") or (".join(words_of(one) for one in stated) + ")"
        case "all":
            return " and ".join(words_of(one) for one in stated)
        case "not":
            return "anything but (" + ") and (".join(words_of(one) for one in stated) + ")"
        case "dataPeriod":
            return "content " + _period(stated)
        case "data":
            return "content named by " + ", ".join(_data(stated))
        case "class":
            return "content of class " + ", ".join(_codes(stated))
        case "code":
            return "content coded " + ", ".join(_codes(stated))
        case _:
            return "content labelled " + ", ".join(_codes(stated))


def _data(stated: Any) -> Iterator[str]:
    for one in mappings(stated):
        yield f"{one.get('meaning', 'instance')} {name_of(one).shown}"


def _but(exceptions: Iterable[Match]) -> str:
    said = " or ".join(words_of(one) for one in exceptions)
    return f", except {said}" if said else ""
