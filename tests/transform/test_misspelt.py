"""A misspelt name anywhere in the shipped mappings is refused at its line, with the right name."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from engine.diagnostics import Diagnostic
from engine.transform.adapter import Adapter
from engine.transform.cases import run_cases
from engine.transform.load import load_folder

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"
PLACES = 200
KEY = re.compile(r"^(\s+)([a-z][A-Za-z]{3,})(?=(?:\[\])?:)")
WORD = re.compile(
    r"\b(?:coding|table|to|ref|function|one|same): ([A-Za-z][A-Za-z-]{3,})\b"
    r"|: (agree|common|union|collect|widest|labels)\s*(?:#.*)?$"
)
OPERATION = re.compile(
    r": (copy|carry)\s*(?:#.*)?$|\{(coding|ref|table|drop|fields|cross_version|function)(?=:)"
)
MATCHER = re.compile(
    r"^(?:    |  - )(expect|direction|input|diagnostics|absent|expect_exactly)(?=:)"
)


@dataclass(frozen=True)
class Spoilt:
    """One word of one line, misspelt."""

    file: Path
    line: int
    start: int
    word: str
    wrong: str


def _wrong(word: str, chance: random.Random) -> str:
    """Return a word with two letters exchanged, one left out, one doubled or one changed."""
    at = chance.randrange(1, len(word) - 1)
    made = chance.choice(
        [
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + "x" + word[at + 1 :],
        ]
    )
    return made if made != word else word[:at] + "x" + word[at:]


def _places(path: Path) -> Iterator[tuple[int, int, str]]:
    """Yield line, start and word of each name in a file that has a right spelling."""
    inside = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if path.name.endswith(".test.yaml"):
            found = MATCHER.match(line)
            if found:
                yield number, found.start(1), found[1]
            continue
        if not line.startswith((" ", "#")):
            inside = line.startswith(("fields:", "siblings:"))
        if not inside or line.lstrip().startswith("#"):
            continue
        key = KEY.match(line)
        if key and key[2] not in ("fields", "split", "rest", "when", "arguments", "with"):
            yield number, key.start(2), key[2]
        for pattern in (WORD, OPERATION):
            for match in pattern.finditer(line):
                group = match.lastindex or 1
                yield number, match.start(group), match[group]


@cache
def _spoilt() -> list[Spoilt]:
    chance = random.Random(20260501)
    found: list[Spoilt] = []
    for path in sorted(MAPPINGS.glob("*/*.yaml")):
        if path.parent.name == "tables" or path.name.endswith(".certificate.yaml"):
            continue
        places = list(_places(path))
        for line, start, word in chance.sample(places, min(len(places), 8)):
            found.append(Spoilt(path, line, start, word, _wrong(word, chance)))
    return chance.sample(found, min(len(found), PLACES))


def _problems(folder: Path, spoilt: Spoilt) -> list[Diagnostic]:
    name = f"{spoilt.file.parent.name}/{spoilt.file.name.split('.')[0]}"
    loaded = load_folder(folder).mappings[name]
    problems = list(loaded.problems)
    if loaded.plan is not None:
        results, _, more = run_cases(Adapter(loaded, loaded.plan), loaded.shown)
        problems += [*more, *(p for result in results for p in result.problems)]
    return problems


def _alone(root: Path, spoilt: Spoilt) -> Path:
    """Copy what the misspelt file rests on: its folder's own file, tables, and parents."""
    folder = root / "mappings"
    shutil.copytree(MAPPINGS / "tables", folder / "tables")
    waiting = [f"{spoilt.file.parent.name}/{spoilt.file.name.split('.')[0]}"]
    while waiting:
        name = waiting.pop()
        for ending in (".yaml", ".test.yaml"):
            source = MAPPINGS / f"{name}{ending}"
            if source.exists():
                target = folder / f"{name}{ending}"
                target.parent.mkdir(exist_ok=True)
                shutil.copy(source, target)
        text = (MAPPINGS / f"{name}.yaml").read_text(encoding="utf-8")
        waiting += re.findall(r"^extends: (\S+)", text, re.MULTILINE)
    for samples in MAPPINGS.glob("*/samples"):
        shutil.copytree(samples, folder / samples.parent.name / "samples", dirs_exist_ok=True)
    return folder


def test_there_are_enough_places() -> None:
    """Two hundred names are misspelt, over all shipped mappings."""
    assert len(_spoilt()) == PLACES


def test_a_misspelt_name_is_refused_at_its_line_with_the_right_name(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each is found in its line; the name that was meant is proposed in nine of ten."""
    unseen: list[str] = []
    meant = 0
    for spoilt in _spoilt():
        folder = _alone(tmp_path_factory.mktemp("misspelt"), spoilt)
        target = folder / spoilt.file.relative_to(MAPPINGS)
        lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
        line = lines[spoilt.line - 1]
        end = spoilt.start + len(spoilt.word)
        lines[spoilt.line - 1] = line[: spoilt.start] + spoilt.wrong + line[end:]
        target.write_text("".join(lines), encoding="utf-8")
        here = [p for p in _problems(folder, spoilt) if p.place and p.place.line == spoilt.line]
        if not here:
            unseen.append(f"{target.name}:{spoilt.line}: {spoilt.word} -> {spoilt.wrong}")
        meant += any(f"'{spoilt.word}'" in (problem.remedy or "") for problem in here)
    assert not unseen
    assert meant >= 0.9 * len(_spoilt()), meant
