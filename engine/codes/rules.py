"""Diagnostic codes of the rules that analysts write: their files, their cases, and what they do."""

from __future__ import annotations

from engine.codes import Code

CODES: tuple[Code, ...] = (
    Code(
        "A001",
        "A key of a rule file is not known",
        "structure",
        "A file under rules/ holds `rules`, `contradictions` and `needs`; docs/rules.md lists the "
        "keys of each. The key is misspelt or belongs elsewhere.",
    ),
    Code(
        "A002",
        "A part of a rule is missing or has the wrong form",
        "required",
        "A rule needs `name`, `when`, `check`, `outcome` and `message`; a contradiction `name`, "
        "`one`, `other` and `message`; a need `name`, `group`, `when` and `message`.",
    ),
    Code(
        "A003",
        "An expression cannot be used",
        "invalid",
        "The text is no FHIRPath, is longer than 1,000 characters, nests too many loops, or uses "
        "what rules may not use: clock, network, regular expressions, recursion, variables and "
        "names with underscores. Such an expression could hang, or answer differently tomorrow.",
    ),
    Code(
        "A004",
        "A function is not known",
        "invalid",
        "The name before the parenthesis is no function of FHIRPath. Example: `exsts()` instead of "
        "`exists()`.",
    ),
    Code(
        "A005",
        "An element is not known",
        "invalid",
        "No element of this name stands anywhere below the type that the rule is about. Names are "
        "those of the JSON form (`medicationCodeableConcept`, not `medication`). Without this "
        "check a misspelt path would find nothing, and the rule would always say the same.",
    ),
    Code(
        "A006",
        "A rule has no proper name",
        "invalid",
        "Each rule has a name of lower-case letters, digits and '-', unlike that of every other "
        "rule of the project: findings and held messages are known by it.",
    ),
    Code(
        "A007",
        "A value is none of those that can stand here",
        "code-invalid",
        "Outcomes are warn, task, hold and reject; groups are the six of the guide; types are "
        "resource types of FHIR R4 (for contradictions: requests).",
    ),
    Code(
        "A008",
        "The outcome needs a member",
        "business-rule",
        "warn and task write a DetectedIssue or Task about a member. This type is about none, so "
        "the rule can only hold or reject.",
    ),
    Code(
        "A010",
        "Rules have no cases, or a case cannot be read",
        "required",
        "Beside `rules/NAME.yaml` stands `rules/NAME.test.yaml` with `cases:`; each names a rule, "
        "gives its input and says what is expected.",
    ),
    Code(
        "A011",
        "A case of a rule failed",
        "processing",
        "The rule did not answer what its case expects. Either the rule or the case is wrong.",
    ),
    Code(
        "A012",
        "A rule has no case for each answer",
        "required",
        "Each rule needs a case that it lets pass and one that it does not: a rule that always "
        "answers the same guards nothing.",
    ),
    Code(
        "A020",
        "A rule of this project is not met",
        "business-rule",
        "A rule under rules/ rejects such a resource; its name and message are in the text. Send "
        "the resource again once it meets the rule.",
    ),
    Code(
        "A021",
        "A rule of this project holds the resource",
        "business-rule",
        "A rule under rules/ asks for a person's eyes before such a resource goes on. Mend the "
        "resource and send it again, or mend the rule, then `carelane ledger release`.",
    ),
    Code(
        "A022",
        "A rule could not be computed",
        "exception",
        "The expression of a rule failed on this resource or took too long. The resource is held, "
        "as if the rule had asked for it: mend the rule, then `carelane ledger release`.",
    ),
)
