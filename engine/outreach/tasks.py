"""What a person does: the Task for a call or a meeting, with its due time and what may be said."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.clock import after
from engine.config.media import Meeting, Owner, Phone
from engine.message import Resource
from engine.outreach.dispatch import Dispatch
from engine.rules.own_work import OUTREACH as KINDS

OUTREACH_TASK = "https://carelane.example/fhir/outreach-task"
"""The identifier system of these Tasks: the value is the id of the delivery they carry out."""

_HOUR = 3600.0
_SHARES = {"routine": 1.0, "urgent": 0.5, "asap": 0.125}
_AHEAD = {"urgent": 2, "asap": 1, "stat": 1}
_SAY_ONLY = "Say only what stands here, and only after you have made sure who you speak to."
_NO_MESSAGE = "Leave no message that says more than your name and number."


def due_of(settings: Phone, priority: str, at: str) -> str:
    """Return until when a call decided at `at` is to be made."""
    hours = settings.within * _SHARES.get(priority, 1.0)
    return after(at, _HOUR * (min(1.0, hours) if priority == "stat" else hours))


def start_of(settings: Meeting, priority: str, at: str) -> str:
    """Return the instant of the meeting to propose: so many working days ahead, at a fixed time."""
    zone = ZoneInfo(settings.zone)
    day = datetime.fromisoformat(at).astimezone(zone).date()
    ahead = min(settings.days, _AHEAD.get(priority, settings.days))
    start = datetime.combine(_working_day(day, ahead), time.fromisoformat(settings.at), zone)
    return start.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _working_day(day: date, ahead: int) -> date:
    while ahead > 0:
        day += timedelta(days=1)
        ahead -= day.weekday() < 5
    return day


def task(
    dispatch: Dispatch, owner: Owner, id: str, requester: dict[str, Any], invite: bytes | None
) -> Resource:
    """Return the Task, canonical; `invite` is the invitation where there is one."""
    meeting = dispatch.medium == "meeting"
    end = dispatch.meeting if meeting else dispatch.due
    out: Resource = {
        "resourceType": "Task",
        "id": id,
        "identifier": [{"system": OUTREACH_TASK, "value": dispatch.delivery}],
        "status": "requested",
        "intent": "order",
        "priority": dispatch.priority,
        "code": _concept("meeting" if meeting else "call", "Hold a meeting" if meeting else "Call"),
        "description": _description(dispatch),
        "focus": {"reference": f"Communication/{dispatch.communication}"},
        "authoredOn": dispatch.at,
        "requester": requester,
        "owner": _reference(owner),
        "restriction": {"period": {"end": end}},
        "input": [*_inputs(dispatch, invite)],
    }
    if dispatch.security:
        out["meta"] = {"security": [dict(one) for one in dispatch.security]}
    if dispatch.member:
        out["for"] = {"reference": f"Patient/{dispatch.member}"}
    return out


def _description(dispatch: Dispatch) -> str:
    """Say what is to be done, naming nobody and nothing of the matter."""
    verb = "Meet" if dispatch.medium == "meeting" else "Call"
    words = f"{verb} the recipient of this Communication about the coordination of care."
    if dispatch.interpreter or dispatch.language:
        tongue = f" (language: {dispatch.language})" if dispatch.language else ""
        words += f" Have an interpreter ready{tongue}." if dispatch.interpreter else tongue
    return words


def _reference(owner: Owner) -> dict[str, Any]:
    return {
        "type": owner.type,
        "identifier": {"system": owner.system, "value": owner.value},
        "display": owner.name,
    }


def _inputs(dispatch: Dispatch, invite: bytes | None) -> list[dict[str, Any]]:
    words = [_SAY_ONLY, *([] if dispatch.medium == "meeting" else [_NO_MESSAGE])]
    script = "\n\n".join([*words, *dispatch.paragraphs, *dispatch.notices])
    inputs = [_input("script", "What may be said", valueString=script)]
    if dispatch.to:
        inputs.append(_input("recipient", "Whom to reach", valueString=dispatch.to))
    if dispatch.address:
        system = "email" if "@" in dispatch.address else "phone"
        point = {"system": system, "value": dispatch.address}
        inputs.append(_input("address", "How to reach them", valueContactPoint=point))
    if invite is not None:
        inputs.append(_input("invitation", "Invitation", valueAttachment=_calendar(invite)))
    return inputs


def _calendar(invite: bytes) -> dict[str, str]:
    data = base64.b64encode(invite).decode()
    return {"contentType": "text/calendar; method=REQUEST", "data": data, "title": "invitation.ics"}


def _input(code: str, text: str, **value: Any) -> dict[str, Any]:
    return {"type": _concept(code, text), **value}


def _concept(code: str, text: str) -> dict[str, Any]:
    return {"coding": [{"system": KINDS, "code": code, "display": text}], "text": text}
