"""Diagnostic codes of the consent room."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "N001",
        "A part of a sensitivity table is missing",
        "required",
        "A table of sensitive codes needs `sensitivity` (its name), `version`, `systems` and "
        "`topics`; each topic needs `title`, `labels`, `confidentiality` and `codes`.",
    ),
    Code(
        "N002",
        "A sensitivity table names what it does not have",
        "not-found",
        "A key, a code system or a topic is not known. A misspelt system would leave its codes "
        "unlabelled, so the table does not load.",
    ),
    Code(
        "N003",
        "A value in a sensitivity table cannot be used",
        "value",
        "Codes are text or a range of three-character categories such as F12-F16; `match` is "
        "exact or prefix; `confidentiality` is one of U, L, M, N, R, V.",
    ),
    Code(
        "N004",
        "A code stands twice in a topic",
        "duplicate",
        "The same code is listed twice under one topic. Remove one of the two.",
    ),
    Code(
        "N005",
        "A patient-consent-consult call cannot be read",
        "invalid",
        "A call of the CDS Hooks service needs `hook` (patient-consent-consult), `hookInstance` "
        'and `context` with `patientId`: one or more of `{"system": ..., "value": ...}`.',
    ),
    Code(
        "N006",
        "Only the operator may ask this of the consent registry",
        "forbidden",
        "The registry answers every system about its own disclosures, for now, under the policy "
        "in force. Another instant or policy, the record of decisions and the reasons are for the "
        "operator (`reads: all` in config.yaml).",
    ),
    Code(
        "consent-missing",
        "No consent covers this",
        "forbidden",
        "No consent in force speaks of this member and this disclosure. Send a signed Consent "
        "of the member first, then the Communication again.",
    ),
    Code(
        "consent-expired",
        "The consent is not in force at this time",
        "forbidden",
        "The period of the consent, or of the provision that would permit this, has ended or "
        "has not begun. A new Consent is needed; an older one does not revive.",
    ),
    Code(
        "consent-revoked",
        "The consent has ended",
        "forbidden",
        "The Consent is inactive, or a later one replaced it. A new Consent is needed.",
    ),
    Code(
        "consent-denied",
        "The disclosure is not permitted",
        "forbidden",
        "A Consent denies this, or does not reach so far. Neither the rule nor the content "
        "that it protects is told to the sender; the ledger has the full trace.",
    ),
    Code(
        "consent-unsigned",
        "The consent is not shown to be signed before the outreach",
        "forbidden",
        "A consent counts when it was signed before the outreach and says so: `dateTime` not "
        "after it, and a source, a verification or a signed Provenance as evidence. What "
        "evidence is needed is the policy's `signature`.",
    ),
    Code(
        "consent-grantor",
        "The consent was not given by someone entitled to give it",
        "forbidden",
        "The member agrees (`performer`; R5 `grantor`), or a RelatedPerson of that member "
        "with authority: guardian, power of attorney, parent of a minor, active on the day of "
        "signing. A guardian's consent stops when the minor comes of age.",
    ),
    Code(
        "consent-recipient",
        "The consent does not cover the recipient",
        "forbidden",
        "Every recipient, and the organization of each destination, must be covered: by "
        "reference or identifier, or through PractitionerRole, Organization.partOf, CareTeam "
        "or Group.",
    ),
    Code(
        "consent-sender",
        "The consent does not cover the sender",
        "forbidden",
        "The consent names who may disclose (role `performer` in HRex), and the sender or the "
        "organization of its system is not among them.",
    ),
    Code(
        "consent-action",
        "The consent does not cover the action",
        "forbidden",
        "A Communication is a disclosure: a consent that names actions must name `disclose`; "
        "`access` is not enough.",
    ),
    Code(
        "consent-purpose",
        "The consent does not cover the purpose",
        "forbidden",
        "A consent that lists purposes of use must cover each that is asked. State the "
        "purpose on the message or in the route; break-glass and emergency must be listed "
        "themselves.",
    ),
    Code(
        "consent-unclear",
        "The consent cannot be evaluated",
        "forbidden",
        "Something in the Consent is not understood here: a modifier extension, implicit "
        "rules, a date or type that cannot be read. What is unclear does not permit. Send it "
        "again in a form that is understood.",
    ),
    Code(
        "consent-policy",
        "The consent policy has a mistake",
        "value",
        "A switch of the consent policy is misspelt or has a value that it does not know. A "
        "policy with a mistake is not used at all, since guessing could let something out.",
    ),
)
