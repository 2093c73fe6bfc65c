"""Files for a gateway that watches a folder: each is there whole or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_NAME_LENGTH = 32


def file_name(kind: str, key: str) -> str:
    """Return the name of a document's files: made from its key, nothing of it from outside."""
    return f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:_NAME_LENGTH]}"


def write(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, also after a power cut.

    Raises OSError. The folder is made where it is missing, open to its owner only.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
