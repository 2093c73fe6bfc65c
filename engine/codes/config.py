"""Diagnostic codes of config.yaml and of YAML files in general."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "C001",
        "A file cannot be read",
        "not-found",
        "A file that the project names is missing or its permissions forbid reading it.",
    ),
    Code(
        "C002",
        "A file is too large or too deep",
        "too-long",
        "Files that people write are read with limits on size, nesting and number of values, so "
        "that a hostile file cannot exhaust the machine. Split the file.",
    ),
    Code(
        "C003",
        "A file is not YAML",
        "structure",
        "The text is no YAML mapping. Most often an indent is off, or a text with ': ' in it needs "
        "quotes.",
    ),
    Code(
        "C004",
        "Anchors and tags are not read",
        "structure",
        "YAML anchors (&), aliases (*) and tags (!) can hide values or run code, so project files "
        "do without them. Write the value out, or use `extends:` in a mapping.",
    ),
    Code(
        "C005",
        "A key stands twice",
        "duplicate",
        "YAML would silently keep the last of two equal keys. Remove one of them.",
    ),
    Code(
        "C101",
        "A setting is unknown",
        "structure",
        "config.yaml is read strictly: a misspelt setting would otherwise be ignored in "
        "silence and its default be used. The message names the nearest setting that exists; "
        "docs/config.md lists all of them.",
    ),
    Code(
        "C102",
        "A setting is missing",
        "required",
        "The section needs this setting and it has no default. For a system these are `role`, "
        "`dialect`, `base_url` and `organization`.",
    ),
    Code(
        "C103",
        "A value is of the wrong kind",
        "value",
        "The setting wants another kind of value: a list where a text stands, a number where "
        "a word stands. A number that is an identifier needs quotes, as in `value: "
        '"1234567893"`, so that no leading zero is lost.',
    ),
    Code(
        "C104",
        "A number is out of range",
        "value",
        "The number is smaller or larger than the engine can work with. The message states "
        "the range.",
    ),
    Code(
        "C105",
        "A word is none of the choices",
        "code-invalid",
        "The setting takes one of a few words. The message lists them and names the nearest.",
    ),
    Code(
        "C106",
        "A name has the wrong form",
        "value",
        "Names of systems stand in the ledger, in the crosswalk and on the command line, so "
        "they are plain: a lower-case letter, then letters, digits or '-', 40 at most.",
    ),
    Code(
        "C107",
        "A variable is only part of a value",
        "value",
        "`${NAME}` is replaced only where it is the whole value: joined texts are hard to "
        "check and easily leak a secret. Put the whole value into the variable.",
    ),
    Code(
        "C108",
        "An environment variable is not set",
        "not-found",
        "The file says `${NAME}` and the environment has no NAME. Set it before the engine "
        "starts, or, where the value is no secret, give a default as `${NAME:-default}`. "
        "`carelane token` prints a new token with its SHA-256.",
    ),
    Code(
        "C109",
        "A secret is written in the file",
        "security",
        "config.yaml is kept in version control, so it names secrets and never holds them: "
        "write `${NAME}` without a default and set NAME in the environment. A secret that has "
        "been in a file should be replaced.",
    ),
    Code(
        "C110",
        "A secret has the wrong form",
        "security",
        "The environment variable holds something else than what belongs there, for example a "
        "token where its SHA-256 is expected. The value is not printed. `carelane token` "
        "prints a new token with its SHA-256.",
    ),
    Code(
        "C111",
        "A URL cannot be used",
        "value",
        "A base URL begins with https:// (or http:// on this machine), names a host, and has "
        "no user name, password, query or fragment: `https://ehr.example/fhir`.",
    ),
    Code(
        "C112",
        "A dialect is unknown",
        "not-found",
        "A system's `dialect` is the name of a folder under the mappings folder. Correct the "
        "name, or create the folder with a mapping for each type.",
    ),
    Code(
        "C113",
        "A path leads nowhere",
        "not-found",
        "The file or folder that the setting names does not exist. Paths are relative to the "
        "folder of config.yaml.",
    ),
    Code(
        "C114",
        "A route names an unknown system",
        "not-found",
        "`from` and `to` of a route name systems of the same file, or `*` for all. The "
        "message names the nearest one.",
    ),
    Code(
        "C115",
        "A URL is not encrypted",
        "security",
        "Resources sent to an http:// URL on another machine can be read on the way. Use https://.",
    ),
    Code(
        "C116",
        "A resource type is unknown",
        "code-invalid",
        "The name is no resource type of FHIR R4 (http://hl7.org/fhir/R4/resourcelist.html). "
        "Names begin with a capital letter: CareTeam, CarePlan.",
    ),
    Code(
        "C117",
        "A type is known by structure only",
        "not-supported",
        "The engine has profiles, references and rules for the types of care coordination. "
        "Another type may travel too, but only its structure is checked; listing it under "
        "`structure_only` says that this is enough.",
    ),
    Code(
        "C118",
        "A route leads back to its sender",
        "business-rule",
        "A resource is never delivered to the system that sent it, so this route would "
        "deliver nothing.",
    ),
    Code(
        "C119",
        "The store is unknown",
        "not-supported",
        "The durable record is a SQLite file (`sqlite:///var/carelane.db`) or a PostgreSQL "
        "database (`postgresql://host/database`, with the whole URL in a variable where it "
        "has a password).",
    ),
    Code(
        "C120",
        "Two systems assign the same identifiers",
        "conflict",
        "An identifier system under `identifiers` belongs to the one system that assigns it: "
        "equal numbers from two systems would otherwise join two people. Numbers that mean "
        "the same everywhere go under `crosswalk.shared`.",
    ),
    Code(
        "C121",
        "Two systems have the same token",
        "conflict",
        "The bearer token tells which system sends. Give each system a token of its own.",
    ),
    Code(
        "C122",
        "Deliveries cannot go together",
        "conflict",
        "`batch` lets several deliveries go in one Bundle, which `update` and `create` do not "
        "send. Give the system `interaction: batch`, where each entry has its own outcome, or "
        "`interaction: transaction`, or leave `batch` out.",
    ),
    Code(
        "C123",
        "A Consent would need a consent",
        "business-rule",
        "`applies_to` lists the types that need a covering consent. A Consent is what covers: if "
        "it needed one itself, the first could never be taken in, and a revocation neither.",
    ),
)
