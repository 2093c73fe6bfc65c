"""The worker's transport, wider: a medium renders and hands over at sending, systems go by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from engine.config.media import Fax, Mail, Media, Meeting
from engine.deliver.answer import Reply
from engine.deliver.destination import Destination
from engine.deliver.request import Request
from engine.deliver.transport import Transport
from engine.outreach import fax, mail
from engine.outreach.dispatch import Dispatch, decoded
from engine.outreach.documents import fax as render
from engine.outreach.invitation import invitation

_TOO_LONG = Reply(413)
_NOT_SET_UP = Reply(422)
_REFUSALS = (413, 422)

Assign = Callable[[Dispatch, bytes | None], Awaitable[Reply]]
"""Give a person a Task, with the invitation if there is one; the reply says if it stands."""

_log = structlog.get_logger(__name__)


class MediaTransport:
    """Send what is for a medium by that medium, and everything else by the transport inside."""

    def __init__(self, inner: Transport, media: Media, root: Path, assign: Assign) -> None:
        self._inner = inner
        self._media = media
        self._root = root
        self._assign = assign

    async def send(self, destination: Destination, request: Request) -> Reply:
        """Return the reply within the destination's time-out, also where there is no answer."""
        if destination.interaction != "medium":
            return await self._inner.send(destination, request)
        dispatch = decoded(request.content)
        try:
            async with asyncio.timeout(destination.timeout):
                return await self._hand_over(destination, dispatch)
        except TimeoutError:
            return Reply(failure="timeout")

    async def close(self) -> None:
        """Close every connection."""
        await self._inner.close()

    async def _hand_over(self, destination: Destination, dispatch: Dispatch) -> Reply:
        media = self._media
        match dispatch.medium:
            case "fax" if media.fax is not None:
                return await self._fax(destination, dispatch, media.fax)
            case "mail" if media.mail is not None:
                return await self._mail(destination, dispatch, media.mail, None)
            case "phone" if media.phone is not None:
                return await self._assign(dispatch, None)
            case "meeting" if media.meeting is not None:
                return await self._meet(destination, dispatch, media.meeting)
        return _NOT_SET_UP

    async def _fax(self, destination: Destination, dispatch: Dispatch, settings: Fax) -> Reply:
        document = await asyncio.to_thread(render, dispatch, callback=settings.number)
        if document is None:
            return _TOO_LONG
        if settings.folder is not None:
            folder = self._root / settings.folder
            return await asyncio.to_thread(fax.put, folder, dispatch, document)
        order = fax.order(settings.gateway or "", settings.bearer, dispatch, document)
        return await self._inner.send(destination, order)

    async def _meet(self, destination: Destination, dispatch: Dispatch, settings: Meeting) -> Reply:
        """Give the owner the Task first, which a repeat finds done, then invite by mail."""
        invite = None
        if "@" in dispatch.address:
            invite = invitation(
                dispatch,
                organizer=settings.organizer,
                minutes=settings.minutes,
                place=settings.place,
            )
        assigned = await self._assign(dispatch, invite)
        if assigned.status != 202 or invite is None or self._media.mail is None:
            return assigned
        invited = await self._mail(destination, dispatch, self._media.mail, invite)
        return assigned if invited.status in _REFUSALS else invited  # the owner has it in the Task

    async def _mail(
        self, destination: Destination, dispatch: Dispatch, settings: Mail, invite: bytes | None
    ) -> Reply:
        if settings.folder is not None:
            folder = self._root / settings.folder
            return await asyncio.to_thread(mail.put, dispatch, folder, settings, invite)
        timeout = destination.timeout / 2
        return await asyncio.to_thread(mail.send, dispatch, settings, timeout, invite)
