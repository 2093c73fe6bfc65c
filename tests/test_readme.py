"""The README, run: its curl, its mapping and its commands do what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from engine.cli import COMMANDS, build
from engine.samples.running import free_port
from engine.samples.stage import engine_running

BASE = "http://127.0.0.1:8080"


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    """Return the text of the README."""
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def served(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the engine as `make serve` does, with the tokens of the Makefile; return its URL."""
    folder = tmp_path_factory.mktemp("serve")
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    tokens = dict(re.findall(r"^serve: export (\w+) \?= (\S+)$", makefile, re.MULTILINE))
    store, port = f"sqlite:///{folder / 'ledger.db'}", str(free_port())
    with ExitStack() as stack:
        environ = tokens | {"CARELANE_STORE": store, "CARELANE_PORT": port}
        stack.enter_context(engine_running(folder, environ))
        yield f"http://127.0.0.1:{port}"


def curls(readme: str) -> list[list[str]]:
    """Return the words of each curl command of the README."""
    blocks = re.findall(r"```sh\n(curl .*?)```", readme, re.DOTALL)
    return [shlex.split(block.replace("\\\n", " ")) for block in blocks]


def run(words: list[str], url: str, repository: Path) -> httpx.Response:
    """Send what a curl command sends, to the server at `url`."""
    target = next(word for word in words if word.startswith(BASE))
    headers = [words[at + 1] for at, word in enumerate(words) if word == "-H"]
    data = words[words.index("--data-binary") + 1].removeprefix("@")
    return httpx.post(
        target.replace(BASE, url),
        headers=dict(header.split(": ", 1) for header in headers),
        content=(repository / data).read_bytes(),
        timeout=30,
    )


def test_the_curl_of_the_readme_works(readme: str, served: str, repository: Path) -> None:
    """The first Bundle is taken entry by entry; the Communication is refused without consent."""
    bundle, outreach = (run(words, served, repository) for words in curls(readme))
    assert bundle.status_code == 200
    statuses = {entry["response"]["status"][:1] for entry in bundle.json()["entry"]}
    assert statuses == {"2"}
    assert outreach.status_code == 403
    (issue,) = outreach.json()["issue"]
    assert issue["code"] == "forbidden"
    assert issue["details"]["coding"][0]["code"] == "consent-missing"


def test_the_mapping_of_the_readme_is_the_one_that_init_writes(
    readme: str, repository: Path
) -> None:
    """What a reader copies is a file that is linted and tested, and it has ten lines."""
    found = re.search(r"<!-- (\S+) -->\n```yaml\n(.*?)```", readme, re.DOTALL)
    assert found is not None
    assert found[2] == (repository / found[1]).read_text(encoding="utf-8")
    assert len(found[2].splitlines()) == 10


def test_every_link_of_the_readme_leads_somewhere(readme: str, repository: Path) -> None:
    """A link into the project names a file or folder that exists."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme)
    assert links
    assert [link for link in links if not (repository / link).exists()] == []


def test_every_command_of_the_readme_exists(readme: str) -> None:
    """The README names no command that `carelane` does not have."""
    named = set(re.findall(r"carelane ([a-z]+)", readme))
    assert named <= COMMANDS.keys()
    for command in set(re.findall(r"carelane ledger ([a-z]+)", readme)):
        done = CliRunner().invoke(build("ledger"), ["ledger", command, "--help"])
        assert done.exit_code == 0, command


def test_the_readme_opens_with_the_two_commands(readme: str) -> None:
    """Before anything else a reader sees what it is in three sentences, and the two commands."""
    head = readme.split("```sh", maxsplit=1)[0].splitlines()[1]
    assert head.count(". ") == 2
    first = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert first is not None
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "make demo",
        "make test",
    ]
