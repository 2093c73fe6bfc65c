"""Creates that carry If-None-Exist: where it is understood a repeat makes no second copy."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rig import Rig
from scripted import Act, Received, Scripted, answer, raw

BODY = (
    b'{"resourceType":"CareTeam","id":"7",'
    b'"identifier":[{"system":"http://mercy.example/team","value":"7"}]}'
)
SEARCH = "identifier=http://mercy.example/team|7"


@dataclass
class Server:
    """Keep what is created, as a FHIR server does; refuse the condition with `refusal`."""

    refusal: int | None = None
    lost: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    copies: int = 0
    content: dict[int, bytes] = field(default_factory=dict)

    def __call__(self, request: Received, number: int) -> Act:
        if request.method == "PUT":
            return self._update(request)
        search = request.headers.get("if-none-exist")
        if search is not None and self.refusal is not None:
            return answer(self.refusal)
        found = self.kept.get(search or "")
        if found is not None:
            return answer(200, Location=f"CareTeam/{found}")
        self.copies += 1
        if search is not None:
            self.kept[search] = self.copies
        return raw(b"") if number < self.lost else answer(201, Location=f"CareTeam/{self.copies}")

    def _update(self, request: Received) -> Act:
        """Change the one resource that the search in the path finds."""
        found = self.kept[request.path.partition("?")[2]]
        self.content[found] = request.body
        return answer(200, Location=f"CareTeam/{found}")


def deliver(folder: Path, server: Server, conditional: bool = True) -> tuple[str, list[Received]]:
    """Deliver one resource by `create`; return the state it comes to, and what was sent."""

    async def run() -> tuple[str, list[Received]]:
        async with Scripted(server) as scripted, Rig(folder) as rig:
            more = {"interaction": "create", "conditional": conditional}
            rig.start(rig.destination("hub", scripted.url, **more))
            id = rig.enqueue("hub", body=BODY)
            await rig.until_true(lambda: bool(rig.attempts(id)))
            if rig.row(id).state == "waiting":
                rig.advance(5)
                await rig.until({id: "delivered"})
            return rig.row(id).state, scripted.received

    return asyncio.run(run())


def test_a_repeat_makes_no_second_copy(tmp_path: Path) -> None:
    """The answer to the first create is lost: the second finds what the first has made."""
    server = Server(lost=1)
    state, received = deliver(tmp_path, server)
    assert (state, server.copies) == ("delivered", 1)
    assert [request.headers["if-none-exist"] for request in received] == [SEARCH, SEARCH]


@pytest.mark.parametrize("refusal", [400, 412])
def test_a_condition_that_is_refused_makes_a_dead_letter(tmp_path: Path, refusal: int) -> None:
    """400 (not supported) and 412 (several match) are refusals: people must look at them."""
    server = Server(refusal=refusal)
    assert deliver(tmp_path, server)[0] == "dead"
    assert server.copies == 0


def test_a_server_that_knows_no_condition_gets_none(tmp_path: Path) -> None:
    """With `conditional: false` a server that would answer 400 takes the resource."""
    server = Server(refusal=400)
    assert deliver(tmp_path, server, conditional=False)[0] == "delivered"
    assert server.copies == 1


def test_a_later_version_replaces_the_first(tmp_path: Path) -> None:
    """The second version arrives where the first was created: one resource, its content new."""
    server = Server()

    async def run() -> None:
        async with Scripted(server) as scripted, Rig(tmp_path) as rig:
            rig.start(rig.destination("hub", scripted.url, interaction="create", conditional=True))
            for version, body in ((1, BODY), (2, BODY.replace(b'"id":"7"', b'"status":"active"'))):
                known = {"entity": "7", "version": version}
                id = rig.enqueue("hub", body=body, envelope=known)
                await rig.until({id: "delivered"})

    asyncio.run(run())
    assert server.copies == 1
    assert b"active" in server.content[1]
