"""Opening a store: migrations make exactly the tables, whoever opens first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from engine.errors import StoreError
from engine.store import Store, migrate
from engine.store.database import connect, parse_url
from engine.store.tables import METADATA


def test_migrations_make_exactly_the_tables(empty_url: str) -> None:
    """Alembic finds no difference between a migrated database and the tables in code."""
    Store.open(empty_url).close()
    engine = connect(parse_url(empty_url), "write")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_head_is_the_newest_migration() -> None:
    """The version that opening looks for is the last of the migrations."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_processes_that_open_at_once_do_not_collide(empty_url: str) -> None:
    """Several processes open a fresh store together; each finds it ready."""
    code = "import sys; from engine.store import Store; Store.open(sys.argv[1]).close()"
    started = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said


def test_newer_store_is_refused(store_url: str) -> None:
    """A store made by a newer version is not touched, and the reason is said."""
    Store.open(store_url).close()
    engine = connect(parse_url(store_url), "write")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StoreError, match="newer carelane"):
        Store.open(store_url)


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "nonsense", "postgres:/x"])
def test_other_addresses_are_refused(url: str) -> None:
    """What is neither a SQLite file nor PostgreSQL is refused with what is expected."""
    with pytest.raises(StoreError, match="sqlite:///"):
        Store.open(url)


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A path below a file is no place for a store."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path}/file/store.db")
