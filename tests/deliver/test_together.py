"""Several deliveries in one Bundle: each keeps its own decision, key, result and line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rig import Rig, permit, put
from scripted import Act, Received, Scripted, answer, raw, silence

from engine.deliver.answer import Reply
from engine.deliver.ports import Delivery, Permit, Ruling, Withhold
from engine.deliver.request import KEY_EXTENSION
from engine.deliver.together import read_together
from engine.store import Store, Transaction

Play = Callable[[Rig, Scripted], Awaitable[None]]
PROCESS = Path(__file__).parent.parent / "faults" / "process.py"


def play(folder: Path, script: Callable[[list[str], int], Act], acts: Play) -> Scripted:
    """Run `acts` with a destination that is told the ids of each Bundle."""

    async def run() -> Scripted:
        async with (
            Scripted(lambda request, number: script(ids(request), number)) as server,
            Rig(folder) as rig,
        ):
            await acts(rig, server)
            return server

    return asyncio.run(run())


def entries(request: Received) -> list[dict[str, Any]]:
    """Return the entries of a Bundle that was sent."""
    found: list[dict[str, Any]] = json.loads(request.body)["entry"]
    return found


def ids(request: Received) -> list[str]:
    """Return the ids of the resources of a Bundle that was sent."""
    return [entry["resource"]["id"] for entry in entries(request)]


def keys(request: Received) -> dict[str, str]:
    """Return the idempotency key of each resource of a Bundle that was sent."""
    found = {}
    for entry in entries(request):
        extensions = entry["request"].get("extension")
        if extensions is None:
            found[entry["resource"]["id"]] = request.headers["idempotency-key"]
        else:
            assert extensions[0]["url"] == KEY_EXTENSION
            found[entry["resource"]["id"]] = extensions[0]["valueString"]
    return found


def told(statuses: Mapping[str, str], named: list[str]) -> Act:
    """Return the act of answering a Bundle: 200 for each entry, unless `statuses` says else."""
    out = []
    for id in named:
        response: dict[str, Any] = {"status": statuses.get(id, "200 OK")}
        if id in statuses:
            issue = {"severity": "error", "code": "invalid", "diagnostics": "a value"}
            response["outcome"] = {"resourceType": "OperationOutcome", "issue": [issue]}
        else:
            response["location"] = f"CareTeam/own-{id}/_history/1"
        out.append({"response": response})
    body = {"resourceType": "Bundle", "type": "batch-response", "entry": out}
    return answer(200, json.dumps(body).encode())


def hub(rig: Rig, server: Scripted, **more: Any) -> Any:
    """Return a destination that takes five deliveries in a Bundle."""
    return rig.destination("hub", server.url, **{"interaction": "batch", "batch": 5, **more})


def test_what_waits_for_several_members_goes_in_one_bundle(tmp_path: Path) -> None:
    """One request, an entry for each, each under its delivery's own key and with its own result."""
    own: list[tuple[str, str | None]] = []

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(4)]
        rig.start(
            hub(rig, server),
            delivered=lambda _tx, delivery, name: own.append((delivery.id, name)),
        )
        await rig.until(dict.fromkeys(sent, "delivered"))
        rows = [rig.row(id) for id in sent]
        assert sorted(keys(server.received[0]).values()) == [row.idempotency_key for row in rows]
        assert [len(rig.attempts(id)) for id in sent] == [1, 1, 1, 1]
        assert {name for _, name in own} == {f"CareTeam/own-{row.message_id}" for row in rows}

    server = play(tmp_path, lambda named, _: told({}, named), acts)
    assert len(server.received) == 1
    assert json.loads(server.received[0].body)["type"] == "batch"


def test_no_bundle_is_larger_than_configured(tmp_path: Path) -> None:
    """Seven deliveries go in a Bundle of five and one of two."""

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(7)]
        rig.start(hub(rig, server))
        await rig.until(dict.fromkeys(sent, "delivered"))

    server = play(tmp_path, lambda named, _: told({}, named), acts)
    assert sorted(len(entries(request)) for request in server.received) == [2, 5]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_failing_entry_stops_only_its_own_member(tmp_path: Path, place: int) -> None:
    """The poison's line stands, with the codes of its own outcome; the others arrived, once."""

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(3)]
        behind = rig.enqueue("hub", f"m{place}")
        poison = rig.row(sent[place]).message_id
        server.script = lambda request, _: told({poison: "422 No"}, ids(request))
        rig.start(hub(rig, server))
        await rig.until({**dict.fromkeys(sent, "delivered"), sent[place]: "dead"})
        assert rig.row(behind).state == "waiting"
        [attempt] = rig.attempts(sent[place])
        assert (attempt.status, attempt.outcome) == (422, "D007")
        assert "a value" not in str(attempt.note)

    assert len(play(tmp_path, lambda named, _: told({}, named), acts).received) == 1


@pytest.mark.parametrize("refusal", [answer(400), answer(500), answer(413), raw(b"")])
@pytest.mark.parametrize("interaction", ["batch", "transaction"])
def test_what_is_refused_together_goes_alone(
    tmp_path: Path, interaction: str, refusal: Act
) -> None:
    """A Bundle refused as a whole names nobody: each is sent alone, only the poison is left."""

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(3)]
        poison = rig.row(sent[0]).message_id

        def script(request: Received, _number: int) -> Act:
            named = ids(request)
            if len(named) > 1:
                return refusal
            return answer(400) if named == [poison] else answer(200)

        server.script = script
        rig.start(hub(rig, server, interaction=interaction))
        await rig.until({sent[0]: "dead", sent[1]: "delivered", sent[2]: "delivered"})
        together, *alone = server.received
        assert len(alone) == 3
        for request in alone:
            assert keys(request).items() <= keys(together).items()
        assert rig.attempts(sent[1])[0].outcome == "D013"

    play(tmp_path, lambda named, _: told({}, named), acts)


def test_a_destination_that_is_down_gets_them_together_again(tmp_path: Path) -> None:
    """503 speaks of the destination: the same entries come again, under the same keys."""

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(3)]
        rig.start(hub(rig, server))
        await server.count(1)
        await rig.until_true(lambda: all(rig.attempts(id) for id in sent))
        rig.advance(5)
        await rig.until(dict.fromkeys(sent, "delivered"))

    server = play(tmp_path, lambda named, number: told({}, named) if number else answer(503), acts)
    assert [keys(request) for request in server.received[:1]] == [keys(server.received[1])]
    names = {request.headers["idempotency-key"] for request in server.received}
    assert len(names) == 1


def test_a_batch_that_says_nothing_of_its_entries_is_not_believed(tmp_path: Path) -> None:
    """200 without entries may hide a failure: each goes alone; a transaction has happened."""

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(2)]
        rig.start(hub(rig, server))
        await rig.until(dict.fromkeys(sent, "delivered"))

    server = play(tmp_path, lambda _named, _: answer(200), acts)
    assert [len(entries(request)) for request in server.received] == [2, 1, 1]


def test_a_transaction_that_is_answered_has_happened(tmp_path: Path) -> None:
    """A server that returns nothing after a transaction has taken all of it."""

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(2)]
        rig.start(hub(rig, server, interaction="transaction"))
        await rig.until(dict.fromkeys(sent, "delivered"))

    server = play(tmp_path, lambda _named, _: answer(200), acts)
    assert [json.loads(r.body)["type"] for r in server.received] == ["transaction"]


def test_each_is_decided_by_itself(tmp_path: Path) -> None:
    """What the decision withholds does not travel in another's company."""

    def judge(tx: Transaction, delivery: Delivery) -> Permit | Withhold:
        if delivery.member == "m1":
            return Withhold("consent-withdrawn", Ruling("deny", "consent-revoked", {}))
        return permit(tx, delivery)

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}") for n in range(3)]
        rig.start(hub(rig, server), judge=judge)
        await rig.until({sent[0]: "delivered", sent[1]: "held", sent[2]: "delivered"})
        assert rig.row(sent[1]).message_id not in ids(server.received[0])

    play(tmp_path, lambda named, _: told({}, named), acts)


def test_one_member_keeps_its_order(tmp_path: Path) -> None:
    """Of one line only the first is in a Bundle; the next follows when that has arrived."""

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", "m1") for _ in range(3)]
        rig.start(hub(rig, server))
        await rig.until(dict.fromkeys(sent, "delivered"))
        expected = [[rig.row(id).message_id] for id in sent]
        assert [ids(request) for request in server.received] == expected

    play(tmp_path, lambda named, _: told({}, named), acts)


def test_a_resource_stands_in_a_bundle_once(tmp_path: Path) -> None:
    """The same resource in the lines of two members goes in two Bundles."""
    body = b'{"resourceType":"Practitioner","id":"shared"}'

    async def acts(rig: Rig, server: Scripted) -> None:
        sent = [rig.enqueue("hub", f"m{n}", body) for n in range(2)]
        rig.start(hub(rig, server))
        await rig.until(dict.fromkeys(sent, "delivered"))

    server = play(tmp_path, lambda named, _: told({}, named), acts)
    assert [ids(request) for request in server.received] == [["shared"], ["shared"]]


def test_what_has_no_id_is_a_dead_letter_by_itself(tmp_path: Path) -> None:
    """It cannot be written by PUT, and takes nobody with it."""

    async def acts(rig: Rig, server: Scripted) -> None:
        bad = rig.enqueue("hub", "m0", b'{"resourceType":"CareTeam"}')
        good = [rig.enqueue("hub", f"m{n}") for n in (1, 2)]
        rig.start(hub(rig, server))
        await rig.until({bad: "dead", **dict.fromkeys(good, "delivered")})
        assert rig.row(bad).reason == "D008"

    play(tmp_path, lambda named, _: told({}, named), acts)


@pytest.mark.parametrize(
    ("status", "result", "code"),
    [
        ("201 Created", "accepted", None),
        ("409", "again", "D006"),
        ("503 Busy", "again", "D004"),
        ("412", "refused", "D007"),
        ("", "again", "D013"),
        ("soon", "again", "D013"),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_an_entry_counts_as_an_answer_of_its_own(
    status: str, result: str, code: str | None, place: int
) -> None:
    """The status of each entry is read by the table of single answers, wherever it stands."""
    statuses = ["200"]
    statuses.insert(place, status)
    answers = read_together(Reply(200, {}, bundle(*statuses)), ["CareTeam"] * 2, 0.0, "batch")
    assert answers[1 - place].result == "accepted"
    assert (answers[place].result, answers[place].code) == (result, code)


def bundle(*statuses: str) -> bytes:
    """Return the answer to a Bundle as bytes: an entry for each status, none for an empty one."""
    entry = [{"response": {"status": status} if status else {}} for status in statuses]
    return json.dumps({"resourceType": "Bundle", "entry": entry}).encode()


@pytest.mark.parametrize(
    ("reply", "result", "code"),
    [
        (Reply(200, {}, bundle("503 Busy")), "again", "D004"),
        (Reply(200, {}, bundle("422")), "refused", "D007"),
        (Reply(200, {}, bundle("soon")), "refused", "D007"),
        (Reply(200, {}, bundle("")), "accepted", None),
        (Reply(200), "accepted", None),
        (Reply(200, cut=True), "again", "D003"),
    ],
)
def test_a_batch_of_one_is_never_sent_alone_once_more(
    reply: Reply, result: str, code: str | None
) -> None:
    """What came alone has its own answer: its entry's, or that for the whole."""
    [answer] = read_together(reply, ["CareTeam"], 0.0, "batch")
    assert (answer.result, answer.code) == (result, code)


def test_the_id_of_the_answer_is_no_reference_of_the_one_entry() -> None:
    """Where the only entry came to stand is told by its location, with a status or without."""
    response = {"location": "CareTeam/17/_history/1"}
    body = {"resourceType": "Bundle", "id": "b1", "entry": [{"response": response}]}
    told = read_together(Reply(200, {}, json.dumps(body).encode()), ["CareTeam"], 0.0, "batch")
    assert [answer.own for answer in told] == ["CareTeam/17"]


def test_half_an_answer_to_a_batch_has_each_sent_again_and_to_a_transaction_none() -> None:
    """A batch says in its body what became of it; a transaction says it by its status."""
    cut, types = Reply(200, cut=True), ["CareTeam"] * 2
    assert [answer.code for answer in read_together(cut, types, 0.0, "batch")] == ["D013"] * 2
    told = read_together(cut, types, 0.0, "transaction")
    assert [answer.result for answer in told] == ["accepted"] * 2


def test_a_worker_killed_behind_its_bundle_sends_it_again_under_the_same_keys(
    tmp_path: Path,
) -> None:
    """SIGKILL after the Bundle was read: the successor's entries carry the keys they had."""
    url = f"sqlite:///{tmp_path / 'record.db'}"

    def script(request: Received, number: int) -> Act:
        return silence if number == 0 else told({}, ids(request))

    def fill(tx: Transaction) -> list[str]:
        for n in range(3):
            consent = b'{"resourceType":"Consent","id":"m%d","status":"active"}' % n
            tx.resources.put("Consent", f"m{n}", consent, member=f"m{n}", system="mercy")
        return [put(tx, f"message-{n}", "hub", f"m{n}") for n in range(3)]

    async def start(server: Scripted) -> asyncio.subprocess.Process:
        given = {"name": "w", "store": url, "destinations": {"hub": server.url}, "batch": 5}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, str(PROCESS), json.dumps(given), stdin=pipe, stdout=pipe
        )

    async def run(store: Store, sent: list[str]) -> Scripted:
        async with Scripted(script) as server:
            first = await start(server)
            await server.count(1)
            first.kill()
            await first.wait()
            second = await start(server)
            try:
                async with asyncio.timeout(60):
                    while True:
                        seen = store.signal.seen
                        rows = [store.read(lambda tx, i=i: tx.deliveries.get(i)) for i in sent]
                        if all(row and row.state == "delivered" for row in rows):
                            return server
                        await store.signal.arrived(seen, 1)
            finally:
                with suppress(ProcessLookupError):
                    second.kill()
                await second.wait()

    with Store.open(url) as store:
        sent = store.write(fill).result()
        server = asyncio.run(run(store, sent))
        first, second = keys(server.received[0]), {}
        for request in server.received[1:]:
            second.update(keys(request))
        assert first == second
        assert len(first) == 3
        for id in sent:
            verdicts = store.read(lambda tx, id=id: tx.decisions.of_delivery(id))
            assert [verdict.decision for verdict in verdicts] == ["permit", "permit"]
