"""`carelane lint`, `test`, `map`, `certify` and `explain`, as an analyst meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from engine.cli import build

MAPPING = """\
mapping: home/careteam
version: 1
dialect:   {fhir: R4, resource: CareTeam}
canonical: {fhir: R4, resource: CareTeam}
extension: copy
modifierExtension: reject
primitive_extensions: copy
fields:
"""
NAMES = (
    "id meta implicitRules language text contained identifier status category name subject "
    "encounter period participant reasonCode reasonReference managingOrganization telecom note"
)
CASES = """\
cases:
  - name: a name comes through
    direction: to_canonical
    input: {resourceType: CareTeam, name: Team}
    expect: {name: Team}
    absent: [note]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project with one mapping, its case, and no certificate yet."""
    folder = tmp_path / "mappings" / "home"
    folder.mkdir(parents=True)
    fields = "".join(f"  {name}: copy\n" for name in NAMES.split())
    (folder / "careteam.yaml").write_text(MAPPING + fields)
    (folder / "careteam.test.yaml").write_text(CASES)
    return tmp_path


def run(*arguments: str) -> Result:
    """Run one command."""
    return CliRunner().invoke(build(arguments[0]), list(arguments))


def test_lint_asks_for_a_certificate_and_certify_writes_it(project: Path) -> None:
    """A mapping without certificate fails lint; certify writes it, and lint is clean."""
    before = run("lint", str(project))
    assert before.exit_code == 1
    assert "careteam.certificate.yaml:1:1: M031" in before.output
    assert run("certify", str(project)).exit_code == 0
    after = run("lint", str(project))
    assert after.exit_code == 0, after.output
    assert "no problems" in after.output


def test_a_change_that_loses_something_makes_the_certificate_stale(project: Path) -> None:
    """Dropping an element changes what is lost, so lint fails at the line that changed."""
    run("certify", str(project))
    path = project / "mappings/home/careteam.yaml"
    text = path.read_text().replace("  note: copy\n", "  note: {drop: nobody reads it}\n")
    path.write_text(text + "canonical_only: {note: carry}\n")
    found = run("certify", "--check", str(project))
    assert found.exit_code == 1
    assert "M031" in found.output
    run("certify", str(project))
    written = (project / "mappings/home/careteam.certificate.yaml").read_text()
    assert "dropped: nobody reads it" in written


def test_lint_prints_json_with_places(project: Path) -> None:
    """With --json each problem is data: code, file, line and column."""
    (problem,) = json.loads(run("lint", "--json", str(project)).output)
    assert problem["code"] == "M031"
    assert problem["line"] == 1


def test_test_prints_coverage_and_a_diff(project: Path) -> None:
    """A case that fails shows what was expected and what came."""
    good = run("test", str(project))
    assert good.exit_code == 0
    assert "rules 1/19" in good.output
    path = project / "mappings/home/careteam.test.yaml"
    path.write_text(CASES.replace("expect: {name: Team}", "expect: {name: Other}"))
    bad = run("test", str(project))
    assert bad.exit_code == 1
    assert '- name: "Other"' in bad.output
    assert '+ name: "Team"' in bad.output


def test_a_misspelt_matcher_fails(project: Path) -> None:
    """A matcher that could never match is an error with the nearest name."""
    path = project / "mappings/home/careteam.test.yaml"
    path.write_text(CASES.replace("expect: {name", "expect: {naem"))
    found = run("test", str(project))
    assert found.exit_code == 1
    assert "careteam.test.yaml:5:14: M033" in found.output
    assert "did you mean 'name'?" in found.output


def test_map_runs_one_resource_and_says_which_line_made_what(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`map` prints the result exactly; --trace names the line of each element."""
    monkeypatch.chdir(project)
    file = project / "team.json"
    file.write_bytes(b'{"resourceType":"CareTeam","note":[{"text":"x"}],"name":"Team"}')
    found = run("map", "--dialect", "home", "--to", "canonical", "--trace", str(file))
    assert found.exit_code == 0, found.output
    assert found.stdout.strip().encode() == file.read_bytes()
    assert "CareTeam.name  mappings/home/careteam.yaml:18  copy" in found.stderr


def test_map_shows_the_generated_source(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--show-source prints the Python that the mapping compiles to, with lines of the YAML."""
    monkeypatch.chdir(project)
    file = project / "team.json"
    file.write_bytes(b'{"resourceType":"CareTeam"}')
    found = run("map", "--dialect", "home", "--show-source", str(file))
    assert "def to_canonical(s, run):" in found.output
    assert "# line 16" in found.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("map", "--dialect", "hoome", "team.json"),
        ("map", "--dialect", "home", "--to", "nowhere", "team.json"),
        ("map", "--dialect", "home", "missing.json"),
        ("explain", "M999"),
        ("lint", "no/such/folder"),
    ],
)
def test_misuse_ends_with_2(
    arguments: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be done as asked is exit code 2, with a sentence and no traceback."""
    monkeypatch.chdir(project)
    found = run(*arguments)
    assert found.exit_code == 2
    assert "Traceback" not in found.output


def test_explain_says_what_a_code_means() -> None:
    """Each code has a title and an explanation; `functions` lists what a mapping may call."""
    assert "not mention" in run("explain", "m008").output
    assert "open-end" in run("explain", "functions").output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "P009: There is no resourceType."),
        ('{"resourceType": ["CareTeam"]}', "P009: The resourceType is no text."),
        ('{"resourceType": "CareTeem"}', "did you mean 'CareTeam'?"),
        ('{"resourceType": "CareTeam", "name": "a", "name": "b"}', "P005"),
        ("[1]", "P008"),
        ("nothing", "P004"),
    ],
)
def test_map_takes_nothing_that_is_no_resource(
    project: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """What the engine would not take in is refused in the same words, not passed through."""
    monkeypatch.chdir(project)
    (project / "given.json").write_text(text)
    result = run("map", "given.json", "--dialect", "home")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "given.json is no resource." in result.stderr
    assert said in result.stderr


def test_map_names_the_entry_whose_type_is_unknown(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of a Bundle that is no resource is a problem; the others come through."""
    monkeypatch.chdir(project)
    team, other = {"resourceType": "CareTeam", "name": "Team"}, {"resourceType": "CareTeem"}
    entries = [{"resource": team}, {"resource": other}]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (project / "given.json").write_text(json.dumps(bundle))
    result = run("map", "given.json", "--dialect", "home")
    assert result.exit_code == 1
    assert "Bundle.entry[1].resource.resourceType: P010" in result.stderr
    assert [one["resource"]["name"] for one in json.loads(result.stdout)["entry"]] == ["Team"]
