"""The rules of a Consent between R5 and R4, as pure functions."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.transform.consent_r5 import FHIR_TYPES, TURNED, rules_to_r4, rules_to_r5
from engine.transform.consent_r5 import scope_to_r4 as scope_of

Tree = dict[str, Any]
SENSES = st.sampled_from(["permit", "deny"])


def _node(children: st.SearchStrategy[list[Tree]], typed: bool) -> st.SearchStrategy[Tree]:
    optional: dict[str, st.SearchStrategy[Any]] = {
        "code": st.just([{"text": "notes"}]),
        "period": st.just({"start": "2026"}),
        "provision": children,
    }
    if not typed:
        return st.fixed_dictionaries({}, optional=optional)
    return st.fixed_dictionaries({"type": SENSES}, optional=optional)


def _tree(typed: bool) -> st.SearchStrategy[Tree]:
    leaf = _node(st.just([{"code": [{"text": "leaf"}]}]) if not typed else st.nothing(), typed)
    return st.recursive(
        st.fixed_dictionaries({"type": SENSES}) if typed else leaf,
        lambda inner: _node(st.lists(inner, min_size=1, max_size=3), typed),
        max_leaves=6,
    )


def _to_r4(values: Tree) -> Tree:
    return rules_to_r4(values, {})


def _to_r5(values: Tree) -> Tree:
    return rules_to_r5(values, {})


@given(_tree(typed=True))
def test_a_typed_r4_provision_survives_r5(root: Tree) -> None:
    """Permit and deny of each R4 provision, at any depth, are the same after R5 and back."""
    assert _to_r4(_to_r5({"provision": root})) == {"provision": root}


@given(SENSES, _tree(typed=False))
def test_an_r5_provision_survives_r4(decision: str, root: Tree) -> None:
    """An R5 decision with its one provision is the same after R4 and back."""
    if not root:
        return
    values = {"decision": decision, "provision": [root]}
    assert _to_r5(_to_r4(values)) == values


@given(SENSES, _tree(typed=False))
def test_each_depth_turns_the_sense_over(decision: str, root: Tree) -> None:
    """In R4 the root has the type of the decision and each nested provision the other one."""

    def check(node: Tree, sense: str) -> None:
        assert node["type"] == sense
        for item in node.get("provision", []):
            check(item, TURNED[sense])

    check(_to_r4({"decision": decision, "provision": [root]})["provision"], decision)


def test_a_deny_without_criteria_is_not_lost() -> None:
    """A decision alone makes a provision with that type."""
    assert _to_r4({"decision": "deny"}) == {"provision": {"type": "deny"}}


def test_several_provisions_stand_under_a_root_that_denies() -> None:
    """Alternatives of R5 never come under an R4 root that permits everything."""
    items = [{"code": [{"text": "a"}]}, {"code": [{"text": "b"}]}]
    for decision in ("permit", "deny"):
        root = _to_r4({"decision": decision, "provision": items})["provision"]
        assert root["type"] == "deny"
        assert [item["type"] for item in root["provision"]] == [decision, decision]


def test_a_criterion_that_r4_cannot_read_becomes_a_modifier() -> None:
    """An expression of R5 cannot be overlooked in R4, and comes back."""
    values = {"decision": "permit", "provision": [{"expression": {"language": "text/cql"}}]}
    found = _to_r4(values)
    assert found["provision"]["modifierExtension"][0]["valueExpression"] == {"language": "text/cql"}
    assert _to_r5(found) == values


def test_an_expression_without_language_gets_an_unknown_one() -> None:
    """R4 requires a language; the filler goes away again."""
    values = {"decision": "deny", "provision": [{"expression": {"reference": "http://a.example"}}]}
    found = _to_r4(values)["provision"]["modifierExtension"][0]["valueExpression"]
    assert found["_language"]["extension"][0]["valueCode"] == "unknown"
    assert _to_r5(_to_r4(values)) == values


def test_classes_are_shared_by_their_system() -> None:
    """Resource and document types of R5 are R4 classes, each in its system, and part again."""
    kinds = {"resourceType": [{"system": FHIR_TYPES, "code": "CarePlan"}]}
    papers = {"documentType": [{"system": "urn:ietf:bcp:13", "code": "application/pdf"}]}
    values = {"decision": "permit", "provision": [{**kinds, **papers}]}
    found = _to_r4(values)
    assert [item["code"] for item in found["provision"]["class"]] == ["CarePlan", "application/pdf"]
    assert found["provision"]["class"][0]["system"] == "http://hl7.org/fhir/resource-types"
    assert _to_r5(found) == values


def test_an_actor_without_role_gets_an_unknown_one() -> None:
    """What R4 requires of an actor is filled with 'unknown', and taken away again."""
    values = {"decision": "deny", "provision": [{"actor": [{"reference": {"reference": "O/1"}}]}]}
    actor = _to_r4(values)["provision"]["actor"][0]
    assert actor["role"]["coding"][0]["code"] == "unknown"
    assert _to_r5(_to_r4(values)) == values


def test_opting_out_without_a_type_is_a_deny() -> None:
    """An R4 policy rule OPTOUT is the decision where the root has no type."""
    assert _to_r5({"policyRule": {"coding": [{"code": "OPTOUT"}]}})["decision"] == "deny"
    both = {"policyRule": {"coding": [{"code": "OPTIN"}, {"code": "OPTOUT"}]}}
    assert _to_r5(both)["decision"] == "deny"


def test_a_scope_that_categories_do_not_tell_is_unknown() -> None:
    """No scope is made up where the categories tell none or two."""
    none = scope_of({}, {})["scope"]["coding"][0]["code"]
    two = scope_of({"category": [{"coding": [{"code": "research"}, {"code": "npp"}]}]}, {})
    assert (none, two["scope"]["coding"][0]["code"]) == ("unknown", "unknown")
