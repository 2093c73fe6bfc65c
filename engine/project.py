"""A loaded project: config, mappings, profiles and policies, checked once and then unchanging."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from msgspec import structs

from engine.config import Config, load_config
from engine.config.kinds import Tree
from engine.coordination.notification_templates import FOLDER, load_templates
from engine.diagnostics import Diagnostic, Severity, has_errors, in_order
from engine.errors import ProjectError
from engine.fhir.decoders import inner_resources
from engine.fhir.profiles import Profile, Profiles, load_profiles
from engine.mapping_sets import files_hash
from engine.message import Resource
from engine.rules.answers import Answers
from engine.rules.consent.compile import CompiledConsent, compile_consent
from engine.rules.consent.decide import decide
from engine.rules.consent.directory import Directories, Directory
from engine.rules.consent.entry import Entry, entry_of
from engine.rules.consent.policy import DEFAULT, Policy, category_problems
from engine.rules.consent.question import instant
from engine.rules.decision import Decision
from engine.rules.rule_files import load_rules
from engine.rules.rulebook import EMPTY, RuleBook
from engine.rules.sensitivity import SensitivityTable, load_tables
from engine.transform.adapter import Adapter, Adapters, load_adapters
from engine.transform.crosswalk import Key, Links, Naming, SystemCrosswalk, identifier_key
from engine.transform.normalise import as_lawful
from engine.transform.passthrough import PassThrough
from engine.transform.siblings import Seam
from engine.transform.unheard import without_named
from engine.validate import still_valid, validate

_MOST_COMPILED = 20_000

FhirVersion = Literal["R4", "R5"]
_ALWAYS = frozenset({"Communication", "DetectedIssue"})
"""Always guarded: a finding of ours tells one system what another one wrote."""

_WRAPPERS = frozenset({"Bundle", "Parameters"})
_CONTENT = {
    "CommunicationRequest": ("payload",),
    "Task": ("input", "output"),
}


@dataclass(frozen=True, slots=True)
class Leg:
    """Say how one type gets from one system to one destination: purpose and policy."""

    destination: str
    purpose: tuple[Mapping[str, str], ...]
    policy: Policy


@dataclass(frozen=True)
class Project:
    """Hold everything a stage needs that does not change between two messages."""

    config: Config
    adapters: Adapters
    profiles: Profiles
    policies: Mapping[int, Policy]
    labels: SensitivityTable | None = None
    rules: RuleBook = EMPTY
    answers: Answers = field(default_factory=Answers, repr=False)
    digest: str = field(default="", init=False)
    """Of all files that make the project, and of where its systems are; "" once it was changed."""
    _compiled: dict[tuple[str, ...], CompiledConsent] = field(default_factory=dict, repr=False)
    _entries: dict[str, Entry] = field(default_factory=dict, repr=False)
    _directories: Directories = field(default_factory=Directories, repr=False)
    _legs: dict[tuple[str, str], tuple[Leg, ...]] = field(default_factory=dict, repr=False)

    @property
    def fingerprint(self) -> str:
        """Return what tells projects apart that may decide or write otherwise; "" if unknown."""
        return f"{self.digest} {self.adapters.set_hash}" if self.digest else ""

    def digested(self, digest: str) -> Project:
        """Return the same project under the digest of its files."""
        made = replace(self)
        object.__setattr__(made, "digest", digest)
        return made

    @cached_property
    def naming(self) -> Naming:
        """Return which identifiers prove identity, and where each system's own ids live."""
        crosswalk = self.config.crosswalk
        shared = set(crosswalk.shared).union(*crosswalk.identifiers.values())
        for system in self.config.systems.values():
            shared.update(system.identifiers)
            shared.add(system.organization.system)
        bases = {name: system.base_url for name, system in self.config.systems.items()}
        return Naming(frozenset(shared), bases)

    @cached_property
    def siblings(self) -> Mapping[tuple[str, str], Seam]:
        """Return, by system and type, where systems keep one resource for each item of a whole."""
        dialects = {name: system.dialect for name, system in self.config.systems.items()}
        return {
            (system, type_name): adapter.seam
            for system, dialect in dialects.items()
            for (known, type_name), adapter in self.adapters.mapped.items()
            if known == dialect and adapter.seam is not None
        }

    @cached_property
    def adapted_types(self) -> frozenset[str]:
        """Return the types that the mapping of some system's dialect adapts."""
        dialects = {system.dialect for system in self.config.systems.values()}
        return frozenset(kind for dialect, kind in self.adapters.mapped if dialect in dialects)

    @cached_property
    def sibling_types(self) -> frozenset[str]:
        """Return the types of which some system keeps siblings."""
        return frozenset(type_name for _, type_name in self.siblings)

    def legs(self, system: str, type_name: str) -> tuple[Leg, ...]:
        """Return where a type from a system goes; the first route to a destination counts."""
        known = self._legs.get((system, type_name))
        if known is None:
            known = self._legs[system, type_name] = tuple(self._find_legs(system, type_name))
        return known

    def _find_legs(self, system: str, type_name: str) -> Iterable[Leg]:
        seen: set[str] = set()
        for index, route in enumerate(self.config.routes):
            if not route.carries(system, type_name):
                continue
            purpose = tuple(purpose.coding() for purpose in route.purposes())
            for destination in self.config.destinations(route, system):
                if destination not in seen:
                    seen.add(destination)
                    yield Leg(destination, purpose, self.policies[index])

    def leg(self, system: str, type_name: str, destination: str) -> Leg:
        """Return the leg to one destination; where no route leads there now, the plain policy."""
        for leg in self.legs(system, type_name):
            if leg.destination == destination:
                return leg
        return Leg(destination, (), self.policies[-1])

    def carried(self, system: str) -> tuple[str, ...]:
        """Return the types that some route carries from a system."""
        types = [
            name
            for route in self.config.routes
            for name in route.types
            if route.carries(system, name)
        ]
        return tuple(dict.fromkeys(types))

    def guarded(self, resource: Resource) -> bool:
        """Tell whether the consent rule guards a resource (CONSENT.md, "How a Communication").

        What holds a guarded resource, contained or as an entry, is guarded like it: nothing gets
        out by being wrapped.
        """
        if self._guards(resource):
            return True
        if "contained" not in resource and resource["resourceType"] not in _WRAPPERS:
            return False
        return any(
            isinstance(inner, dict)
            and isinstance(inner.get("resourceType"), str)  # of what came nothing is known yet
            and self.guarded(inner)
            for _, inner in inner_resources(resource, "")
        )

    def may_guard(self, type_name: str, body: bytes) -> bool:
        """Tell by the JSON of a resource whether it may be guarded; reading it is not worth it."""
        if type_name in _ALWAYS or type_name in _WRAPPERS:
            return True
        return type_name in self.config.rules.consent.applies_to or b'"contained"' in body

    def _guards(self, resource: Resource) -> bool:
        type_name = resource["resourceType"]
        if type_name in _ALWAYS:
            return True
        if type_name not in self.config.rules.consent.applies_to:
            return False
        content = _CONTENT.get(type_name)
        return content is None or any(resource.get(name) for name in content)

    def compiled(self, consent: Resource, policy: Policy) -> CompiledConsent:
        """Return a consent made ready for decisions; each stored version is worked out once.

        A kept one is used only where it was made of the very same content: neither a version id
        that a sender wrote nor a later merger of records can bring up something outdated.
        """
        version = consent.get("meta", {}).get("versionId")
        if version is None:
            return compile_consent(consent, policy.zone)
        key = (consent["id"], version, policy.zone)
        known = self._compiled.get(key)
        if known is None or (known.resource is not consent and known.resource != consent):
            if len(self._compiled) >= _MOST_COMPILED:
                self._compiled.clear()
            known = self._compiled[key] = compile_consent(consent, policy.zone)
        return known

    def entry(self, actor: Resource) -> Entry:
        """Return an actor made ready for decisions, worked out once, as with `compiled`."""
        key = f"{actor['resourceType']}/{actor['id']}"
        known = self._entries.get(key)
        if known is None or (known.resource is not actor and known.resource != actor):
            if len(self._entries) >= _MOST_COMPILED:
                self._entries.clear()
            known = self._entries[key] = entry_of(actor)
        return known

    def directory(self, supporting: Mapping[str, Resource], at: str, policy: Policy) -> Directory:
        """Return the actors of a decision, ready to be looked up; worked out once for each set."""
        actors = tuple(supporting.values())
        return self._directories.of(actors, instant(at, policy), policy.zone, self.entry)

    def organization(self, system: str, links: Links) -> dict[str, Any]:
        """Return the organization of a system as a Reference that the decision can match."""
        identifier, key = self._organizations[system]
        reference: dict[str, Any] = {"type": "Organization", "identifier": {**identifier}}
        if key is not None and (entity := links.entities.get(key)):
            reference["reference"] = f"Organization/{entity}"
        return reference

    def organization_keys(self) -> list[Key]:
        """Return the crosswalk keys of the organizations that the systems speak for."""
        return [key for _, key in self._organizations.values() if key is not None]

    @cached_property
    def _organizations(self) -> Mapping[str, tuple[Mapping[str, str], Key | None]]:
        """Return the identifier, and its key, of the organization that each system speaks for."""
        given = {name: system.organization for name, system in self.config.systems.items()}
        said = {name: {"system": one.system, "value": one.value} for name, one in given.items()}
        return {name: (one, identifier_key("Organization", one)) for name, one in said.items()}

    def crosswalk(
        self, system: str, links: Links, local: Mapping[str, str] | None = None
    ) -> SystemCrosswalk:
        """Return the crosswalk between one system and canonical."""
        kinds = self.siblings and frozenset(kind for name, kind in self.siblings if name == system)
        return SystemCrosswalk(system, self.naming, links, local or {}, kinds or frozenset())

    def adapter(self, dialect: str, type_name: str) -> Adapter | PassThrough:
        """Return the adapter of a dialect for a type; without mapping it passes through.

        Raises KeyError where the dialect does not exist, or cannot say this type in canonical.
        """
        found = self.adapters.get(dialect, type_name)
        if found is None:
            raise KeyError(f"{dialect}/{type_name}")
        return found

    def check_dialect(
        self, resource: Resource, dialect: str, written: frozenset[str] | None = None
    ) -> list[Diagnostic]:
        """Return what is wrong with a resource in the FHIR version and profile of a dialect.

        `written` names the elements whose validity is not known, where all others' is.
        """
        problems: list[Diagnostic] = []
        if written is None or not still_valid(resource, written):
            problems = self.check_version(resource, dialect)
        profile = self.profile_of(dialect, resource["resourceType"])
        if profile is None or has_errors(problems):
            return problems
        return problems + profile.check(resource)

    def check_version(self, resource: Resource, dialect: str) -> list[Diagnostic]:
        """Return what is wrong with a resource in the FHIR version of a dialect."""
        type_name = resource["resourceType"]
        adapter = self.adapters.get(dialect, type_name)
        if isinstance(adapter, Adapter):
            problems = validate(as_lawful(resource, adapter.normalise), adapter.fhir)
            return without_named(problems, adapter.plan.mapping.policies, type_name)
        if adapter is not None:
            return validate(as_lawful(resource, adapter.normalise), adapter.fhir)
        return [unspoken(dialect, type_name)]

    def profile_of(self, dialect: str, type_name: str) -> Profile | None:
        """Return the profile that a dialect's mapping of a type names, if any."""
        adapter = self.adapters.get(dialect, type_name)
        return self.profiles.get(adapter.profile) if adapter and adapter.profile else None

    def validate(
        self, resource: Resource, fhir: FhirVersion = "R4", profile: str | None = None
    ) -> list[Diagnostic]:
        """Return what is wrong with a resource; `profile` is a canonical URL known to the project.

        Raises KeyError for a profile that is not loaded.
        """
        chosen: tuple[Profile, ...] = ()
        if profile is not None:
            known = self.profiles.get(profile)
            if known is None:
                raise KeyError(profile)
            chosen = (known,)
        return validate(resource, fhir, chosen)

    def decide(
        self,
        request: Mapping[str, Any],
        consents: Sequence[Resource] = (),
        supporting: Sequence[Resource] = (),
        *,
        at: str,
        policy: Policy | Mapping[str, Any] | None = None,
    ) -> Decision:
        """Decide one request at the instant `at` under the project's policy, or another one."""
        chosen = self.policies[-1] if policy is None else policy
        return decide(request, consents, supporting, at=at, policy=chosen)


def unspoken(dialect: str, type_name: str) -> Diagnostic:
    """Say that a dialect cannot speak of a type."""
    return Diagnostic(
        "R014",
        f"The dialect {dialect} has no mapping for {type_name}.",
        path=type_name,
        remedy=f"add mappings/{dialect}/{type_name.lower()}.yaml, or leave the type out of routes.",
    )


def load(
    path: str | Path = "config.yaml",
    environ: Mapping[str, str] | None = None,
    *,
    absent_secrets: Severity | None = None,
) -> Project:
    """Load a project; `path` is its config.yaml.

    A secret whose variable is not set is left out: its system cannot send. What is about to run
    asks for `absent_secrets=Severity.ERROR`.
    Raises ProjectError with every problem of config, mappings, tables and profiles.
    """
    given = os.environ if environ is None else environ
    project, problems = examine(Path(path), given, absent_secrets=absent_secrets)
    if project is None or has_errors(problems):
        raise ProjectError(in_order(problems))
    return project


def examine(
    path: Path, environ: Mapping[str, str], *, absent_secrets: Severity | None = None
) -> tuple[Project | None, list[Diagnostic]]:
    """Return the project, or None, with everything that is wrong or doubtful in it."""
    config, problems = load_config(path, environ, absent_secrets=absent_secrets)
    if config is None:
        return None, problems
    profiles, found = load_profiles(config.profiles)
    problems += found
    adapters, found = load_adapters(config.mappings, profiles)
    problems += found
    policies, found = _policies(config)
    problems += found
    labels, found = load_tables(config.labels)
    problems += found
    if config.coordination is not None and config.coordination.notifications is not None:
        problems += load_templates(config.mappings / FOLDER)[1]
    rules, found = load_rules(config.rules_folder)
    problems += found
    if has_errors(problems):
        return None, problems
    project = Project(config, adapters, profiles, policies, labels, rules)
    return project.digested(_digest(path, config)), problems


def _digest(path: Path, config: Config) -> str:
    """Return the hash of the files of a project, and of what its environment adds to them."""
    folders = (config.mappings, config.rules_folder, *config.profiles, *config.labels)
    addresses = (f"{name} {system.base_url}" for name, system in config.systems.items())
    return hashlib.sha256(
        "\n".join([files_hash((path, *folders)), *addresses]).encode()
    ).hexdigest()


def _policies(config: Config) -> tuple[dict[int, Policy], list[Diagnostic]]:
    """Parse the policy of each route (by its index) and the plain one (-1)."""
    plain, categories = config.rules.consent.policy, config.rules.consent.by_category
    base, problems = _policy(plain, {})
    policies = {-1: base}
    for index, route in enumerate(config.routes):
        policies[index], found = _policy(route.policy, plain or {})
        problems += found
    for name, tree in categories.items():
        found = list(category_problems(tree, f"by_category.{name}"))
        problems += _placed(found, tree, f"by_category.{name}.")
    if has_errors(problems):
        return policies, problems
    return {at: policy.with_categories(categories) for at, policy in policies.items()}, problems


def _policy(tree: Tree | None, base: Mapping[str, Any]) -> tuple[Policy, list[Diagnostic]]:
    """Parse one policy over another; its problems point into config.yaml."""
    if tree is None:
        return (Policy.parse(dict(base))[0] or DEFAULT), []
    if "by_category" in tree:
        problem = Diagnostic(
            "consent-policy",
            "Policies by category stand beside the policy, not in it.",
            path="policy.by_category",
            remedy="move it to rules.consent.by_category.",
        )
        return DEFAULT, _placed([problem], tree, "policy.")
    policy, problems = Policy.parse({**base, **tree})
    return policy or DEFAULT, _placed(problems, tree, "policy.")


def _placed(problems: Iterable[Diagnostic], tree: Tree, prefix: str) -> list[Diagnostic]:
    return [
        structs.replace(problem, place=tree.place_of((problem.path or "").removeprefix(prefix)))
        for problem in problems
    ]
