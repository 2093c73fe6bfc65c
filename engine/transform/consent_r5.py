"""The rules of a Consent between R5 and R4: who permits, who denies, and what turns over inside.

R5 says permit or deny once, at the root (`Consent.decision`), and each level of nested provisions
turns it over. R4 says it on each provision (`provision.type`). So every R4 provision made here
carries its type, and every R5 provision whose sense is not the turned one of its parent says so
in a modifier extension: a reader who does not know it must not evaluate, which never permits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.transform.functions import Pair

Tree = dict[str, Any]

OF_R4 = "http://hl7.org/fhir/4.0/StructureDefinition/extension-Consent.provision."
OF_R5 = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Consent."
RESOURCE_TYPES = "http://hl7.org/fhir/resource-types"
FHIR_TYPES = "http://hl7.org/fhir/fhir-types"
"""The code systems of resource types: in R4, and in R5."""
ABSENT_REASON = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
TURNED = {"permit": "deny", "deny": "permit"}
OPTING = {"OPTIN": "permit", "OPTOUT": "deny"}
UNKNOWN = {"coding": [{"system": ABSENT_REASON, "code": "unknown"}]}
SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"
SCOPES = {
    "patient-privacy": {"59284-0", "64292-6", "57016-8", "57017-6", "IDSCL", "INFA", "npp"},
    "research": {"research", "rsdid", "rsreid", "RESEARCH", "RSDID", "RSREID"},
    "adr": {"acd", "dnr", "hcd", "polst"},
}
"""Categories that tell the scope: LOINC, v3-ActCode and consentcategorycodes."""

_NO_LANGUAGE = {"_language": {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}}
"""R4 requires the language of an expression, R5 does not."""
_SAME = (
    *("id", "extension", "modifierExtension", "period", "_period", "action", "securityLabel"),
    *("purpose", "code", "dataPeriod", "_dataPeriod", "data"),
)


def rules_to_r4(values: dict[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Put decision, period and provisions of an R5 Consent into the one provision of R4.

    One provision becomes the root itself. Several are alternatives, which R4 cannot hold side by
    side without a root that says something: they stand inside a root that denies, because that
    is the only root under which nothing is permitted that R5 did not permit.
    """
    sense = values.get("decision")
    provisions = values.get("provision", [])
    if len(provisions) > 1:
        inner = [_provision_to_r4(item, sense) for item in provisions]
        root: Tree = {"type": "deny", "provision": inner} if sense else {"provision": inner}
    else:
        root = _provision_to_r4(provisions[0] if provisions else {}, sense)
    _set_period(root, values.get("period"))
    found: Tree = {"provision": root} if root else {}
    if values.get("regulatoryBasis"):
        found["policyRule"] = values["regulatoryBasis"][0]
    return found


def rules_to_r5(values: dict[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Take the R4 provision apart into decision and provisions of R5.

    Where the root has no type the policy rule decides (opt-in permits, opt-out denies), as R5
    readers look at `decision` alone.
    """
    root = values.get("provision", {})
    sense = root.get("type") or _opting(values.get("policyRule", {}))
    found: Tree = {"decision": sense} if sense else {}
    if "policyRule" in values:
        found["regulatoryBasis"] = [values["policyRule"]]
    provision = _provision_to_r5(root, sense, sense)
    if provision:
        found["provision"] = [provision]
    return found


def _opting(rule: Tree) -> str | None:
    codes = {coding.get("code") for coding in rule.get("coding", [])}
    senses = {OPTING[code] for code in codes if code in OPTING}
    return min(senses) if senses else None  # both at once: deny


def scope_to_r4(values: dict[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Read the scope, which R5 does not have, from the categories, or say that it is unknown.

    R4 requires a category too; where R5 has none, it is unknown as well.
    """
    categories = values.get("category") or []
    codes = {coding.get("code") for item in categories for coding in item.get("coding", [])}
    scopes = {scope for scope, known in SCOPES.items() if codes & known}
    scope = {"coding": [{"system": SCOPE, "code": scopes.pop()}]} if len(scopes) == 1 else UNKNOWN
    return {"category": categories or [UNKNOWN], "scope": scope}


def scope_to_r5(values: dict[str, Any], arguments: Mapping[str, str]) -> dict[str, Any]:
    """Leave the scope out; what the categories do not tell again is remembered by the adapter."""
    categories = values.get("category") or []
    return {"category": categories} if categories and categories != [UNKNOWN] else {}


def _set_period(root: Tree, period: Tree | None) -> None:
    if not period:
        return
    if "period" in root:
        extension = {"url": f"{OF_R5}period", "valuePeriod": period}
        root["modifierExtension"] = [*root.get("modifierExtension", []), extension]
    else:
        root["period"] = period


# ---- one provision, R5 to R4


def _provision_to_r4(source: Tree, implied: str | None) -> Tree:
    sense, own = _stated_sense(source, implied)
    target = {name: own[name] for name in _SAME if name in own}
    if sense:
        target["type"] = sense
    if "actor" in own:
        target["actor"] = [_actor_to_r4(actor) for actor in own["actor"]]
    types = [_renamed(item, FHIR_TYPES, RESOURCE_TYPES) for item in own.get("resourceType", [])]
    classes = [*types, *own.get("documentType", [])]
    if classes:
        target["class"] = classes
    if "expression" in own:
        value = {**_NO_LANGUAGE, **own["expression"]}
        if "language" in own["expression"]:
            value = own["expression"]
        extension = {"url": f"{OF_R5}provision.expression", "valueExpression": value}
        target["modifierExtension"] = [*target.get("modifierExtension", []), extension]
    if "provision" in own:
        target["provision"] = [
            _provision_to_r4(item, TURNED.get(sense or "")) for item in own["provision"]
        ]
    return target


def _stated_sense(source: Tree, implied: str | None) -> tuple[str | None, Tree]:
    """Return the sense of an R5 provision, and the provision without the words that said it."""
    rest = [item for item in source.get("modifierExtension", []) if not _says_type(item)]
    said = [item for item in source.get("modifierExtension", []) if _says_type(item)]
    if not said:
        return implied, source
    own = {name: value for name, value in source.items() if name != "modifierExtension"}
    return said[0]["valueCode"], {**own, "modifierExtension": rest} if rest else own


def _says_type(extension: Tree) -> bool:
    return extension.get("url") == f"{OF_R4}type" and extension.get("valueCode") in TURNED


def _actor_to_r4(actor: Tree) -> Tree:
    """Fill what R4 requires of an actor: an unknown role or reference is said to be unknown."""
    unknown_reference = {"extension": [{"url": ABSENT, "valueCode": "unknown"}]}
    return {"role": UNKNOWN, "reference": unknown_reference, **actor}


# ---- one provision, R4 to R5


def _provision_to_r5(source: Tree, sense: str | None, implied: str | None) -> Tree:
    target = {name: source[name] for name in _SAME if name in source}
    if sense and sense != implied:
        extension = {"url": f"{OF_R4}type", "valueCode": sense}
        target["modifierExtension"] = [*target.get("modifierExtension", []), extension]
    if "actor" in source:
        target["actor"] = [_actor_to_r5(actor) for actor in source["actor"]]
    _share_classes(source.get("class", []), target)
    if "provision" in source:
        target["provision"] = [_nested_to_r5(item, sense) for item in source["provision"]]
    return _without_expression(target)


def _nested_to_r5(source: Tree, parent: str | None) -> Tree:
    implied = TURNED.get(parent or "")
    return _provision_to_r5(source, source.get("type") or implied, implied)


def _share_classes(classes: list[Tree], target: Tree) -> None:
    for coding in classes:
        if coding.get("system") == RESOURCE_TYPES:
            renamed = _renamed(coding, RESOURCE_TYPES, FHIR_TYPES)
            target.setdefault("resourceType", []).append(renamed)
        else:
            target.setdefault("documentType", []).append(coding)


def _renamed(coding: Tree, old: str, new: str) -> Tree:
    return {**coding, "system": new} if coding.get("system") == old else coding


def _actor_to_r5(actor: Tree) -> Tree:
    """Leave out what `_actor_to_r4` filled in."""
    filled = _actor_to_r4({})
    return {name: value for name, value in actor.items() if value != filled.get(name)}


def _without_expression(target: Tree) -> Tree:
    """Turn the extension that holds an R5 expression back into the element."""
    url = f"{OF_R5}provision.expression"
    extensions = target.get("modifierExtension", [])
    held = [item for item in extensions if item.get("url") == url and "valueExpression" in item]
    if not held:
        return target
    rest = [item for item in extensions if item not in held]
    own = {name: value for name, value in target.items() if name != "modifierExtension"}
    value = held[0]["valueExpression"]
    kept = {name: item for name, item in value.items() if item != _NO_LANGUAGE.get(name)}
    back = {**own, "expression": kept}
    return {**back, "modifierExtension": rest} if rest else back


PAIRS = (
    Pair(
        "consent-rules-r5",
        "Decision, period, provisions and regulatory basis of an R5 Consent; provision and policy "
        "rule of an R4 Consent. Permit and deny keep their sense at every depth.",
        rules_to_r4,
        rules_to_r5,
        modifiers=True,
    ),
    Pair(
        "consent-scope-r5",
        "Category and scope of an R4 Consent, told by the categories of an R5 Consent.",
        scope_to_r4,
        scope_to_r5,
        absent=True,
    ),
)
"""The function pairs of this module."""
