"""Handing a fax over: to a gateway over HTTP, or into a folder that one watches."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import httpx

from engine.deliver.answer import Reply
from engine.deliver.request import Request
from engine.outreach.dispatch import Dispatch
from engine.outreach.documents import Document

_NAME_LENGTH = 32


def file_name(key: str) -> str:
    """Return the name of a document's files: made from its key, nothing of it from outside."""
    return f"fax-{hashlib.sha256(key.encode()).hexdigest()[:_NAME_LENGTH]}"


def put(folder: Path, dispatch: Dispatch, document: Document) -> Reply:
    """Put a document and its order into a folder; a repeat replaces both by the same.

    The order (`.json`: number, pages, priority, reference, digest) comes last: what has one is
    complete. Each file is written beside its place and renamed into it.
    """
    order = {
        "to": dispatch.address,
        "document": f"{file_name(dispatch.key)}.pdf",
        "pages": document.pages,
        "priority": dispatch.priority,
        "reference": dispatch.key,
        "sha256": hashlib.sha256(document.content).hexdigest(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(folder / f"{file_name(dispatch.key)}.pdf", document.content)
        _write(folder / f"{file_name(dispatch.key)}.json", json.dumps(order, indent=1).encode())
    except OSError:
        return Reply(failure="unreachable")
    return Reply(202)


def _write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def order(url: str, bearer: str | None, dispatch: Dispatch, document: Document) -> Request:
    """Return the request that hands a document to a gateway: multipart/form-data."""
    fields = {
        "to": dispatch.address,
        "pages": str(document.pages),
        "priority": dispatch.priority,
        "reference": dispatch.key,
    }
    name = f"{file_name(dispatch.key)}.pdf"
    form = httpx.Request(
        "POST", url, data=fields, files={"document": (name, document.content, "application/pdf")}
    )
    headers = {
        "Content-Type": form.headers["content-type"],
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "carelane",
        "Idempotency-Key": dispatch.key,
    }
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    return Request("POST", url, headers, form.read(), "Communication")
