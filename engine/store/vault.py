"""Payloads at rest: sealed with the active key, opened with whichever key they were sealed with.

A sealed payload starts with `enc1:` and the name of its key; no JSON does. What it belongs to is
sealed with it (as associated data), so one record's payload does not open in another's place.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

from engine.errors import StoreError

MARK = b"enc1:"
NONCE = 12


class Vault:
    """Seal and open payloads by AES-256-GCM (NIST SP 800-38D); without keys nothing is sealed."""

    def __init__(self, keys: Mapping[str, str] | None = None, active: str | None = None) -> None:
        """Take keys by name, each 32 bytes in base64; `active` names the one that seals."""
        self._active = active
        self._ciphers = {name: _cipher(name, text) for name, text in (keys or {}).items()}

    @property
    def active(self) -> str | None:
        """Return the name of the key that seals, or None where nothing is sealed."""
        return self._active

    def seal(self, payload: bytes, owner: str) -> bytes:
        """Return a payload as it is stored; `owner` names the record that it belongs to."""
        if self._active is None:
            return payload
        nonce = os.urandom(NONCE)
        sealed: bytes = self._cipher(self._active).encrypt(nonce, payload, owner.encode())
        return MARK + self._active.encode() + b":" + nonce + sealed

    def open(self, stored: bytes, owner: str) -> bytes:
        """Return the payload that was sealed, or `stored` itself where it is not sealed."""
        name = sealed_with(stored)
        if name is None:
            return stored
        rest = stored[len(MARK) + len(name) + 1 :]
        cipher = self._cipher(name)
        try:
            opened: bytes = cipher.decrypt(rest[:NONCE], rest[NONCE:], owner.encode())
        except Exception as error:
            raise StoreError(
                f"a payload does not open with the key '{name}': the key is another one than it "
                "was sealed with, or the record was changed"
            ) from error
        return opened

    def seal_text(self, text: str, owner: str) -> str:
        """Seal what is stored as text."""
        if self._active is None:
            return text
        sealed = self.seal(text.encode(), owner)
        name = sealed_with(sealed)
        start = len(MARK) + len(name or "") + 1
        return sealed[:start].decode() + base64.b64encode(sealed[start:]).decode()

    def open_text(self, stored: str, owner: str) -> str:
        """Open what is stored as text."""
        name = sealed_with(stored[:80].encode())
        if name is None:
            return stored
        start = len(MARK) + len(name) + 1
        sealed = stored[:start].encode() + base64.b64decode(stored[start:])
        return self.open(sealed, owner).decode()

    def _cipher(self, name: str) -> Any:
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise StoreError(
                f"payloads are encrypted with the key '{name}', which was not given: name it under "
                "encryption.keys in config.yaml and set its variable in the environment"
            )
        return cipher


PLAIN = Vault()
"""Seals nothing."""


def sealed_with(stored: bytes) -> str | None:
    """Return the name of the key that a payload is sealed with, or None for a plain one."""
    if not stored.startswith(MARK):
        return None
    return stored[len(MARK) :].partition(b":")[0].decode("ascii", "replace")


def new_key() -> str:
    """Return a new key as base64 text."""
    return base64.b64encode(os.urandom(32)).decode()


def _cipher(name: str, text: str) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - optional
            AESGCM,
        )
    except ImportError as error:
        raise StoreError(
            "encryption needs the package 'cryptography': pip install 'carelane[encryption]'"
        ) from error
    key = base64.b64decode(text, validate=True)
    if len(key) != 32:
        raise StoreError(f"the encryption key '{name}' is not 32 bytes in base64")
    return AESGCM(key)
