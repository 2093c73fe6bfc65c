"""Who may sign for another person: relationship codes that carry authority."""

from __future__ import annotations

GUARDIAN = frozenset({"GUARD", "GRD", "GUADLTM", "RESPRSN"})
"""Guardian, guardian ad litem, responsible person (v3-RoleClass, v2-0063, v3-RoleCode)."""

ATTORNEY = frozenset({"POWATT", "DPOWATT", "HPOWATT", "SPOWATT"})
"""Power of attorney: general, durable, healthcare, special (v3-RoleCode)."""

PARENT = frozenset(
    {"PRN", "FTH", "MTH", "NPRN", "NFTH", "NMTH", "NFTHF", "ADOPTP", "ADOPTF", "ADOPTM", "PAR"}
)
"""Parents by birth or adoption (v3-RoleCode, v2-0063); not step, foster or in-law parents."""

SYSTEMS = frozenset(
    {
        "",
        "http://terminology.hl7.org/CodeSystem/v3-RoleCode",
        "http://terminology.hl7.org/CodeSystem/v3-RoleClass",
        "http://terminology.hl7.org/CodeSystem/v2-0063",
        "http://hl7.org/fhir/v3/RoleCode",
        "http://hl7.org/fhir/v3/RoleClass",
        "urn:oid:2.16.840.1.113883.5.111",
        "urn:oid:2.16.840.1.113883.5.110",
    }
)
"""Code systems in which these codes mean that."""

RECIPIENT = frozenset(
    {"IRCP", "PRCP", "AUCG", "NOT", "TRC", "GRANTEE", "DELEGATEE", "REFT", "SPRF", "humanuser"}
)
"""Roles of an actor who receives (v3-ParticipationType, ParticipationFunction, RoleCode)."""

DISCLOSER = frozenset({"performer", "PRF", "CST", "INF", "DIST", "custodian", "informant"})
"""Roles of an actor who discloses: HRex `performer`, custodian, informant."""

UNCLEAR = frozenset({"AUT", "WIT", "CONSWIT", "INTPRTER", "LA", "AUTHEN"})
"""Roles that say neither who sends nor who receives: such a rule denies and never permits."""

SELF = frozenset({"CONSENTER", "GRANTOR", "PAT", "DELEGATOR", "datasubject", "SBJ", "RCT"})
"""Roles of the member as the one who consents: not a condition on who sends or receives."""
