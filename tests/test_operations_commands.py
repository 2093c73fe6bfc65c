"""Retention and encryption as config.yaml says them, and the commands that carry them out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import town as places
from typer.testing import CliRunner

from engine.cli import build, main
from engine.cli.loading import open_project, vault_of
from engine.clock import SystemClock
from engine.mapping_sets import InForce, Sets
from engine.message import Message
from engine.store import Store
from engine.store.vault import new_key, sealed_with
from engine.testing import ManualClock

pytest.importorskip("cryptography")
SECTIONS = """
retention: {messages: 1, deliveries: 1, history: 1, audit: 1}
encryption:
  active: k1
  keys: {k1: "${CARELANE_TEST_KEY}"}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a config.yaml with both sections, its record in `tmp_path`."""
    environ = places.environment(f"sqlite:///{tmp_path}/record.db", CARELANE_TEST_KEY=new_key())
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    for name in ("mappings", "profiles"):
        (tmp_path / name).symlink_to(places.REPOSITORY / name)
    text = (places.REPOSITORY / "config.yaml").read_text()
    path = tmp_path / "config.yaml"
    path.write_text(text + SECTIONS)
    return path


def run(*words: str) -> str:
    """Run a command that must succeed; return what it said."""
    done = CliRunner().invoke(build(words[0]), list(words))
    assert done.exit_code == 0, done.output
    return done.output


def arrive(url: str, **more: object) -> str:
    """Store a message of long ago in plain; return its id."""
    with Store.open(url, clock=ManualClock(), **more) as store:  # type: ignore[arg-type]

        def work(tx) -> str:  # type: ignore[no-untyped-def]
            id = str(tx.ids.new())
            tx.messages.add(Message(id, "mercy", "batch", None, id, tx.now, b'{"a": 1}'))
            tx.audit.append("message.accepted", message=id)
            return id

        return store.write(work).result()


def test_rekey_seals_what_was_plain(config: Path, tmp_path: Path) -> None:
    """`carelane store rekey` seals what was written before encryption; the project opens it."""
    url = f"sqlite:///{tmp_path}/record.db"
    id = arrive(url)
    assert "message: 1 sealed anew" in run("store", "rekey", "--config", str(config))
    project = open_project(config)
    assert project.config.encryption is not None
    with Store.open(url, clock=SystemClock(), vault=vault_of(project.config.encryption)) as store:
        row = store.read(lambda tx: tx.messages.get(id))
        assert row is not None
        assert row.body == b'{"a": 1}'
    assert b'{"a": 1}' not in b"".join(one.read_bytes() for one in tmp_path.glob("record.db*"))
    assert sealed_with(b"{}") is None


def test_prune_does_what_the_project_says(config: Path, tmp_path: Path) -> None:
    """`carelane ledger prune` removes what is older than the days of `retention`."""
    arrive(f"sqlite:///{tmp_path}/record.db")
    said = run("ledger", "prune", "--config", str(config))
    assert "messages: 1 removed" in said
    assert "audit: 1 removed" in said
    assert "whole" in run("ledger", "verify", "--config", str(config))


def test_an_absent_key_stops_what_runs(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server does not start without its key, and says which variable is missing."""
    monkeypatch.delenv("CARELANE_TEST_KEY")
    done = CliRunner().invoke(build("serve"), ["serve", "--config", str(config)])
    assert done.exit_code == 2
    assert "CARELANE_TEST_KEY is not set" in done.output


def test_a_new_key_is_one_that_can_be_used() -> None:
    """`carelane store key` prints 32 bytes in base64."""
    key = run("store", "key").strip()
    assert len(key) == 44
    assert new_key() != key


@pytest.mark.parametrize(
    "words",
    [("ledger", "list"), ("ledger", "verify"), ("consents", "W1"), ("records", "list")],
    ids=" ".join,
)
def test_what_only_looks_makes_no_record(
    config: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Where there is no record, looking at it is refused, and none is begun."""
    done = CliRunner().invoke(build(words[0]), [*words, "--config", str(config)])
    assert done.exit_code == 2
    assert "no record at" in done.output
    assert not (tmp_path / "record.db").exists()


def test_an_address_without_a_record_is_refused(tmp_path: Path) -> None:
    """A misspelt --store is said, and makes no empty file."""
    address = f"sqlite:///{tmp_path}/typo.db"
    done = CliRunner().invoke(build("ledger"), ["ledger", "list", "--store", address])
    assert done.exit_code == 2
    assert not (tmp_path / "typo.db").exists()


def test_an_argument_that_is_no_text_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name in another encoding ends with exit code 2 and a sentence, not in a traceback."""
    monkeypatch.setattr("sys.argv", ["carelane", "ledger", "trace", "\udcff"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "An argument is not text in UTF-8.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("verify", "--known", ""), "--known is not SEQUENCE:HASH"),
        (("verify", "--known", "9" * 30 + ":" + "a" * 64), "--known is not SEQUENCE:HASH"),
        (("list", "--state", "deliverd"), "There is no state 'deliverd'"),
        (("list", "--store", "postgresql://[::bad/x"), "is no URL"),
    ],
)
def test_what_the_ledger_cannot_be_asked_is_misuse(
    config: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """An empty variable, a number beyond all, a misspelt state and address say what is wrong."""
    url = f"sqlite:///{tmp_path}/record.db"
    arrive(url)
    at = () if "--store" in words else ("--store", url)
    done = CliRunner().invoke(build("ledger"), ["ledger", *words, *at])
    assert done.exit_code == 2
    assert said in done.output


def test_an_emptied_record_is_not_whole(tmp_path: Path) -> None:
    """A file cut to nothing is no record: what looks at it neither begins one nor praises it."""
    file = tmp_path / "record.db"
    file.touch()
    words = ["ledger", "verify", "--store", f"sqlite:///{file}"]
    done = CliRunner().invoke(build("ledger"), words)
    assert done.exit_code == 2
    assert "there is no record" in done.output
    assert file.stat().st_size == 0


def test_a_link_to_a_system_that_is_not_there_is_refused(config: Path) -> None:
    """A misspelt system is named with the nearest; nothing is linked."""
    words = ["crosswalk", "link", "mercyy:Patient/1", "hub:Patient/2", "--config", str(config)]
    done = CliRunner().invoke(build("crosswalk"), words)
    assert done.exit_code == 2
    assert "There is no system 'mercyy': did you mean 'mercy'?" in done.output


def test_a_crosswalk_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A file that is not there is not called badly encoded."""
    done = CliRunner().invoke(build("crosswalk"), ["crosswalk", "import", str(tmp_path / "no.csv")])
    assert done.exit_code == 2
    assert "cannot be read: No such file or directory." in done.output


def test_a_port_that_is_none_is_refused() -> None:
    """The system would take 99999 for 34463, and listen where nobody was told."""
    assert CliRunner().invoke(build("serve"), ["serve", "--port", "99999"]).exit_code == 2


def test_a_host_that_is_no_name_is_refused(config: Path) -> None:
    """A label beyond 63 letters ends with exit code 2 and a sentence, not in a traceback."""
    words = ["serve", "--host", "a" * 70 + ".x", "--processes", "1", "--config", str(config)]
    done = CliRunner().invoke(build("serve"), words)
    assert done.exit_code == 2
    assert "this is no name of a host" in done.output


def test_no_set_of_mappings_is_chosen_by_nothing(config: Path) -> None:
    """An empty variable as `--to` puts no set into force, also where one alone is kept."""
    sets = Sets.of(config.parent)
    kept = sets.keep(config.parent / "mappings")
    sets.put_in_force(InForce(kept, "2026-05-01T10:00:00Z", "test", False))
    words = ["rollback", "--to", "", "--config", str(config)]
    done = CliRunner().invoke(build("rollback"), words)
    assert done.exit_code == 2
    assert not sets.history()[-1].pinned


def test_a_report_without_a_folder_is_refused_before_measuring(tmp_path: Path) -> None:
    """Minutes of measuring are not lost to a misspelt path."""
    (tmp_path / "one.py").write_text("def run():\n    raise AssertionError('measured')\n")
    words = ["bench", "--folder", str(tmp_path), "--report", str(tmp_path / "no" / "page.md")]
    done = CliRunner().invoke(build("bench"), words)
    assert done.exit_code == 2
    assert "There is no folder" in done.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_that_takes_nothing_is_told_in_a_sentence() -> None:
    """A full disk behind `>` ends a command with a sentence and no traceback."""
    command = [sys.executable, "-m", "engine", "explain", "R001"]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (2, "Carelane stopped: No space left on device\n")


def test_a_closed_output_is_no_failure() -> None:
    """A command whose output was closed before it began does its work and ends well."""
    command = [sys.executable, "-m", "engine", "explain", "R001"]
    ended = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
