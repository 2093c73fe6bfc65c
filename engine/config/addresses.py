"""The kinds of setting that point somewhere: base URLs, the store, files and folders."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from engine.config.kinds import Text
from engine.config.reading import Reading
from engine.diagnostics import Severity
from engine.document import Node

STORES = ("postgresql", "postgresql+psycopg", "sqlite")


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """Read the base URL of a FHIR endpoint; the answer has no slash at its end."""

    label: str = "an absolute http or https URL"

    def read(self, node: Node, reading: Reading) -> str | None:
        scalar = reading.scalar(node, self.label)
        if scalar is None:
            return None
        url = str(scalar.value)
        parts = _split(url)
        why = "is no URL" if parts is None else _why_not(parts)
        if parts is None or why:
            reading.problem(
                "C111", f"This URL {why}.", node.place,
                expected=f"{self.label}, such as https://ehr.example/fhir",
            )  # fmt: skip
            return None
        if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            reading.problem(
                "C115", "What is sent to this URL travels unencrypted.", node.place,
                expected="https, except on this machine itself",
                severity=Severity.WARNING,
            )  # fmt: skip
        return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """Read where the store is; a SQLite path is relative to the folder of the file."""

    label: str = "a sqlite:/// or postgresql:// URL"

    def read(self, node: Node, reading: Reading) -> str | None:
        scalar = reading.scalar(node, self.label)
        if scalar is None:
            return None
        url = str(scalar.value)
        scheme, _, rest = url.partition("://")
        if scheme not in STORES or not rest.strip("/"):
            reading.problem(
                "C119", "This is no store that the engine knows.", node.place,
                expected="sqlite:///FILE or postgresql://HOST/DATABASE",
            )  # fmt: skip
            return None
        if scheme == "sqlite":
            return sqlite_url(url, reading.root)
        return self._postgresql(url, node, reading)

    def _postgresql(self, url: str, node: Node, reading: Reading) -> str | None:
        parts = _split(url)
        if parts is None:
            reading.problem("C111", "This URL is no URL.", node.place, expected=self.label)
            return None
        if parts.password is not None and "${" not in str(node.value):
            reading.written_secret(node.place)
            return None
        return url


@dataclass(frozen=True, slots=True)
class ExistingPath:
    """Read the path of a file or folder, relative to the folder of config.yaml; it must exist."""

    label: str

    def read(self, node: Node, reading: Reading) -> Path | None:
        text = Text(self.label).read(node, reading)
        if text is None:
            return None
        path = (reading.root / text).absolute()
        if not path.exists():
            reading.problem(
                "C113", "There is nothing at this path.", node.place, expected=self.label,
                remedy="a path is relative to the folder of this file: create it or correct it.",
            )  # fmt: skip
            return None
        return path


def sqlite_url(url: str, root: Path) -> str:
    """Return a SQLite URL whose file is absolute; a relative one starts at `root`."""
    file = url.removeprefix("sqlite:").removeprefix("//").removeprefix("/")
    return f"sqlite:///{(root / file).absolute()}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if url.isprintable() and " " not in url else None


def _why_not(parts: SplitResult) -> str | None:
    if parts.scheme not in ("http", "https"):
        return "does not begin with http:// or https://"
    if not parts.hostname:
        return "names no host"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password"
    if parts.query or parts.fragment:
        return "has a query or fragment"
    return None


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
