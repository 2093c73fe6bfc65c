"""Which references and identifiers mean the same entity, in two systems and in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.transform.crosswalk import (
    Key,
    Links,
    Naming,
    SystemCrosswalk,
    conditional_key,
    identifier_key,
    identify,
    literal,
    new_entity,
    reference_key,
)
from engine.transform.references import Unresolved

MRN = "http://mercy.example/mrn"
NPI = "http://hl7.org/fhir/sid/us-npi"
NAMING = Naming(
    frozenset({MRN, NPI}),
    {"mercy": "http://mercy.example/fhir", "hub": "https://hub.example/fhir"},
)
ANY = frozenset[str]()
ADA = "a" * 32
PATIENT = reference_key("mercy", "Patient/1")
BY_MRN = Key("", "identifier", f"Patient|{MRN}|A1")
LINKS = Links().including({PATIENT: ADA, BY_MRN: ADA})


def crosswalk(system: str, links: Links = LINKS, **local: str) -> SystemCrosswalk:
    return SystemCrosswalk(system, NAMING, links, local)


def test_a_literal_reference_is_split() -> None:
    """Base, type, id and version of a literal reference are told apart, illegal `_` included."""
    found = literal("https://hub.example/fhir/Patient/a_1/_history/3")
    assert found is not None
    assert (found.base, found.local, found.version) == (
        "https://hub.example/fhir",
        "Patient/a_1",
        "3",
    )
    assert literal("urn:uuid:1") is None
    assert literal("#x") is None


def test_a_known_reference_becomes_the_entity_and_goes_back() -> None:
    """A known reference resolves to its entity, and to_dialect restores the very reference."""
    reference = {"reference": "Patient/1", "display": "A"}
    canonical = crosswalk("mercy").to_canonical(reference, ANY)
    assert canonical == {"reference": f"Patient/{ADA}", "display": "A"}
    assert isinstance(canonical, dict)
    assert crosswalk("mercy").to_dialect(canonical, ANY) == reference


def test_an_absolute_reference_at_the_sender_is_its_own() -> None:
    """`http://mercy.example/fhir/Patient/1` is the same as `Patient/1` of that system."""
    absolute = {"reference": "http://mercy.example/fhir/Patient/1"}
    assert crosswalk("mercy").to_canonical(absolute, ANY) == {"reference": f"Patient/{ADA}"}
    assert crosswalk("hub").to_canonical(absolute, ANY) == {"reference": f"Patient/{ADA}"}


def test_another_systems_local_id_is_not_mistaken() -> None:
    """`Patient/1` of another system is another person: it is unresolved, never guessed."""
    found = crosswalk("hub").to_canonical({"reference": "Patient/1"}, ANY)
    assert isinstance(found, Unresolved)
    assert found.key == "hub|reference|Patient/1"


def test_an_identifier_beside_an_unknown_reference_finds_the_entity() -> None:
    """A reference whose shared identifier is known resolves even where its id is not."""
    reference = {"reference": "Patient/77", "identifier": {"system": MRN, "value": "A1"}}
    found = crosswalk("hub").to_canonical(reference, ANY)
    assert isinstance(found, dict)
    assert found["reference"] == f"Patient/{ADA}"


def test_a_conditional_reference_resolves_by_its_identifier() -> None:
    """`Patient?identifier=system|value` is read as that identifier."""
    found = crosswalk("hub").to_canonical({"reference": f"Patient?identifier={MRN}|A1"}, ANY)
    assert found == {"reference": f"Patient/{ADA}"}
    assert conditional_key("Patient?name=x") is None


def test_an_unknown_conditional_practitioner_becomes_a_logical_reference() -> None:
    """A conditional reference to someone unknown keeps its meaning as an identifier."""
    found = crosswalk("mercy").to_canonical({"reference": f"Practitioner?identifier={NPI}|99"}, ANY)
    assert found == {"type": "Practitioner", "identifier": {"system": NPI, "value": "99"}}


def test_a_reference_outside_the_crosswalk_becomes_absolute_and_relative_again() -> None:
    """A Condition of the sender is never confused with one of the receiver."""
    found = crosswalk("mercy").to_canonical({"reference": "Condition/9"}, ANY)
    assert found == {"reference": "http://mercy.example/fhir/Condition/9"}
    assert isinstance(found, dict)
    assert crosswalk("mercy").to_dialect(found, ANY) == {"reference": "Condition/9"}
    assert crosswalk("hub").to_dialect(found, ANY) == found


def test_a_destination_that_knows_nobody_is_told_an_identifier_or_nothing() -> None:
    """Without its own reference a destination gets the shared identifier, else it is unresolved."""
    canonical = {"reference": f"Patient/{ADA}"}
    assert crosswalk("hub").to_dialect(canonical, ANY) == {
        "type": "Patient",
        "identifier": {"system": MRN, "value": "A1"},
    }
    bare = Links().including({PATIENT: ADA})
    assert isinstance(crosswalk("hub", bare).to_dialect(canonical, ANY), Unresolved)


def test_entries_of_the_message_resolve_by_full_url() -> None:
    """A urn:uuid names the entry that bears it; one that no entry bears is unresolved."""
    known = crosswalk("mercy", Links(), **{"urn:uuid:1": "Patient/e"})
    assert known.to_canonical({"reference": "urn:uuid:1"}, ANY) == {"reference": "Patient/e"}
    assert isinstance(known.to_canonical({"reference": "urn:uuid:2"}, ANY), Unresolved)


def test_contained_and_text_references_pass_unchanged() -> None:
    """`#x` and display-only references point at nothing outside."""
    for reference in ({"reference": "#x"}, {"display": "Grandmother"}):
        assert crosswalk("mercy").to_canonical(reference, ANY) == reference
        assert crosswalk("hub").to_dialect(reference, ANY) == reference


def test_disagreeing_identifiers_are_a_conflict() -> None:
    """Two keys of one resource that point at two entities are never merged by themselves."""
    links = Links().including({PATIENT: "a", BY_MRN: "b"})
    assert set(identify([BY_MRN, PATIENT], links.entities, PATIENT).conflict) == {"a", "b"}


def test_only_shared_identifier_systems_prove_identity() -> None:
    """A family's subscriber number does not make its members one person."""
    resource = {
        "resourceType": "Patient",
        "id": "1",
        "identifier": [
            {"system": "http://plan.example/subscriber", "value": "S1"},
            {"system": MRN, "value": "A1"},
        ],
    }
    assert NAMING.own_keys("mercy", resource) == [BY_MRN, PATIENT]


@given(st.lists(st.sampled_from([PATIENT, BY_MRN, Key("", "identifier", "Patient|x|2")])))
def test_the_same_keys_found_the_same_entity(keys: list[Key]) -> None:
    """Identity does not depend on machine, time or order of arrival of the same message."""
    first = identify(keys, {}, PATIENT)
    again = identify(keys, {}, PATIENT)
    assert first == again
    assert len(first.entity) == 32
    assert identify(keys, first.links, PATIENT).entity == first.entity


@given(st.text(min_size=1), st.text(min_size=1))
def test_identifier_keys_never_collide(system: str, value: str) -> None:
    """An identifier key keeps its type, so a Practitioner's number is no Patient's."""
    one = identifier_key("Patient", {"system": system, "value": value})
    other = identifier_key("Practitioner", {"system": system, "value": value})
    assert one is not None
    assert other is not None
    assert new_entity(one) != new_entity(other)
    assert Key.parse(str(one)) == one


def test_a_literal_alone_leads_where_the_whole_reference_does() -> None:
    """What is told of a bare literal, also a second time, is what the Reference would become."""
    links = LINKS.including({reference_key("hub", "Patient/9"): ADA})
    for literal_known, system in ((f"Patient/{ADA}", "hub"), (f"Patient/{ADA}", "mercy")):
        made = crosswalk(system, links)
        told = made.literal_to_dialect(literal_known)
        assert told == made.literal_to_dialect(literal_known)
        assert {"reference": told} == made.to_dialect({"reference": literal_known}, ANY)
    made = crosswalk("mercy", links, **{"urn:uuid:7": "Goal/g"})
    for own in ("Patient/1", "urn:uuid:7"):
        told = made.literal_to_canonical(own)
        assert {"reference": told} == made.to_canonical({"reference": own}, ANY)
    assert made.literal_to_canonical("Patient/2") is None
    assert made.literal_to_dialect(f"Organization/{ADA}") is None


def test_a_literal_to_a_sibling_is_never_told_alone() -> None:
    """Where a system keeps siblings, its references carry a mark, so the whole is asked for."""
    keeper = SystemCrosswalk("mercy", NAMING, LINKS, {}, frozenset({"Patient"}))
    assert keeper.literal_to_canonical("Patient/1") is None


def test_what_a_literal_means_is_remembered_for_its_system_alone() -> None:
    """The same text from two systems names two keys, however often either was read before."""
    for _ in range(2):
        assert NAMING.reference_keys("mercy", {"reference": "Patient/1"}) == (PATIENT,)
        assert NAMING.reference_keys("hub", {"reference": "Patient/1"}) == (
            reference_key("hub", "Patient/1"),
        )
    both = {"reference": "Patient/1", "identifier": {"system": MRN, "value": "A1"}}
    assert NAMING.reference_keys("mercy", both) == (PATIENT, BY_MRN)
    assert NAMING.reference_keys("mercy", {"reference": "Patient/1"}) == (PATIENT,)
