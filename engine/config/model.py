"""Every setting of config.yaml, declared once: its kind, its default and what it does."""

# ruff: noqa: RUF009 - the calls declare settings; each makes a dataclass field

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from engine.config.addresses import BaseUrl, ExistingPath, StoreUrl
from engine.config.coordination import Coordination
from engine.config.kinds import (
    Choice,
    Listed,
    Named,
    Number,
    Secret,
    Section,
    Subtree,
    Text,
    Tree,
    Truth,
    Whole,
)
from engine.config.operations import Encryption, Retention
from engine.config.settings import absent_or, optional, required

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
NPI = "http://hl7.org/fhir/sid/us-npi"
NAIC = "urn:oid:2.16.840.1.113883.6.300"
EVERYTHING = "*"
MOST_PROCESSES = 64

CHECKED_TYPES = frozenset(
    {
        "Binary",
        "CarePlan",
        "CareTeam",
        "Communication",
        "CommunicationRequest",
        "Consent",
        "Coverage",
        "DocumentReference",
        "Goal",
        "Organization",
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Provenance",
        "RelatedPerson",
        "Task",
    }
)
"""The types that the engine knows in full; a route carries others by `structure_only`."""

_system_name = Text("the name of a system, or `*` for all", r"[a-z][a-z0-9-]*|\*")
_type_name = Text("a FHIR resource type", r"[A-Z][A-Za-z]+")
_types_or_all = Text("a FHIR resource type, or `*` for all", r"[A-Z][A-Za-z]+|\*")
_uri = Text("a URI without spaces", r"[A-Za-z][A-Za-z0-9+.-]*:\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """Name the organization that a system speaks for, as consents and crosswalk know it."""

    system: str = optional(_uri, "The identifier system, by default the US provider number.", NPI)
    value: str = required(
        Text("an identifier in quotes"), "The identifier of the organization in that system."
    )
    name: str | None = absent_or(Text(), "The organization's name, for people.")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """Describe one payer or provider that we exchange with."""

    title: str | None = absent_or(Text(), "The system's name, for people.")
    role: str = required(
        Choice(("provider", "payer")), "Whether the system belongs to a provider or a payer."
    )
    dialect: str = required(
        Text("the name of a folder under the mappings folder"),
        "How the system writes FHIR: a folder of mappings.",
    )
    base_url: str = required(
        BaseUrl(), "Where the system's FHIR endpoint is; resources are delivered there."
    )
    organization: Organization = required(
        Section(Organization), "The organization that the system speaks for."
    )
    token_sha256: str | None = absent_or(
        Secret(
            "a SHA-256 in hex, from the environment",
            r"[0-9a-fA-F]{64}",
            "'carelane token' prints a new token with its SHA-256.",
        ),
        "SHA-256 of the bearer token that the system sends to us. Without it the system cannot "
        "send. `carelane token` prints a new one.",
        secret=True,
    )
    bearer: str | None = absent_or(
        Secret(
            "a bearer token, from the environment",
            r"[A-Za-z0-9._~+/-]+=*",
            "the system's operator issues it to you.",
        ),
        "The bearer token that we send to the system. Without it no Authorization header is sent.",
        secret=True,
    )
    interaction: str = optional(
        Choice(("update", "create", "transaction", "batch")),
        "How resources are written there: `update` (PUT by id), `create` (POST), `transaction` or "
        "`batch` (a Bundle with a PUT for each resource).",
        "update",
    )
    batch: int = optional(
        Whole(1, 50),
        "How many waiting deliveries, each of another member, may go in one Bundle; more than one "
        "asks for the interaction `batch` or `transaction`.",
        1,
    )
    conditional: bool = optional(
        Truth(),
        "Whether a create carries `If-None-Exist`, so that a repeat makes no second copy, and a "
        "later version goes by conditional update; `false` for a server that answers 400 to it.",
        True,
    )
    concurrency: int = optional(
        Whole(1, 256), "How many requests to the system may be under way at once.", 4
    )
    timeout: float = optional(
        Number(0.1, 300, "seconds"), "How long one request to the system may take.", 10.0
    )
    lookup: bool = optional(
        Truth(),
        "Whether people and organizations that a submission refers to and nobody knows are read "
        "from the system's own endpoint, within `timeout`; what cannot be read stays unresolved.",
        False,
    )
    identifiers: tuple[str, ...] = optional(
        Listed(_uri),
        "Identifier systems that this system assigns itself, such as its medical record numbers "
        "or member numbers. They join its resources to members in the crosswalk.",
        (),
    )
    hooks: tuple[str, ...] = optional(
        Listed(BaseUrl()),
        "Where the system may have itself notified by subscription (docs/subscriptions.md): an "
        "endpoint must be one of these URLs or lie under one. Without any the system cannot "
        "subscribe.",
        (),
    )
    updates: str = optional(
        Choice(("reported", "polling", "subscription")),
        "How we learn what becomes of the records requests that we sent to the system: it reports "
        "by itself, we ask for them in rounds (`coordination.records.poll`), or we subscribe there "
        "and fall back to asking while the subscription does not work.",
        "reported",
    )
    reads: str = optional(
        Choice(("own", "all")),
        "What the system may read back: what it sent itself, or everything (the operator).",
        "own",
    )


@dataclass(frozen=True, slots=True)
class Purpose:
    """Hold one purpose of use (http://terminology.hl7.org/CodeSystem/v3-ActReason)."""

    code: str
    system: str = ACT_REASON

    def coding(self) -> dict[str, str]:
        """Return the purpose as a FHIR Coding."""
        return {"system": self.system, "code": self.code}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Say which types travel from which systems to which."""

    sources: tuple[str, ...] = required(
        Listed(_system_name), "The sending systems: one, several, or `*`.", key="from"
    )
    to: tuple[str, ...] = required(Listed(_system_name), "The receiving systems.")
    types: tuple[str, ...] = required(
        Listed(_types_or_all), "The resource types that this route carries, or `*`."
    )
    purpose: tuple[str, ...] = optional(
        Listed(Text("a code of v3-ActReason", r"[A-Z]{2,12}")),
        "The purpose of use that is assumed where message and resource state none.",
        (),
    )
    policy: Tree | None = absent_or(
        Subtree("a mapping of consent policy settings"),
        "Consent policy of this route; each key replaces the one under `rules.consent.policy`.",
    )

    def carries(self, system: str, resource_type: str) -> bool:
        """Tell whether a resource of this type from this system takes the route."""
        return _names(self.sources, system) and _names(self.types, resource_type)

    def purposes(self) -> tuple[Purpose, ...]:
        """Return the assumed purposes as codings."""
        return tuple(Purpose(code) for code in self.purpose)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRules:
    """Say what the consent rule guards and by which policy."""

    applies_to: tuple[str, ...] = optional(
        Listed(_type_name),
        "The types that need a covering consent. Communication always does, listed or not; "
        "CommunicationRequest and Task are guarded where they carry content. A Binary names no "
        "member, so it is refused on its own: send its content in a DocumentReference.",
        ("Communication", "CommunicationRequest", "Task", "DocumentReference", "Binary"),
    )
    policy: Tree | None = absent_or(
        Subtree("a mapping of consent policy settings"),
        "How consents are read where laws and guides differ; see the consent policy reference.",
    )
    by_category: Mapping[str, Tree] = optional(
        Named(
            Subtree("a mapping of consent policy settings"),
            "a category of consents, as a code or `system|code`",
            r"\S+",
        ),
        "Other settings for the consents of a category, over those of the route; of several "
        "categories that fit, the first listed counts. Only what concerns one consent can differ: "
        "`nested_type`, `nested_purpose`, `signature`, `grantor`, `absent_purpose`, "
        "`several_purposes`, `majority_age`.",
        MappingProxyType({}),
    )

    def guards(self, resource_type: str) -> bool:
        """Tell whether resources of this type need a covering consent."""
        return resource_type == "Communication" or resource_type in self.applies_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Hold the settings of the rules, one section each."""

    consent: ConsentRules = optional(Section(ConsentRules), "The consent rule.", ConsentRules())


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Say when a failed delivery is tried again."""

    attempts: int = optional(
        Whole(1, 100), "After how many attempts a delivery becomes a dead letter.", 8
    )
    first: float = optional(
        Number(0.01, 3600, "seconds"), "The wait after the first failed attempt.", 1.0
    )
    factor: float = optional(Number(1, 10), "What each further wait is multiplied by.", 2.0)
    cap: float = optional(Number(0.01, 86_400, "seconds"), "The longest wait.", 300.0)
    jitter: float = optional(
        Number(0, 1), "How much of each wait is random, so that retries do not come at once.", 0.2
    )
    patience: float = optional(
        Number(1, 604_800, "seconds"),
        "The longest `Retry-After` of a destination that is honoured as it stands.",
        3600.0,
    )
    poison: str = optional(
        Choice(("park", "skip", "block")),
        "What a delivery that cannot be delivered does to its member's later ones at that system: "
        "`park` keeps them waiting behind the dead letter, `skip` lets them pass, `block` never "
        "gives up.",
        "park",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Say what is too much to take in."""

    bytes: int = optional(
        Whole(1_024, 1_073_741_824), "The largest body that is accepted, in bytes.", 10_485_760
    )
    depth: int = optional(Whole(8, 200), "How deep JSON may be nested.", 64)
    entries: int = optional(Whole(1, 100_000), "How many entries a Bundle may have.", 1_000)
    outbox: int = optional(
        Whole(1, 10_000_000),
        "How many deliveries may wait for one destination: beyond that, submissions that lead "
        "there are put off with 503 and Retry-After.",
        10_000,
    )
    subscriptions: int = optional(
        Whole(1, 10_000), "How many subscriptions one system may have at once.", 20
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Say where the engine listens."""

    host: str = optional(
        Text("a host name or address", r"[A-Za-z0-9.:_-]+"),
        "The address to listen on; by default only this machine reaches it.",
        "127.0.0.1",
    )
    port: int = optional(Whole(1, 65_535), "The port to listen on.", 8080)
    deliveries: str = optional(
        Choice(("process", "beside", "apart")),
        "How `carelane serve` delivers: in a `process` of its own that it keeps running, so that "
        "acceptance and deliveries use a core each; `beside` acceptance in the same process; or "
        "not, since `carelane worker` runs `apart`.",
        "process",
    )
    processes: int | None = absent_or(
        Whole(1, MOST_PROCESSES),
        "How many processes of `carelane serve` take submissions in. By default one for each "
        "core that deliveries leave, 4 at most; 1 where it delivers `beside`.",
    )
    address: str | None = absent_or(
        BaseUrl(),
        "The FHIR base under which other systems reach this server, such as "
        "https://engine.example/fhir: notifications name resources by it, and systems that we "
        "subscribe at notify us under it. By default `http://HOST:PORT/fhir`.",
    )

    @property
    def base(self) -> str:
        """Return the FHIR base of this server as others know it."""
        return self.address or f"http://{self.host}:{self.port}/fhir"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrosswalkSettings:
    """Say which identifiers make two records the same member, person or organization."""

    shared: tuple[str, ...] = optional(
        Listed(_uri),
        "Identifier systems that mean the same in every system: US provider numbers (NPI) and "
        "insurer numbers (NAIC) by default.",
        (NPI, NAIC),
    )
    identifiers: Mapping[str, tuple[str, ...]] = optional(
        Named(Listed(_uri), "a resource type", r"[A-Z][A-Za-z]+"),
        "Which shared identifier systems identify which type.",
        MappingProxyType({"Practitioner": (NPI,), "Organization": (NPI, NAIC)}),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Hold everything that config.yaml says."""

    store: str = optional(
        StoreUrl(),
        "Where the durable record is: a SQLite file or a PostgreSQL database.",
        "sqlite:///var/carelane.db",
        secret=True,
    )
    systems: Mapping[str, System] = required(
        Named(Section(System), "the name of a system"),
        "The payers and providers that we exchange with, by name.",
    )
    routes: tuple[Route, ...] = required(
        Listed(Section(Route)), "Which types travel from which systems to which."
    )
    unrouted: str = optional(
        Choice(("reject", "record")),
        "What happens to a resource that no route carries: rejected with 422, or recorded and "
        "not passed on.",
        "reject",
    )
    window: int = optional(
        Whole(0, 604_800),
        "For how many seconds an equal body from the same system counts as the same submission, "
        "under whatever key; not where another came between for a resource of its own.",
        600,
    )
    rules: Rules = optional(Section(Rules), "The rules that every resource passes.", Rules())
    coordination: Coordination | None = absent_or(
        Section(Coordination),
        "What the engine does for coordination itself; without this section it only carries.",
    )
    crosswalk: CrosswalkSettings = optional(
        Section(CrosswalkSettings),
        "Which identifiers mean the same in two systems.",
        CrosswalkSettings(),
    )
    retry: Retry = optional(Section(Retry), "When a failed delivery is tried again.", Retry())
    limits: Limits = optional(Section(Limits), "What is too much to take in.", Limits())
    server: Server = optional(Section(Server), "Where the engine listens.", Server())
    retention: Retention = optional(
        Section(Retention), "What is removed from the record after a while.", Retention()
    )
    encryption: Encryption | None = absent_or(
        Section(Encryption),
        "How payloads are encrypted in the record; without this section they are not.",
    )
    mappings: Path = optional(
        ExistingPath("the mappings folder"), "The folder of mappings.", Path("mappings")
    )
    rules_folder: Path = optional(
        ExistingPath("the folder of rules"),
        "The folder of the rules that analysts write (docs/rules.md); without it there are none.",
        Path("rules"),
    )
    profiles: tuple[Path, ...] = optional(
        Listed(ExistingPath("a folder or package of profiles")),
        "Folders, files or packages of StructureDefinitions.",
        (Path("profiles"),),
    )
    structure_only: tuple[str, ...] = optional(
        Listed(_type_name),
        "Further resource types that routes may carry, checked for structure only: without "
        "mapping, profile or consent rule of their own.",
        (),
    )
    labels: tuple[Path, ...] = optional(
        Listed(ExistingPath("a table of sensitivity labels")),
        "Tables that label content by its codes before it is judged.",
        (),
    )
    root: Path = field(default=Path())
    """The folder of the file; every relative path starts here."""

    def routes_for(self, system: str, resource_type: str) -> tuple[Route, ...]:
        """Return the routes that a resource of this type from this system takes, in order."""
        return tuple(route for route in self.routes if route.carries(system, resource_type))

    def destinations(self, route: Route, source: str) -> tuple[str, ...]:
        """Return the systems that a route leads to, never back to the source."""
        everyone = tuple(self.systems) if EVERYTHING in route.to else route.to
        return tuple(name for name in everyone if name != source)

    def identifying(self, resource_type: str) -> frozenset[str]:
        """Return the identifier systems that identify a resource of this type.

        They are the shared ones of the type and those that any system assigns: a hospital's
        Patient that carries the plan's member number beside its own joins the two.
        """
        own = (each for system in self.systems.values() for each in system.identifiers)
        return frozenset(self.crosswalk.identifiers.get(resource_type, ())) | frozenset(own)


def _names(listed: tuple[str, ...], name: str) -> bool:
    return name in listed or EVERYTHING in listed
