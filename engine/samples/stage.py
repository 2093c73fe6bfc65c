"""The stage of the demo: the engine as a process of its own between two sample systems."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from engine.errors import CarelaneError
from engine.samples.endpoint import FHIR_JSON, endpoint
from engine.samples.running import HOST, free_port, running
from engine.samples.shipped import shipped
from engine.samples.system import SampleSystem
from engine.samples.tokens import new_token

TITLES = {"mercy": "hospital", "hub": "plan"}
START_SECONDS = 60.0
STOP_SECONDS = 15.0


class StageError(CarelaneError):
    """Report that the engine did not start; carries what it said."""


@dataclass(frozen=True)
class Stage:
    """Hold what runs: the sample systems, the engine's FHIR base, and a client for each sender.

    `folder` is where faxes, mails and pages are put.
    `tokens` are what the senders show to the engine, `store` is the URL of its record.
    """

    base: str
    store: str
    folder: Path
    systems: Mapping[str, SampleSystem]
    clients: Mapping[str, httpx.Client]
    tokens: Mapping[str, str] = field(repr=False)

    @property
    def faxes(self) -> Path:
        """Return the folder that a fax gateway would watch."""
        return self.folder / "fax"

    @property
    def mails(self) -> Path:
        """Return the folder that a mail relay would pick up from."""
        return self.folder / "mail"

    def send(self, sender: str, target: str, body: bytes) -> httpx.Response:
        """POST a body to the engine as one of the systems."""
        headers = {"Content-Type": FHIR_JSON}
        return self.clients[sender].post(f"/{target}", content=body, headers=headers)


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Run two sample systems and the engine, its record in `folder`; all of it ends with the block.

    Raises StageError where the engine does not start.
    """
    inbound = {name: new_token() for name in TITLES}
    systems = {name: SampleSystem(name, title, new_token().text) for name, title in TITLES.items()}
    store = f"sqlite:///{folder / 'ledger.db'}"
    environ = {
        "CARELANE_STORE": store,
        "CARELANE_PORT": str(free_port()),
        "CARELANE_FAX": str(folder / "fax"),
        "CARELANE_MAIL": str(folder / "mail"),
    }
    with ExitStack() as stack:
        for name, system in systems.items():
            url = stack.enter_context(running(endpoint(system)))
            prefix = name.upper()
            environ |= {
                f"{prefix}_URL": f"{url}/fhir",
                f"{prefix}_TOKEN_SHA256": inbound[name].sha256,
                f"{prefix}_OUTBOUND_TOKEN": system.token,
            }
        stack.enter_context(engine_running(folder, environ))
        base = f"http://{HOST}:{environ['CARELANE_PORT']}/fhir"
        clients = {
            name: stack.enter_context(
                httpx.Client(
                    base_url=base, headers={"Authorization": f"Bearer {token.text}"}, timeout=20
                )
            )
            for name, token in inbound.items()
        }
        tokens = {name: token.text for name, token in inbound.items()}
        yield Stage(base, store, folder, systems, clients, tokens)


@contextmanager
def engine_running(folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Run `carelane serve` on the shipped config until the block ends."""
    log = folder / "engine.log"
    config = shipped() / "config.yaml"
    command = [sys.executable, "-m", "engine", "serve", "--config", str(config)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environ},
        )
        try:
            _await_ready(process, f"http://{HOST}:{environ['CARELANE_PORT']}/readyz", log)
            yield
        finally:
            _end(process)


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise StageError(f"the engine did not start; it said:\n{log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
