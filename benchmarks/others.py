"""Measure the same mapping in other mapping languages: JSONata on node, and fpml from PyPI.

What is mapped, and by which table, is that of `benchmarks/adapter.py`. The others get the easier
task: they translate and copy, while the adapter also checks codes and the targets of references
and proves that no element was lost. Each language is written in two ways and the faster counts;
expressions are compiled before and warmed, inputs are parsed on both sides, outputs are checked
equal, and the sides take turns. A turn's time is CPU time of the process it ran in, for node with
its own threads. `make bench-others` installs both; without one its rows are left out, with the
reason.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent))

import fhirpathpy
from adapter import ROLES, Tree, plan, team

from engine.transform.adapter import load_adapters

FOLDER = Path(__file__).resolve().parent
LANGUAGES = FOLDER / "languages"
INSTALL = "run `make bench-others`, which installs it"
TURNS = 15
SAMPLES = {"careteam": team(), "careplan": plan()}
TABLE = {f"{system}|{code}": coding for (system, code), coding in ROLES.items()}

Turn = Callable[[int], float]
"""Run so many calls; return CPU microseconds of one."""


def run() -> Iterator[Tree]:
    """Yield a row for each sample in each language, or the reason why it was not run."""
    adapters, problems = load_adapters(FOLDER / "mappings")
    if problems:
        raise AssertionError(problems[0].text())
    for name, source in SAMPLES.items():
        take = adapters.mapped["sample", source["resourceType"]].to_canonical
        wanted = take(source).resource
        ours = _turn(lambda source, take=take: take(source), source)
        yield from _jsonata(name, source, wanted, ours)
        yield from _fpml(name, source, wanted, ours)


def _turn(call: Callable[[Tree], Any], source: Tree) -> Turn:
    def turn(rounds: int) -> float:
        before = time.process_time()
        for _ in range(rounds):
            call(source)
        return (time.process_time() - before) / rounds * 1e6

    return turn


def _row(name: str, against: str, ours: Turn, theirs: dict[str, Turn], rounds: int) -> Tree:
    """Return the adapter's speed as a multiple of the faster of the other's two ways."""
    own, best = float("inf"), dict.fromkeys(theirs, float("inf"))
    for _ in range(TURNS):
        own = min(own, ours(1000))
        for way, turn in theirs.items():
            best[way] = min(best[way], turn(rounds))
    other = min(best.values())
    return {
        "name": name,
        "ratio": round(other / own, 1),
        "against": against,
        "target": 1.0,
        "better": "higher",
        "microseconds": round(own, 2),
        "microseconds_other": {way: round(taken, 1) for way, taken in best.items()},
    }


def _equal(name: str, made: Any, wanted: Any) -> None:
    if made != wanted:
        raise AssertionError(f"{name} and the adapter differ")


# --- JSONata ---------------------------------------------------------------------------------


def _jsonata(name: str, source: Tree, wanted: Any, ours: Turn) -> Iterator[Tree]:
    row = f"adapter.{name}.jsonata"
    if shutil.which("node") is None:
        yield {"name": row, "skipped": "there is no `node` on this machine"}
    elif not (LANGUAGES / "node_modules" / "jsonata").is_dir():
        yield {"name": row, "skipped": f"jsonata is not there: {INSTALL}"}
    else:
        with _node() as (ask, version):
            ways = {}
            for file in sorted(LANGUAGES.glob(f"{name}.*.jsonata")):
                way = file.name.split(".")[1]
                given = {"text": file.read_text(encoding="utf-8"), "roles": TABLE}
                made = ask({"do": "compile", "name": way, "source": source, **given})
                _equal(file.name, made, wanted)
                ways[way] = _asked(ask, way)
            against = f"the same mapping in JSONata on node {version}, compiled and warm"
            yield _row(row, against, ours, ways, 200)


def _asked(ask: Callable[[Tree], Any], way: str) -> Turn:
    return lambda rounds: float(ask({"do": "turn", "name": way, "rounds": rounds}))


@contextmanager
def _node() -> Iterator[tuple[Callable[[Tree], Any], str]]:
    """Start node; hand out what puts a request to it, and its version."""
    command = [str(shutil.which("node")), str(LANGUAGES / "timed.mjs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def ask(request: Tree) -> Any:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        yield ask, json.loads(stdout.readline())
        stdin.close()


# --- fpml ------------------------------------------------------------------------------------


def _coding(path: str) -> list[str]:
    """Return a list of the translations of codings, and the codings behind them."""
    return [f"{{[ {path}.translated() ]}}", f"{{[ {path} ]}}"]


def _each(path: str, template: Tree) -> list[Tree]:
    return [{f"{{{{ {path} }}}}": template}]


def _changed(path: str, template: Tree) -> Tree:
    """Return all of an object, with what the template says in its place."""
    return {"{% merge %}": [f"{{{{ {path} }}}}", template]}


def _built(single: str, lists: str, at: str = "", **others: Any) -> Tree:
    """Return an object made element by element from the one at a path."""
    return {
        **{name: f"{{{{ {at}{name} }}}}" for name in single.split()},
        **{name: f"{{[ {at}{name} ]}}" for name in lists.split()},
        **others,
    }


HERE = "where(true)"
ROLE = _built("id text", "extension", coding=_coding("coding"))
PARTICIPANT = _built("id member onBehalfOf period", "extension", role=_each("role", ROLE))
CODE = _built("id text", "extension", "detail.code.", coding=_coding("detail.code.coding"))
DETAIL = _built(
    "id kind status statusReason doNotPerform scheduledTiming scheduledPeriod scheduledString "
    "location productCodeableConcept productReference dailyAmount quantity description",
    "extension instantiatesCanonical instantiatesUri reasonCode reasonReference goal performer",
    "detail.",
    code=CODE,
)
ACTIVITY = _built(
    "id", "extension outcomeCodeableConcept outcomeReference progress reference", detail=DETAIL
)
CHANGED_ROLE = _changed(HERE, {"coding": _coding("coding")})
CHANGED_CODE = _changed("detail.code", {"coding": _coding("detail.code.coding")})
CHANGED_ACTIVITY = _changed(HERE, {"detail": _changed("detail", {"code": CHANGED_CODE})})
TEMPLATES: dict[str, dict[str, Tree]] = {
    "careteam": {
        "build": _built(
            "resourceType id meta implicitRules language text status name subject encounter period",
            "contained extension identifier category reasonCode reasonReference "
            "managingOrganization telecom note",
            participant=_each("participant", PARTICIPANT),
        ),
        "change": _changed(
            HERE,
            {
                "participant": _each(
                    "participant", _changed(HERE, {"role": _each("role", CHANGED_ROLE)})
                )
            },
        ),
    },
    "careplan": {
        "build": _built(
            "resourceType id meta implicitRules language text status intent title description "
            "subject encounter period created author",
            "contained extension identifier instantiatesCanonical instantiatesUri basedOn replaces "
            "partOf category contributor careTeam addresses supportingInfo goal note",
            activity=_each("activity", ACTIVITY),
        ),
        "change": _changed(HERE, {"activity": _each("activity", CHANGED_ACTIVITY)}),
    },
}


def _translated(codings: list[Any]) -> list[Any]:
    """Look codings up: a function of ours in fpml's FHIRPath, faster than a table in FHIRPath."""
    trees = [getattr(coding, "data", coding) for coding in codings]
    hits = (TABLE.get(f"{tree.get('system')}|{tree.get('code')}") for tree in trees)
    return [hit for hit in hits if hit is not None]


def _fpml(name: str, source: Tree, wanted: Any, ours: Turn) -> Iterator[Tree]:
    row = f"adapter.{name}.fpml"
    if importlib.util.find_spec("fpml") is None:
        yield {"name": row, "skipped": f"fpml is not there: {INSTALL}"}
        return
    fpml = importlib.import_module("fpml")
    options = {"userInvocationTable": {"translated": {"fn": _translated, "arity": {0: []}}}}

    @cache
    def expression(text: str) -> Any:
        return fhirpathpy.compile(text, None, options)

    def evaluate(resource: Tree, text: str, context: Tree) -> list[Any]:
        return list(expression(text)(resource, context))

    ways = {}
    for way, template in TEMPLATES[name].items():

        def call(source: Tree, template: Tree = template) -> Any:
            return fpml.resolve_template(source, template, evaluate=evaluate)

        _equal(f"{name} by fpml", call(source), wanted)
        _equal(f"{name} by fpml a second time", call(source), wanted)
        ways[way] = _turn(call, source)
    against = f"the same mapping in fpml {fpml.__version__}, expressions compiled and kept"
    yield _row(row, against, ours, ways, 3)


if __name__ == "__main__":
    for made in run():
        print(made)
