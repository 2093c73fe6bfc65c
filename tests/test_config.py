"""The settings: what a good config.yaml becomes, and what is said about a bad one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import Config, Tree, load_config
from engine.config.model import ACT_REASON, NPI
from engine.config.reference import reference
from engine.diagnostics import CODES, Diagnostic, Severity

HASH = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("mercy", "hub")}
ENVIRON = {
    "MERCY_TOKEN_SHA256": HASH["mercy"],
    "MERCY_OUTBOUND_TOKEN": "to-mercy",
    "HUB_TOKEN_SHA256": HASH["hub"],
    "HUB_OUTBOUND_TOKEN": "to-hub",
}

GOOD = """\
systems:
  mercy:
    role: provider
    dialect: us-core
    base_url: https://mercy.example/fhir/
    organization: {value: "1234567893"}
    token_sha256: ${MERCY_TOKEN_SHA256}
    identifiers: http://mercy.example/mrn
  hub:
    role: payer
    dialect: hrex
    base_url: https://hub.example/fhir
    organization: {value: "1234567901"}
    bearer: ${HUB_OUTBOUND_TOKEN}
routes:
  - {from: mercy, to: hub, types: [CareTeam, Consent], purpose: COC}
  - {from: '*', to: '*', types: Communication}
"""

Load = Callable[..., tuple[Config | None, list[Diagnostic]]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Return a function that writes a config.yaml beside two dialects and loads it."""
    for folder in ("mappings/us-core", "mappings/hrex", "mappings/tables", "profiles"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def run(
        text: str, environ: dict[str, str] | None = None, **options: Severity | None
    ) -> tuple[Config | None, list[Diagnostic]]:
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        given = ENVIRON if environ is None else environ
        options.setdefault("absent_secrets", Severity.ERROR)
        return load_config(Path("config.yaml"), given, **options)

    return run


def good(load: Load, text: str = GOOD) -> Config:
    config, problems = load(text)
    assert config is not None, [problem.text() for problem in problems]
    assert problems == []
    return config


def only(load: Load, text: str, **options: object) -> Diagnostic:
    """Load a bad file with a single problem and return the problem."""
    config, problems = load(text, **options)
    assert len(problems) == 1, [problem.text() for problem in problems]
    if problems[0].severity is Severity.ERROR:
        assert config is None
    return problems[0]


def test_the_shipped_config_loads_without_a_problem(repository: Path) -> None:
    """The config.yaml of the project itself is clean once its secrets are set."""
    config, problems = load_config(repository / "config.yaml", ENVIRON)
    assert [problem.text() for problem in problems] == []
    assert config is not None
    assert set(config.systems) == {"mercy", "hub"}


def test_defaults_fill_what_the_file_leaves_out(load: Load, tmp_path: Path) -> None:
    """A short file is enough: limits, retry, window and paths have defaults."""
    config = good(load)
    assert config.limits.bytes == 10_485_760
    assert (config.retry.attempts, config.retry.cap) == (8, 300.0)
    assert config.unrouted == "reject"
    assert config.rules.consent.guards("Task")
    assert config.mappings == tmp_path / "mappings"
    assert config.store == f"sqlite:///{tmp_path}/var/carelane.db"
    assert config.systems["hub"].organization.system == NPI


def test_paths_start_at_the_folder_of_the_file(load: Load, tmp_path: Path) -> None:
    """A relative path means the same from whatever folder the command is run."""
    (tmp_path / "ours").mkdir()
    config = good(load, GOOD + "store: sqlite:///data/x.db\nprofiles: ours\n")
    assert config.store == f"sqlite:///{tmp_path}/data/x.db"
    assert config.profiles == (tmp_path / "ours",)


def test_an_absolute_store_stays_where_it_is(load: Load) -> None:
    """Four slashes begin an absolute SQLite path."""
    assert good(load, GOOD + "store: sqlite:////data/x.db\n").store == "sqlite:////data/x.db"


def test_routes_say_what_travels_where(load: Load) -> None:
    """A route carries its types from its senders, and never back to the sender."""
    config = good(load)
    teams, messages = config.routes
    assert config.routes_for("mercy", "CareTeam") == (teams,)
    assert config.routes_for("hub", "CareTeam") == ()
    assert config.routes_for("hub", "Communication") == (messages,)
    assert config.destinations(messages, "hub") == ("mercy",)
    assert teams.purposes()[0].coding() == {"system": ACT_REASON, "code": "COC"}


def test_identifier_systems_of_every_system_identify(load: Load) -> None:
    """A Practitioner is known by the shared provider number and by a system's own numbers."""
    config = good(load)
    assert config.identifying("Practitioner") == {NPI, "http://mercy.example/mrn"}
    assert config.identifying("Patient") == {"http://mercy.example/mrn"}


def test_communication_is_always_guarded(load: Load) -> None:
    """Leaving Communication out of `applies_to` does not open a way around the rule."""
    config = good(load, GOOD + "rules: {consent: {applies_to: CarePlan}}\n")
    assert config.rules.consent.guards("Communication")
    assert config.rules.consent.guards("CarePlan")
    assert not config.rules.consent.guards("CareTeam")


def test_a_policy_is_kept_with_its_places(load: Load) -> None:
    """The consent room reads its policy as a mapping and can point into the file."""
    config = good(load, GOOD + "rules:\n  consent:\n    policy:\n      zone: UTC\n")
    policy = config.rules.consent.policy
    assert isinstance(policy, Tree)
    assert dict(policy) == {"zone": "UTC"}
    assert str(policy.place_of("zone")).endswith("config.yaml:21:7")


def test_a_variable_is_read_as_the_file_would_be(load: Load) -> None:
    """A number in a variable is a number, and a default stands in for an absent variable."""
    text = GOOD + "server: {port: '${PORT}', host: '${HOST:-127.0.0.2}'}\n"
    config, problems = load(text, ENVIRON | {"PORT": "9000"})
    assert problems == []
    assert config is not None
    assert (config.server.port, config.server.host) == (9000, "127.0.0.2")


BAD = [
    pytest.param("stor: x\n", "C101", "18:1", "store", id="unknown setting"),
    pytest.param("retry: {atempts: 3}\n", "C101", "18:9", "attempts", id="unknown nested setting"),
    pytest.param("limits: 5\n", "C103", "18:9", None, id="number for a section"),
    pytest.param("limits: {bytes: lots}\n", "C103", "18:17", None, id="text for a number"),
    pytest.param("retry: {jitter: 1.5}\n", "C104", "18:17", None, id="out of range"),
    pytest.param("retry: {factor: nan}\n", "C103", "18:17", None, id="not a number"),
    pytest.param("unrouted: recrod\n", "C105", "18:11", "record", id="no such choice"),
    pytest.param("server: {host: 'a${HOST}'}\n", "C107", "18:16", None, id="part variable"),
    pytest.param("server: {host: '${HOST}'}\n", "C108", "18:16", None, id="absent variable"),
    pytest.param("profiles: nowhere\n", "C113", "18:11", None, id="no such folder"),
    pytest.param("store: mysql://db/x\n", "C119", "18:8", None, id="unknown store"),
    pytest.param("store: postgresql://u:pw@db/x\n", "C109", "18:8", None, id="password in file"),
    pytest.param("structure_only: [Encountr]\n", "C116", "18:18", "Encounter", id="no such type"),
    pytest.param("rules: {consent: {applies_to: [Taks]}}\n", "C116", "18:32", "Task", id="typo"),
    pytest.param("rules: {consent: {applies_to: Consent}}\n", "C123", "18:31", None, id="consent"),
    pytest.param("rules: {consent: {policy: strict}}\n", "C103", "18:27", None, id="no mapping"),
]


@pytest.mark.parametrize(("line", "code", "place", "near"), BAD)
def test_a_bad_setting_is_refused_where_it_stands(
    load: Load, line: str, code: str, place: str, near: str | None
) -> None:
    """Each mistake is an error with its code, line, column and the nearest name that exists."""
    problem = only(load, GOOD + line)
    assert problem.code == code
    assert str(problem.place) == f"config.yaml:{place}"
    if near is not None:
        assert problem.remedy == f"did you mean '{near}'?"


CHANGED = [
    pytest.param("dialect: hrex", "dialect: hrexx", "C112", "hrex", id="unknown dialect"),
    pytest.param("to: hub,", "to: hubb,", "C114", "hub", id="unknown system in a route"),
    pytest.param("to: hub,", "to: mercy,", "C118", None, id="route to itself"),
    pytest.param("Consent]", "Concent]", "C116", "Consent", id="unknown type in a route"),
    pytest.param("Consent]", "Encounter]", "C117", None, id="type without checks"),
    pytest.param("  hub:", "  Hub:", "C106", None, id="name of a system"),
    pytest.param('"1234567901"', "1234567901", "C103", None, id="identifier without quotes"),
    pytest.param("    role: payer", "    conditional: no\n    role: payer", "C103", None, id="no"),
    pytest.param("    role: payer", "    batch: 5\n    role: payer", "C122", None, id="batch"),
    pytest.param("    role: payer\n", "", "C102", None, id="missing setting"),
    pytest.param("https://hub.", "ftp://hub.", "C111", None, id="scheme"),
    pytest.param("https://hub.", "https://u:p@hub.", "C111", None, id="password in a URL"),
    pytest.param("https://hub.", "http://hub.", "C115", None, id="unencrypted"),
    pytest.param("${HUB_OUTBOUND_TOKEN}", "abc", "C109", None, id="secret in the file"),
    pytest.param("${HUB_OUTBOUND_TOKEN}", "${T:-abc}", "C109", None, id="secret as a default"),
    pytest.param("${HUB_OUTBOUND_TOKEN}", "${NOPE}", "C108", None, id="secret not set"),
]


@pytest.mark.parametrize(("before", "after", "code", "near"), CHANGED)
def test_a_bad_system_or_route_is_refused(
    load: Load, before: str, after: str, code: str, near: str | None
) -> None:
    """Mistakes in systems and routes are found, also those that join two parts of the file."""
    _, problems = load(GOOD.replace(before, after, 1))
    found = next(problem for problem in problems if problem.code == code)
    if near is not None:
        assert found.remedy == f"did you mean '{near}'?"


def test_every_problem_comes_in_one_run_in_order(load: Load) -> None:
    """Mistakes do not hide behind each other, and are listed from top to bottom."""
    text = GOOD.replace("hrex", "hrx").replace("to: hub", "to: hbu") + "stor: x\nlimits: 5\n"
    _, problems = load(text)
    assert [problem.code for problem in problems] == ["C112", "C114", "C101", "C103"]
    places = [problem.place for problem in problems]
    assert places == sorted(places, key=lambda place: (place.line, place.column) if place else ())


def test_two_systems_cannot_share_a_token(load: Load) -> None:
    """A token tells who sends, so the same one twice is refused."""
    text = GOOD.replace("bearer: ${HUB_OUTBOUND_TOKEN}", "token_sha256: ${MERCY_TOKEN_SHA256}")
    assert only(load, text).code == "C121"


def test_two_systems_cannot_assign_the_same_identifiers(load: Load) -> None:
    """Equal numbers of two systems would join two people."""
    text = GOOD.replace(
        "    role: payer", "    identifiers: http://mercy.example/mrn\n    role: payer"
    )
    assert only(load, text).code == "C120"


def test_a_project_can_be_looked_at_without_its_secrets(load: Load) -> None:
    """Checking mappings needs no tokens; a system whose token is absent cannot send."""
    config, problems = load(GOOD, {}, absent_secrets=None)
    assert config is not None
    assert problems == []
    assert config.systems["mercy"].token_sha256 is None


@pytest.mark.parametrize("secret", ["not-a-hash", "1" * 63, "token with spaces"])
def test_a_secret_is_never_printed(load: Load, secret: str) -> None:
    """Neither a diagnostic nor the printed config shows what a secret is."""
    _, problems = load(GOOD, ENVIRON | {"MERCY_TOKEN_SHA256": secret})
    assert [problem.code for problem in problems] == ["C110"]
    assert secret not in "\n".join(problem.text() for problem in problems)
    printed = repr(good(load))
    assert HASH["mercy"] not in printed
    assert "to-hub" not in printed


def test_the_value_of_a_variable_is_not_printed(load: Load) -> None:
    """A value from the environment may be private, so a message names the variable instead."""
    text = GOOD + "limits: {bytes: '${SIZE}'}\n"
    _, problems = load(text, ENVIRON | {"SIZE": "7"})
    assert problems[0].message == "The value of SIZE is out of range."


def test_a_file_that_is_not_there_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    """A missing config.yaml is said like any other problem."""
    config, problems = load_config(tmp_path / "config.yaml", {})
    assert config is None
    assert problems[0].code == "C001"


def test_the_settings_reference_is_current(repository: Path) -> None:
    """docs/config.md says what the definitions say: run `python -m engine.config.reference`."""
    assert (repository / "docs" / "config.md").read_text(encoding="utf-8") == reference()


def test_every_config_code_is_explained() -> None:
    """Each code that loading can give is in the table with an explanation."""
    used = {param.values[1] for param in BAD} | {param.values[2] for param in CHANGED}
    assert used <= CODES.keys()


_WORDS = st.sampled_from(
    ["systems", "routes", "mercy", "store", "limits", "retry", "from", "to", "types", "*", "${A}"]
)
_YAML = st.recursive(
    _WORDS | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=4),
    max_leaves=12,
)


@given(value=_YAML)
def test_no_file_ends_in_a_traceback(
    value: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in config.yaml, the answer is a Config or a list of problems with places."""
    folder = tmp_path_factory.getbasetemp()
    file = folder / "generated.yaml"
    file.write_text(_as_yaml(value), encoding="utf-8")
    config, problems = load_config(file, {})
    assert config is not None or problems
    assert all(problem.place is not None for problem in problems)


def _as_yaml(value: object) -> str:
    match value:
        case dict():
            return (
                "{" + ", ".join(f'"{key}": {_as_yaml(item)}' for key, item in value.items()) + "}"
            )
        case list():
            return "[" + ", ".join(_as_yaml(item) for item in value) + "]"
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
    return str(value)
