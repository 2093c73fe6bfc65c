"""Units, resources, decisions and the crosswalk: kept, found again, never lost."""

from __future__ import annotations

import pytest
from desk import Desk
from msgspec.structs import replace

from engine.errors import StoreError
from engine.store import AttemptRow, UnitRow
from engine.transform.crosswalk import Key

MERCY = Key("mercy", "reference", "Patient/123")
HUB = Key("hub", "reference", "Patient/77")
MRN = Key("", "identifier", "Patient|http://mercy.example/mrn|A1")


def unit(desk: Desk, id: str) -> UnitRow:
    row = desk.store.read(lambda tx: tx.units.get(id))
    assert row is not None
    return row


def test_unit_comes_back_as_it_was_stored(desk: Desk) -> None:
    """All that a unit says is read back, lists and notes included."""
    known = {
        "member": "m1",
        "resource": "CareTeam/c1",
        "version": 3,
        "notes": ({"code": "K001"},),
        "mapping": "us-core/careteam",
        "mapping_version": "2",
        "mapping_hash": "abc",
    }
    _, id = desk.unit(**known)
    row = unit(desk, id)
    assert {name: getattr(row, name) for name in known} == known


def test_held_unit_is_found_by_what_it_waits_for(desk: Desk) -> None:
    """Each key of a held unit leads to it, until it is released."""
    _, id = desk.unit(state="held", reason="crosswalk-unknown", waiting_on=("a", "b"))
    desk.unit(state="held", reason="other", waiting_on=("c",))

    def waiting(key: str) -> list[str]:
        return [row.id for row in desk.store.read(lambda tx: tx.units.waiting_for([key]))]

    assert waiting("a") == waiting("b") == [id]
    released = replace(unit(desk, id), state="routed", reason=None, waiting_on=())
    assert desk.write(lambda tx: tx.units.move(released, "held")) is True
    assert desk.write(lambda tx: tx.units.move(released, "held")) is False
    assert waiting("a") == []
    assert desk.store.read(lambda tx: tx.units.counts()) == {"other": 1}


def test_unit_moves_only_along_the_state_table(desk: Desk) -> None:
    """A routed unit stays routed."""
    _, id = desk.unit()
    back = replace(unit(desk, id), state="held")
    with pytest.raises(StoreError, match="routed to held"):
        desk.write(lambda tx: tx.units.move(back, "routed"))


def test_resource_keeps_every_version(desk: Desk) -> None:
    """A new version becomes current; the old ones stay readable as they were."""
    for body in (b'{"v": 1.0}', b'{"v": 1.00}'):
        version = desk.write(
            lambda tx, b=body: tx.resources.put("Consent", "c", b, member="m", system="mercy")
        )
    assert version == 2
    current = desk.store.read(lambda tx: tx.resources.get("Consent", "c"))
    old = desk.store.read(lambda tx: tx.resources.version("Consent", "c", 1))
    assert current is not None
    assert old is not None
    assert (current.body, old.body) == (b'{"v": 1.00}', b'{"v": 1.0}')
    assert old.reference == "Consent/c/_history/1"
    versions = desk.store.read(lambda tx: tx.resources.versions("Consent", "c"))
    assert [row.version for row in versions] == [1, 2]


def test_registry_holds_the_consents_of_one_member(desk: Desk) -> None:
    """Consents of a member are found under every id the member had; deleted ones are not."""

    def put(id: str, member: str, **known: bool) -> None:
        desk.write(
            lambda tx: tx.resources.put(
                "Consent", id, b"{}", member=member, system="mercy", **known
            )
        )

    put("c1", "m1")
    put("c2", "m2")
    put("c3", "m3")
    put("c4", "m1", deleted=True)
    found = desk.store.read(lambda tx: tx.resources.consents(["m1", "m2"]))
    assert [row.id for row in found] == ["c1", "c2"]


def test_decisions_and_attempts_are_kept_in_order(desk: Desk) -> None:
    """What was decided and tried is found by unit and by delivery."""
    row = desk.enqueue()

    def work(tx) -> None:
        for verdict in ("permit", "deny"):
            tx.decisions.add(
                row.unit_id,
                verdict,
                code=None,
                body={"decision": verdict},
                at=tx.now,
                delivery=row.id,
            )
        for number in (1, 2):
            tx.attempts.add(AttemptRow(row.id, number, tx.now, tx.now, 503, "D004"))
        tx.attempts.add(AttemptRow(row.id, 2, tx.now, tx.now, 200, "delivered"))

    desk.write(work)
    decisions = desk.store.read(lambda tx: tx.decisions.of_delivery(row.id))
    assert [one.body["decision"] for one in decisions] == ["permit", "deny"]
    assert desk.store.read(lambda tx: tx.decisions.of_unit(row.unit_id)) == decisions
    attempts = desk.store.read(lambda tx: tx.attempts.of_delivery(row.id))
    assert [(one.number, one.status) for one in attempts] == [(1, 503), (2, 503)]


def link(desk: Desk, links: dict[Key, str]) -> dict[Key, str]:
    return desk.write(lambda tx: tx.crosswalk.link(links, source="mercy"))


def test_links_lead_to_their_entity(desk: Desk) -> None:
    """Every key of an entity resolves to it; an unknown key to nothing."""
    assert link(desk, {MERCY: "e1", MRN: "e1"}) == {}
    found = desk.store.read(lambda tx: tx.crosswalk.resolve([MERCY, MRN, HUB]))
    assert found == {MERCY: "e1", MRN: "e1"}
    known = desk.store.read(lambda tx: tx.crosswalk.known(["e1", "e2"]))
    assert set(known["e1"]) == {MERCY, MRN}
    assert known["e2"] == []


def test_taken_key_is_left_alone_and_told(desk: Desk) -> None:
    """Linking a key that points elsewhere changes nothing and says where it points."""
    link(desk, {MRN: "e1"})
    assert link(desk, {MRN: "e2", HUB: "e2"}) == {MRN: "e1"}
    assert desk.store.read(lambda tx: tx.crosswalk.resolve([MRN])) == {MRN: "e1"}


def test_merged_entities_stay_resolvable(desk: Desk) -> None:
    """After a merger both ids and all keys mean the one that stayed, over several steps too."""
    link(desk, {MERCY: "e1"})
    link(desk, {HUB: "e2"})
    link(desk, {MRN: "e3"})
    desk.write(lambda tx: tx.crosswalk.merge("e2", "e1"))
    desk.write(lambda tx: tx.crosswalk.merge("e3", "e1"))
    found = desk.store.read(lambda tx: tx.crosswalk.resolve([MERCY, HUB, MRN]))
    assert set(found.values()) == {"e3"}
    assert desk.store.read(lambda tx: tx.crosswalk.same("e1")) == ("e3", "e1", "e2")
    assert desk.store.read(lambda tx: len(tx.crosswalk.of_entity("e2"))) == 3
    assert desk.store.read(lambda tx: len(tx.crosswalk.of_entity("e2", "hub"))) == 2
    assert link(desk, {HUB: "e1"}) == {}


def test_unlike_entities_are_never_merged(desk: Desk) -> None:
    """A member and an organization cannot be the same, nor can what nobody knows."""
    link(desk, {MERCY: "e1", Key("", "identifier", "Organization|npi|1"): "o1"})
    for other in ("o1", "unknown"):
        with pytest.raises(StoreError):
            desk.write(lambda tx, o=other: tx.crosswalk.merge("e1", o))


@pytest.mark.parametrize("asked", ["A1", "http://mercy.example/mrn|A1", MRN.value])
def test_people_find_links_by_what_they_know(desk: Desk, asked: str) -> None:
    """A bare value, a system with value, or the whole key find the same link."""
    link(desk, {MRN: "e1", MERCY: "e1"})
    found = desk.store.read(lambda tx: tx.crosswalk.find(asked))
    assert [row.key for row in found] == [MRN]
