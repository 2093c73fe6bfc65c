"""Handing a fax over: to a gateway over HTTP, or into a folder that one watches."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx

from engine.deliver.answer import Reply
from engine.deliver.request import Request
from engine.outreach.dispatch import Dispatch
from engine.outreach.documents import Document
from engine.outreach.folder import file_name, write


def put(folder: Path, dispatch: Dispatch, document: Document) -> Reply:
    """Put a document and its order into a folder; a repeat replaces both by the same.

    The order (`.json`: number, pages, priority, reference, digest) comes last: what has one is
    complete. Each file is written beside its place and renamed into it.
    """
    name = file_name("fax", dispatch.key)
    order = {
        "to": dispatch.address,
        "document": f"{name}.pdf",
        "pages": document.pages,
        "priority": dispatch.priority,
        "reference": dispatch.key,
        "sha256": hashlib.sha256(document.content).hexdigest(),
    }
    try:
        write(folder / f"{name}.pdf", document.content)
        write(folder / f"{name}.json", json.dumps(order, indent=1).encode())
    except OSError:
        return Reply(failure="unreachable")
    return Reply(202)


def order(url: str, bearer: str | None, dispatch: Dispatch, document: Document) -> Request:
    """Return the request that hands a document to a gateway: multipart/form-data."""
    fields = {
        "to": dispatch.address,
        "pages": str(document.pages),
        "priority": dispatch.priority,
        "reference": dispatch.key,
    }
    name = f"{file_name('fax', dispatch.key)}.pdf"
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
