"""`carelane doctor`: it sees what is wrong from outside, and changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
import town as places
from typer.testing import CliRunner

from engine import doctor
from engine.cli import build
from engine.message import Message
from engine.store import PLAIN, Store, Transaction, UnitRow, Vault
from engine.store.inspection import Inspected
from engine.store.vault import new_key
from engine.testing import ManualClock


def asked(project_systems: object, clock: ManualClock, answer: object) -> dict[str, doctor.Finding]:
    """Return what is found about systems that answer so."""
    transport = httpx.MockTransport(answer)  # type: ignore[arg-type]
    found = asyncio.run(doctor.system_findings(project_systems, clock, transport))  # type: ignore[arg-type]
    return {finding.what: finding for finding in found}


def test_systems_are_reached_and_their_clocks_compared() -> None:
    """A system that answers is fine; one whose clock is an hour off is a problem."""
    clock = ManualClock()
    systems = places.loaded().config.systems
    hour = {"mercy": 0.0, "hub": 3600.0}

    def answer(request: httpx.Request) -> httpx.Response:
        name = next(n for n, s in systems.items() if str(request.url).startswith(s.base_url))
        date = formatdate(clock.time() + hour[name], usegmt=True)
        return httpx.Response(200, headers={"Date": date})

    found = asked(systems, clock, answer)
    assert (found["system mercy"].grade, found["clock of mercy"].grade) == ("ok", "ok")
    assert found["clock of hub"].grade == "problem"


@pytest.mark.parametrize(("status", "said"), [(401, "token"), (None, "cannot be reached")])
def test_systems_that_fail_are_named(status: int | None, said: str) -> None:
    """A refused token and a dead address are problems with a remedy."""

    def answer(request: httpx.Request) -> httpx.Response:
        if status is None:
            raise httpx.ConnectError("down")
        return httpx.Response(status)

    found = asked(places.loaded().config.systems, ManualClock(), answer)
    assert {one.grade for one in found.values()} == {"problem"}
    assert all(said in one.said and one.remedy for one in found.values())


class Endless(httpx.AsyncByteStream):
    """Never end, and never say anything."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""


def test_an_answer_without_end_is_an_answer() -> None:
    """Of an answer only its head is read, however slowly the rest would come."""
    found = asked(
        places.loaded().config.systems,
        ManualClock(),
        lambda _: httpx.Response(200, stream=Endless()),
    )
    assert {one.said for name, one in found.items() if name.startswith("system ")} == {
        "answers (200)"
    }


@pytest.mark.parametrize("error", [OverflowError("port"), UnicodeError("token"), OSError("no")])
def test_a_system_that_cannot_be_asked_hides_no_other(error: Exception) -> None:
    """An address or a token of which no request can be made is a problem of that system."""
    systems = places.loaded().config.systems

    def answer(request: httpx.Request) -> httpx.Response:
        if str(request.url).startswith(systems["mercy"].base_url):
            raise error
        return httpx.Response(200)

    found = asked(systems, ManualClock(), answer)
    assert found["system mercy"].grade == "problem"
    assert type(error).__name__ in found["system mercy"].said
    assert found["system hub"].grade == "ok"


def test_database_and_schema(tmp_path: Path) -> None:
    """A record is looked at without being made, migrated or changed."""
    url, clock = f"sqlite:///{tmp_path}/record.db", ManualClock()
    grades = {one.what: one.grade for one in doctor.store_findings(url, clock)}
    assert grades["database"] == "ok"
    assert not (tmp_path / "record.db").exists()
    Store.open(url).close()
    before = (tmp_path / "record.db").read_bytes()
    found = {one.what: one for one in doctor.store_findings(url, clock)}
    assert found["schema"].said.startswith("up to date")
    assert (tmp_path / "record.db").read_bytes() == before
    (tmp_path / "record.db").write_bytes(b"this is no database, whatever it was before")
    found = {one.what: one for one in doctor.store_findings(url, clock)}
    assert found["database"].grade == "problem"


def test_a_database_that_is_not_there_is_told() -> None:
    """An address at which nobody answers is a problem, not a traceback."""
    url = "postgresql://nobody@127.0.0.1:9/none"
    (found,) = doctor.store_findings(url, ManualClock())
    assert (found.what, found.grade) == ("database", "problem")


@pytest.mark.parametrize("part", ["message", "decision"])
def test_payloads_that_do_not_open_are_told(tmp_path: Path, part: str) -> None:
    """A key that is missing, or another one of the same name, is a problem of the record."""
    pytest.importorskip("cryptography")
    url, config = f"sqlite:///{tmp_path}/record.db", places.loaded().config
    plain, sealing = PLAIN, Vault({"k": new_key()}, "k")

    def store(vault: Vault, work: Callable[[Transaction], object]) -> None:
        with Store.open(url, clock=ManualClock(), vault=vault) as opened:
            opened.write(work).result(30)

    store(sealing if part == "message" else plain, _arrive)
    store(sealing if part == "decision" else plain, _decide)

    def told(vault: Vault) -> list[str]:
        with Store.open(url, clock=ManualClock(), vault=vault) as opened:
            found = doctor.queue_findings(opened, config)
            return [one.said for one in found if one.grade == "problem"]

    assert told(sealing) == []
    assert "was not given" in told(plain)[0]
    assert "does not open" in told(Vault({"k": new_key()}, "k"))[0]


def _arrive(tx: Transaction) -> None:
    tx.messages.add(Message("m", "mercy", "batch", None, "d", tx.now, b'{"a": 1}'))
    tx.units.add([UnitRow("u", "m", 0, "CareTeam", "routed")])


def _decide(tx: Transaction) -> None:
    tx.decisions.add("u", "permit", code=None, body={}, at=tx.now)


@pytest.mark.parametrize(
    ("schema", "free", "skew", "expected"),
    [
        ("0001", 10**12, 0.0, {"schema": "warning", "disk": "ok"}),
        ("9999", 10**12, 0.0, {"schema": "problem"}),
        (None, 5 * 10**8, 5.0, {"schema": "ok", "disk": "warning"}),
        (None, 10**7, -100.0, {"disk": "problem"}),
    ],
)
def test_grades(schema: str | None, free: int, skew: float, expected: dict[str, str]) -> None:
    """What soon becomes a problem is a warning, what keeps the engine from working a problem."""
    found = Inspected("postgresql", schema, "0003", None, skew, free, 10**12)
    grades = {one.what: one.grade for one in doctor.findings_of(found)}
    assert expected.items() <= grades.items()
    skewed = {0.0: "ok", 5.0: "warning", -100.0: "problem"}[skew]
    assert grades["clock of the database"] == skewed


def test_the_command_tells_of_absent_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is not set is a problem, and the rest is looked at all the same."""
    monkeypatch.setenv("CARELANE_STORE", f"sqlite:///{tmp_path}/record.db")
    for name in ("MERCY_URL", "HUB_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/fhir")
    config = str(places.REPOSITORY / "config.yaml")
    done = CliRunner().invoke(build("doctor"), ["doctor", "--config", config, "--json"])
    assert done.exit_code == 1
    found = json.loads(done.output)
    assert any("is not set" in one["said"] for one in found if one["what"] == "config")
    assert {"database", "system mercy", "system hub"} <= {one["what"] for one in found}
