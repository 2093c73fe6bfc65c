"""Words go with what they may repeat, unless they are labelled for themselves."""

from __future__ import annotations

from redactions import (
    PASS,
    TABLE,
    condition,
    instance,
    kept,
    label_match,
    message,
    permit_only,
    redact,
)

from engine.fhir.json import dumps
from engine.rules.consent.policy import Policy
from engine.rules.redact import apply
from engine.rules.security_label import CONFIDENTIALITY


def test_narrative_and_notes_go_with_what_they_may_repeat() -> None:
    """When anything is removed, the words beside it are removed too."""
    told = message(
        condition("hiv", "B20"),
        condition("dm", "E11.9"),
        text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">HIV</div>'},
        note=[{"text": "HIV positive since 2019"}],
    )
    told["payload"].append({"contentString": "HIV results attached"})
    for policy in (Policy(), PASS):
        sent = kept(
            apply(told, [redact(securityLabel=label_match("HIV"))], table=TABLE, policy=policy)
        )
        assert "text" not in sent
        assert "note" not in sent
    sent = kept(apply(told, [redact(data=[instance("Condition/hiv")])], table=TABLE))
    assert b"HIV" not in dumps(sent)


def test_words_are_withheld_under_a_rule_about_labels() -> None:
    """Text that nobody labelled does not leave under a rule about labels, unless policy says so."""
    told = message(condition("dm", "E11.9"))
    told["payload"].append({"contentString": "anything"})
    rule = [permit_only(securityLabel=label_match("N"))]
    assert kept(apply(told, rule, table=TABLE))["payload"] == told["payload"][:1]
    assert apply(told, rule, table=TABLE, policy=PASS).resource == told


def test_a_reference_of_words_only_is_words() -> None:
    """A payload that points nowhere and only says something is unlabelled text."""
    told = message(condition("dm", "E11.9"))
    told["payload"].append({"contentReference": {"display": "HIV positive"}})
    sent = kept(apply(told, [redact(securityLabel=label_match("HIV"))], table=TABLE))
    assert sent["payload"] == told["payload"][:1]


def test_words_labelled_for_themselves_are_judged_by_their_label() -> None:
    """An inline label on a payload entry is that entry's label, and what else goes, it stays."""
    url = (
        "http://hl7.org/fhir/uv/security-label-ds4p/StructureDefinition/extension-inline-sec-label"
    )
    normal = {
        "extension": [{"url": url, "valueCoding": {"system": CONFIDENTIALITY, "code": "N"}}],
        "contentString": "see you on Monday",
    }
    told = message(condition("hiv", "B20"))
    told["payload"].append(normal)
    sent = kept(apply(told, [permit_only(securityLabel=label_match("N"))], table=TABLE))
    assert sent["payload"] == [normal]
    assert "contained" not in sent


def test_words_on_the_thread_go_when_anything_goes() -> None:
    """The display of what a message answers may name what was removed from it."""
    told = message(condition("hiv", "B20"), condition("dm", "E11.9"))
    told["inResponseTo"] = [{"reference": "Communication/0", "display": "HIV results"}]
    rule = [redact(securityLabel=label_match("HIV"))]
    sent = kept(apply(told, rule, table=TABLE))
    assert sent["inResponseTo"] == [{"reference": "Communication/0"}]
