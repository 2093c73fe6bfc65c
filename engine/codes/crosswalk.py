"""Diagnostic codes of the crosswalk."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "K001",
        "A reference is not known to the crosswalk",
        "not-found",
        "The resource refers to a member, person or organization that this system has never sent "
        "and nobody has linked. It is held until the reference is linked: send the resource it "
        "refers to, import a CSV (`carelane crosswalk import FILE`), or `carelane crosswalk link`.",
    ),
    Code(
        "K002",
        "Identifiers point to different entities",
        "conflict",
        "The identifiers of one resource are linked to two different members, persons or "
        "organizations. Merging records is a person's decision: `carelane crosswalk merge` after "
        "checking.",
    ),
    Code(
        "K003",
        "The destination does not know whom this refers to",
        "not-found",
        "The destination has no reference for this member, person or organization, and no "
        "identifier that it understands is known. Link one, or route the resource itself to it.",
    ),
    Code(
        "K004",
        "The version of a reference was left out",
        "informational",
        "A version-specific reference names a version in the sender's own history, which no other "
        "system can read.",
    ),
    Code(
        "K101",
        "A crosswalk file has other columns",
        "structure",
        "The first line of the CSV names the columns: same_as, type, system, reference, "
        "identifier_system, identifier_value, in any order, all of them.",
    ),
    Code(
        "K102",
        "A row of a crosswalk file cannot be read",
        "value",
        "Each row names one record: by its reference in a system (`Patient/123` and `mercy`), by "
        "an identifier (its system and value), or by both. The place points to the cell.",
    ),
    Code(
        "K103",
        "Groups of a crosswalk file overlap",
        "conflict",
        "Rows with the same word in `same_as` mean one entity of one type, and a record stands in "
        "one group only. Give both groups the same word if they are the same.",
    ),
    Code(
        "K104",
        "A crosswalk file joins two known entities",
        "conflict",
        "Both names are known, as two different members, persons or organizations. Joining two "
        "members shows each one's data under the other's name, so it is only done with `--merge`.",
    ),
)
