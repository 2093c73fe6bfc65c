"""Profiles are loaded from folders and packages, and checked element by element."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from engine.diagnostics import CODES, Severity, has_errors
from engine.fhir.json import loads
from engine.fhir.profiles import Profile, Profiles, load_profiles

US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
HREX = "http://hl7.org/fhir/us/davinci-hrex/StructureDefinition/"
OURS = "https://carelane.example/fhir/StructureDefinition/"


@pytest.fixture(scope="module")
def shipped() -> Profiles:
    """Return the profiles that the project ships."""
    profiles, problems = load_profiles([Path(__file__).resolve().parents[2] / "profiles"])
    assert problems == []
    return profiles


def _profile(*elements: dict[str, Any], **about: Any) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "url": "https://a.example/team",
        "name": "Team",
        "kind": "resource",
        "type": "CareTeam",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/CareTeam",
        "derivation": "constraint",
        "differential": {"element": list(elements)},
        **about,
    }


def _loaded(folder: Path, *resources: dict[str, Any], **options: Any) -> Profile:
    for index, resource in enumerate(resources):
        (folder / f"{index}.json").write_text(json.dumps(resource))
    profiles, problems = load_profiles([folder], **options)
    assert not has_errors(problems), problems
    found = profiles.get("https://a.example/team")
    assert found is not None
    return found


def _told(profile: Profile, **team: Any) -> list[tuple[str, str | None]]:
    problems = profile.check({"resourceType": "CareTeam", **team})
    assert all(problem.code in CODES for problem in problems)
    return [(problem.code, problem.path) for problem in problems]


def test_every_dialect_has_a_profile_for_each_type(shipped: Profiles) -> None:
    """Canonical, us-core and hrex each have a profile of our own for the four types."""
    for dialect in ("canonical", "us-core", "hrex"):
        for kind in ("CareTeam", "CarePlan", "Consent", "Communication"):
            profile = shipped.get(f"{OURS}{dialect}-{kind.lower()}")
            assert profile is not None
            assert profile.type == kind


def test_ours_stand_in_for_the_public_ones(shipped: Profiles) -> None:
    """A public URL finds our profile that derives from it, with or without a version."""
    profile = shipped.get(f"{US_CORE}us-core-careteam|6.1.0")
    assert profile is not None
    assert profile.url == f"{OURS}us-core-careteam"
    assert shipped.get(f"{US_CORE}us-core-unheard-of") is None


def test_cardinalities_are_checked(tmp_path: Path) -> None:
    """Too few and too many values are told at their element, also inside a backbone."""
    profile = _loaded(
        tmp_path,
        _profile(
            {"path": "CareTeam.subject", "min": 1},
            {"path": "CareTeam.note", "max": "0"},
            {"path": "CareTeam.participant.role", "min": 1, "max": "1"},
        ),
    )
    assert _told(profile, note=[{"text": "a"}], participant=[{}, {"role": [{}, {}]}]) == [
        ("V020", "CareTeam.subject"),
        ("V021", "CareTeam.note"),
        ("V020", "CareTeam.participant[0].role"),
        ("V021", "CareTeam.participant[1].role"),
    ]
    assert _told(profile, subject={"reference": "Patient/1"}) == []


def test_fixed_and_pattern_values_are_checked(tmp_path: Path) -> None:
    """A fixed value is equal, a pattern is contained."""
    pattern = {"coding": [{"system": "s", "code": "c"}]}
    profile = _loaded(
        tmp_path,
        _profile(
            {"path": "CareTeam.status", "fixedCode": "active"},
            {"path": "CareTeam.category", "patternCodeableConcept": pattern},
        ),
    )
    good = {"coding": [{"system": "x"}, {"system": "s", "code": "c", "display": "d"}], "text": "t"}
    assert _told(profile, status="active", category=[good]) == []
    assert _told(profile, status="inactive", category=[good, {"text": "t"}]) == [
        ("V022", "CareTeam.status"),
        ("V022", "CareTeam.category[1]"),
    ]


def test_required_bindings_are_checked(tmp_path: Path) -> None:
    """A code outside a required value set is told; a coding beside others may satisfy it."""
    binding = {"strength": "required", "valueSet": "https://a.example/set|1"}
    system = {"resourceType": "CodeSystem", "url": "s", "content": "complete"}
    value_set = {
        "resourceType": "ValueSet",
        "url": "https://a.example/set",
        "compose": {
            "include": [{"system": "s"}],
            "exclude": [{"system": "s", "concept": [{"code": "z"}]}],
        },
    }
    concepts = [{"code": "a", "concept": [{"code": "b"}]}, {"code": "z"}]
    profile = _loaded(
        tmp_path,
        _profile({"path": "CareTeam.category", "binding": binding}),
        value_set,
        {**system, "concept": concepts},
    )
    codings = [
        [{"system": "x", "code": "a"}, {"system": "s", "code": "b"}],
        [{"system": "s", "code": "z"}],
    ]
    assert _told(profile, category=[{"coding": coding} for coding in codings]) == [
        ("V023", "CareTeam.category[1]")
    ]


def test_a_value_set_that_is_not_there_is_information(tmp_path: Path) -> None:
    """A required value set that cannot be listed is told when the profile is loaded."""
    binding = {"strength": "required", "valueSet": "https://a.example/none"}
    file = tmp_path / "p.json"
    file.write_text(json.dumps(_profile({"path": "CareTeam.category", "binding": binding})))
    _, problems = load_profiles([file])
    assert [(p.code, p.severity) for p in problems] == [("V031", Severity.INFORMATION)]


def test_slices_are_counted_and_checked(tmp_path: Path) -> None:
    """A slice found by its pattern has its own cardinality and its own rules inside."""
    lead = {"coding": [{"code": "lead"}]}
    slicing = {"discriminator": [{"type": "pattern", "path": "role"}], "rules": "closed"}
    profile = _loaded(
        tmp_path,
        _profile(
            {"id": "CareTeam.participant", "path": "CareTeam.participant", "slicing": slicing},
            {
                "id": "CareTeam.participant:lead",
                "path": "CareTeam.participant",
                "min": 1,
                "max": "1",
            },
            {
                "id": "CareTeam.participant:lead.role",
                "path": "CareTeam.participant.role",
                "patternCodeableConcept": lead,
            },
            {
                "id": "CareTeam.participant:lead.member",
                "path": "CareTeam.participant.member",
                "min": 1,
            },
        ),
    )
    leader = {"role": [lead], "member": {"reference": "Practitioner/1"}}
    assert _told(profile, participant=[leader]) == []
    assert _told(profile) == [("V020", "CareTeam.participant")]
    assert _told(profile, participant=[leader, {"role": [lead]}]) == [
        ("V021", "CareTeam.participant:lead"),
        ("V020", "CareTeam.participant[1].member"),
    ]
    assert ("V021", "CareTeam.participant") in _told(profile, participant=[leader, {"role": [{}]}])


def test_reference_types_are_narrowed(tmp_path: Path) -> None:
    """A reference that says its type may point only where the profile allows."""
    kind = {"code": "Reference", "targetProfile": [f"{US_CORE}us-core-patient"]}
    profile = _loaded(tmp_path, _profile({"path": "CareTeam.subject", "type": [kind]}))
    assert _told(profile, subject={"reference": "Group/1"}) == [("V026", "CareTeam.subject")]
    assert _told(profile, subject={"reference": "urn:uuid:1"}) == []


def test_invariants_are_evaluated_and_can_be_set_to_warn(tmp_path: Path) -> None:
    """A FHIRPath invariant is an error, or a warning where the key is named for the profile."""
    rule = {"key": "t-1", "severity": "error", "human": "A name.", "expression": "name.exists()"}
    profile = _loaded(tmp_path, _profile({"path": "CareTeam", "constraint": [rule]}))
    assert profile.fhirpath == 1
    assert _told(profile, name="a") == []
    assert _told(profile, status="active") == [("V025", "CareTeam")]
    warned = _loaded(tmp_path, warn={"https://a.example/team": ["t-1"]})
    assert [p.severity for p in warned.check({"resourceType": "CareTeam"})] == [Severity.WARNING]


def test_must_support_is_information_on_request(tmp_path: Path) -> None:
    """Absent must-support elements are named as information, and only when asked for."""
    profile = _loaded(tmp_path, _profile({"path": "CareTeam.name", "mustSupport": True}))
    assert _told(profile) == []
    problems = profile.check({"resourceType": "CareTeam"}, must_support=True)
    assert [(p.code, p.severity) for p in problems] == [("V024", Severity.INFORMATION)]


def test_a_profile_of_a_profile_checks_both(tmp_path: Path) -> None:
    """What a parent profile asks for is checked too."""
    parent = _profile({"path": "CareTeam.name", "min": 1}, url="https://a.example/parent")
    child = _profile(
        {"path": "CareTeam.subject", "min": 1}, baseDefinition="https://a.example/parent"
    )
    assert _told(_loaded(tmp_path, parent, child)) == [
        ("V020", "CareTeam.name"),
        ("V020", "CareTeam.subject"),
    ]


def test_a_misspelt_path_is_told_with_its_place(tmp_path: Path) -> None:
    """A path that the type does not have is refused at its line, with the nearest name."""
    file = tmp_path / "p.yaml"
    file.write_text(
        "resourceType: StructureDefinition\nurl: https://a.example/team\nkind: resource\n"
        "type: CareTeam\nderivation: constraint\ndifferential:\n  element:\n"
        "    - {path: CareTeam.participants, min: 1}\n"
    )
    _, problems = load_profiles([file])
    assert [problem.code for problem in problems] == ["V030"]
    assert str(problems[0].place) == f"{file}:8:7"
    assert "did you mean 'participant'?" in problems[0].message


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", b'{"resourceType":"StructureDefinition",}'), ("a.yaml", b"a: [1"), ("a.tgz", b"x")],
)
def test_files_that_cannot_be_read_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    """A broken file is a problem with its place, never an exception."""
    (tmp_path / name).write_bytes(content)
    profiles, problems = load_profiles([tmp_path])
    assert len(profiles) == 0
    assert [problem.place is not None for problem in problems] == [True]


def test_a_package_is_read(tmp_path: Path) -> None:
    """A .tgz IG package gives its profiles."""
    data = json.dumps(_profile({"path": "CareTeam.name", "min": 1})).encode()
    with tarfile.open(tmp_path / "ig.tgz", "w:gz") as package:
        member = tarfile.TarInfo("package/StructureDefinition-team.json")
        member.size = len(data)
        package.addfile(member, io.BytesIO(data))
    profiles, problems = load_profiles([tmp_path / "ig.tgz"])
    assert problems == []
    assert [profile.url for profile in profiles] == ["https://a.example/team"]


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("CareTeam", f"{US_CORE}us-core-careteam"),
        ("CarePlan", f"{US_CORE}us-core-careplan"),
        ("Consent", f"{HREX}hrex-consent"),
    ],
)
def test_ours_judge_as_the_public_ones(
    shipped: Profiles, shared: Path, kind: str, url: str
) -> None:
    """On every real file our profile and the public one give the same verdict."""
    public, _ = load_profiles([shared / "ig" / "us-core" / "6.1.0", shared / "ig" / "hrex"])
    ours, theirs = shipped.get(url), public.get(url)
    assert ours is not None
    assert theirs is not None
    assert theirs.url == url
    index = json.loads((shared / "corpus" / "index.json").read_bytes())
    for entry in index:
        if entry["resourceType"] == kind:
            tree = loads((shared / "corpus" / "examples" / entry["file"]).read_bytes())
            verdicts = [has_errors(profile.check(tree)) for profile in (ours, theirs)]
            assert verdicts[0] == verdicts[1], entry["file"]
