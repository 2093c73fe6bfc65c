"""An answer that is given again is the one that would be found by deciding anew."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from worlds import MOMENTS, PERIODS, REASON, WORLDS, World

from engine.rules.answers import Answers
from engine.rules.consent.compile import CompiledConsent, compile_consent
from engine.rules.consent.directory import Directories
from engine.rules.consent.policy import Policy
from engine.rules.consent.question import instant
from engine.rules.decision import Decision
from engine.rules.request import asked_about, read_for
from engine.rules.security_label import INLINE_LABEL
from engine.rules.sensitivity import read_table
from engine.rules.told import Told, told_by

LEVEL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
MERCY = {"reference": "Organization/1", "identifier": {"system": "urn:npi", "value": "1"}}
HUB = {"type": "Organization", "reference": "Organization/2"}
TABLE = read_table()[0]
Resource = dict[str, Any]
WAY: dict[str, Any] = {
    "sender_system": MERCY,
    "recipient_systems": [HUB],
    "purpose": [{"system": REASON, "code": "COC"}],
}


def provision(make: World) -> Resource:
    """Make a provision that may speak of parties, times, purposes and content."""
    role = {"coding": [{"code": make.one("IRCP", "IRCP", "performer")}]}
    party = make.reference("Organization", "Practitioner", "Group")
    return {
        "type": make.one("permit", "permit", "deny"),
        **make.maybe(
            actor=[{"role": role, "reference": party}],
            period=make.one(*PERIODS),
            purpose=[{"code": make.one("TREAT", "COC")}],
            securityLabel=[{"system": LEVEL, "code": make.one("N", "R")}],
            code=[make.concept()],
            dataPeriod={"start": "2024-06", "end": make.one("2025", "2026-05")},
        ),
    }


def consent(make: World, number: int) -> Resource:
    signed = make.one("2026-01-01", "2026-05-01", "2026-05-01T10:00:00Z", "2026-03-01", None)
    regular = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition-hrex-consent.html#regular"
    return {
        "resourceType": "Consent",
        "id": f"c{number}",
        "status": make.one("active", "active", "active", "rejected"),
        "scope": {"coding": [{"code": make.one("patient-privacy", "patient-privacy", "research")}]},
        "patient": {"reference": "Patient/1"},
        "performer": [make.one({"reference": "Patient/1"}, {"reference": "RelatedPerson/1"})],
        "sourceAttachment": {"url": "https://mercy.example/form"},
        "policy": [{"uri": make.one("urn:a", "urn:b", regular)}],
        "provision": {**provision(make), **make.maybe(provision=[provision(make)])},
        **({"dateTime": signed} if signed else {}),
        **make.maybe(period=make.one(*PERIODS)),
    }


def guardian(make: World) -> Resource:
    code = make.one("GUARD", "MTH")
    return {
        "resourceType": "RelatedPerson",
        "id": "1",
        "patient": {"reference": "Patient/1"},
        "relationship": [{"coding": [{"code": code}]}],
        **make.maybe(period=make.one(*PERIODS)),
    }


def policy(make: World) -> Policy:
    return Policy(
        unlabelled=make.one("withhold", "pass"),
        combine=make.one("deny-overrides", "newest", "any-permit"),
        partial_recipients=make.one("reject", "drop"),
        majority_age=make.one(11, 18),
        zone=make.one("UTC", "America/Chicago"),
    )


class Desk:
    """Ask about messages of one member with one memory, as the road does."""

    def __init__(self, make: World) -> None:
        self.answers, self.directories = Answers(), Directories()
        self.people = [*make.people(), guardian(make)]
        self.policies = [policy(make), policy(make)]
        made = [consent(make, number) for number in range(make.one(1, 1, 2))]
        self.consents = {
            zone: [compile_consent(one, zone) for one in made]
            for zone in ("UTC", "America/Chicago")
        }

    def ask(self, answers: Answers, told: Told, at: str, under: Policy) -> Decision:
        directory = self.directories.of(self.people, instant(at, under), under.zone)
        consents = self.consents[under.zone]
        return answers.answer(told, consents, directory, at=at, policy=under, **WAY)


def shown(decision: Decision) -> Any:
    return decision, decision.to_json(), decision.record("hub"), decision.consents


@settings(max_examples=800)
@given(WORLDS)
def test_an_answer_given_again_is_the_one_found_anew(make: World) -> None:
    """Whatever was asked before, of whom, when and under which policy: nothing else comes out."""
    desk = Desk(make)
    library = [*desk.people, make.condition("1")]
    messages = [make.message() for _ in range(2)]
    messages += [{**one, "payload": [make.entry()]} for one in messages]
    messages += [{**one, "sent": make.one(*MOMENTS)} for one in messages]
    for _ in range(8):
        told = told_by(make.one(*messages), library, table=TABLE)
        at, under = make.one(*MOMENTS), make.one(*desk.policies)
        kept = desk.ask(desk.answers, told, at, under)
        assert shown(kept) == shown(desk.ask(Answers(), told, at, under))


def message(**more: Any) -> Resource:
    return {
        "resourceType": "Communication",
        "id": "x",
        "subject": {"reference": "Patient/1"},
        "recipient": [{"reference": "Organization/2"}],
        "payload": [{"contentString": "words"}],
        **more,
    }


PEOPLE: list[Resource] = [
    {"resourceType": "Patient", "id": "1", "birthDate": "2008-05-01"},
    {"resourceType": "Organization", "id": "2"},
]
GIVEN: Resource = {
    "resourceType": "Consent",
    "id": "c",
    "status": "active",
    "scope": {"coding": [{"code": "patient-privacy"}]},
    "patient": {"reference": "Patient/1"},
    "dateTime": "2026-01-01",
    "period": {"end": "2026-06-30"},
    "performer": [{"reference": "Patient/1"}],
    "sourceAttachment": {"url": "https://mercy.example/form"},
    "provision": {
        "type": "permit",
        "provision": [{"type": "deny", "securityLabel": [{"system": LEVEL, "code": "R"}]}],
    },
}
COMPILED = compile_consent(GIVEN)
POLICY = Policy()
AT = "2026-03-01T10:00:00Z"


class Registry:
    """Ask about one member; each argument is what a message, or the record, has in its place."""

    def __init__(self) -> None:
        self.answers, self.directories = Answers(most=10), Directories()

    def asked(
        self,
        resource: Resource,
        at: str = AT,
        consents: list[CompiledConsent] | None = None,
        people: list[Resource] = PEOPLE,
        policy: Policy = POLICY,
    ) -> Decision:
        directory = self.directories.of(people, instant(at, policy), policy.zone)
        told = told_by(resource, people, table=TABLE)
        given = [COMPILED] if consents is None else consents
        return self.answers.answer(told, given, directory, at=at, policy=policy, **WAY)


def again(one: Decision, other: Decision) -> bool:
    """Tell whether two decisions are one answer: only then they share what they rest on."""
    return one.basis is other.basis


def test_the_next_message_gets_the_answer_of_the_first() -> None:
    """Other words, another second and another day of sending ask no new question."""
    registry = Registry()
    first = registry.asked(message())
    later = {"payload": [{"contentString": "others"}], "id": "y", "sent": "2026-02-01"}
    second = registry.asked(message(**later), at="2026-04-30T10:00:00Z")
    assert first.permitted
    assert again(first, second)
    assert second.at == "2026-04-30T10:00:00Z"
    assert second.record("hub") == {**first.record("hub"), "at": second.at}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"consents": [compile_consent(GIVEN)]}, id="another version of the consent"),
        pytest.param({"consents": []}, id="no consent any more"),
        pytest.param({"people": copy.deepcopy(PEOPLE)}, id="people written anew"),
        pytest.param({"policy": Policy(signature="ignored")}, id="another policy"),
        pytest.param({"at": "2026-07-01T00:00:00Z"}, id="the consent's period is over"),
        pytest.param({"at": "2026-05-02T10:00:00Z"}, id="the member has come of age"),
        pytest.param({"resource": message(sent="2025-12-31")}, id="sent before it was signed"),
        pytest.param({"resource": message(sender={"reference": "Organization/9"})}, id="sender"),
        pytest.param({"resource": message(subject={"reference": "Patient/2"})}, id="member"),
        pytest.param(
            {"resource": message(meta={"security": [{"system": LEVEL, "code": "R"}]})}, id="label"
        ),
        pytest.param(
            {"resource": message(meta={"security": [{"system": REASON, "code": "HMARKT"}]})},
            id="purpose",
        ),
        pytest.param(
            {"resource": message(contained=[{"resourceType": "Organization", "id": "o"}])},
            id="something contained",
        ),
    ],
)
def test_a_change_in_what_it_rests_on_asks_anew(changed: dict[str, Any]) -> None:
    """Any other consent, person, policy, turn of time, party or label makes a new answer."""
    registry = Registry()
    first = registry.asked(message())
    assert not again(first, registry.asked(**{"resource": message(), **changed}))
    assert again(first, registry.asked(message()))


def test_two_names_of_one_recipient_are_told_of_once() -> None:
    """Whom a message and its route both name is ruled on once, and the record says so once."""
    named: Resource = {"reference": "Organization/2"}
    plan = {"system": "urn:npi", "value": "2"}
    people = [PEOPLE[0], {**PEOPLE[1], "identifier": [plan]}]
    both = message(recipient=[named, {**named, "identifier": plan}])
    decision = Registry().asked(both, people=people)
    alone = Registry().asked(message(), people=people)
    assert (len(decision.recipients), len(alone.recipients)) == (2, 1)
    assert [one.why for one in decision.considered] == [one.why for one in alone.considered]


def test_what_could_not_be_decided_is_never_kept() -> None:
    """A consent that failed to be evaluated for one message may do better for the next."""
    registry = Registry()
    unclear = {**GIVEN, "modifierExtension": [{"url": "urn:x"}]}
    consents = [compile_consent(unclear)]
    first = registry.asked(message(), consents=consents)
    assert first.code == "consent-unclear"
    assert not again(first, registry.asked(message(), consents=consents))


def test_answers_are_kept_within_bounds() -> None:
    """However many questions come, only so many answers are held."""
    registry = Registry()
    first = registry.asked(message())
    for number in range(10):
        registry.asked(message(sender={"reference": f"Organization/{number}"}))
    assert not again(first, registry.asked(message()))


def test_few_answers_are_kept_to_one_question() -> None:
    """Where every message has content of its own that a consent asks about, the oldest goes."""
    registry = Registry()
    registry.answers = Answers()
    labels = [{"url": INLINE_LABEL, "valueCoding": {"system": "urn:x", "code": "0"}}]
    first = registry.asked(message(payload=[{"contentString": "words", "extension": labels}]))
    assert again(first, registry.asked(message(payload=[{"extension": labels}])))
    for number in range(1, 9):
        other = copy.deepcopy(labels)
        other[0]["valueCoding"] = {"system": "urn:x", "code": str(number)}
        registry.asked(message(payload=[{"contentString": "words", "extension": other}]))
    assert not again(first, registry.asked(message(payload=[{"extension": labels}])))


@settings(max_examples=500)
@given(WORLDS)
def test_what_reads_alike_asks_alike(make: World) -> None:
    """Two messages of one text for the parties ask the same of everybody."""
    first, second = make.message(), make.message()
    second = make.one(second, {**first, "payload": [make.entry()], "sent": "2026-01-01"})
    if (read := read_for(first, **WAY)) is None or read != read_for(second, **WAY):
        return
    people = make.people()
    asked = [asked_about(told_by(one, people), **WAY, policy=POLICY) for one in (first, second)]
    for name in ("patient", "senders", "recipients", "purposes", "category", "stated"):
        assert getattr(asked[0], name) == getattr(asked[1], name)
