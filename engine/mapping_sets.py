"""Whole sets of mappings kept on disk by their hash, and which of them is in force.

They lie under `var/mappings/` of the project: `<hash>/` holds a copy of the mappings folder,
`history.json` lists what was in force since when. Whoever may write there may replace mappings.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

KEPT = (".yaml", ".csv", ".json")
"""Files of these endings belong to a set: mappings, cases, certificates, tables and samples."""


@dataclass(frozen=True, slots=True)
class InForce:
    """Say which set came into force, when and by whom.

    `pinned` holds it in force over a restart, until mappings are reloaded from their folder.
    """

    hash: str
    at: str
    by: str
    pinned: bool = False


class Sets:
    """Keep sets of mappings; `folder` is made when something is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, root: Path) -> Sets:
        """Return the sets of the project in `root`."""
        return cls(root / "var" / "mappings")

    def keep(self, mappings: Path) -> str:
        """Copy a mappings folder whole unless it is kept already; return its hash."""
        files = dict(_files(mappings))
        digest = _digest(files)
        kept = self.path(digest)
        if not kept.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder) as place:
                copy = Path(place) / "mappings"
                for name, body in files.items():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    (copy / name).write_bytes(body)
                _moved(copy, kept)
        return digest

    def path(self, hash: str) -> Path:
        """Return where a set lies."""
        return self._folder / hash

    def is_whole(self, hash: str) -> bool:
        """Tell whether a kept set is there, and still what it was when it was kept."""
        return self.path(hash).is_dir() and _digest(dict(_files(self.path(hash)))) == hash

    def history(self) -> tuple[InForce, ...]:
        """Return what was in force, oldest first; the last still is."""
        try:
            listed = json.loads((self._folder / "history.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return ()
        return tuple(InForce(**one) for one in listed)

    def in_force(self) -> InForce | None:
        """Return the set in force, or None where none was ever put into force."""
        return next(reversed(self.history()), None)

    def put_in_force(self, entry: InForce) -> None:
        """Note a set as the one in force; running engines follow."""
        listed = [asdict(one) for one in (*self.history(), entry)]
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._folder / f"history.{os.getpid()}"
        fresh.write_text(json.dumps(listed, indent=1), encoding="utf-8")
        fresh.replace(self._folder / "history.json")

    def before(self) -> str | None:
        """Return the set that was in force before the present one first was, or None."""
        hashes = [one.hash for one in self.history()]
        if not hashes:
            return None
        first = hashes.index(hashes[-1])
        return hashes[first - 1] if first else None


def set_hash(mappings: Path) -> str:
    """Return the hash of a mappings folder: SHA-256 over the names and bytes of its files."""
    return _digest(dict(_files(mappings)))


def files_hash(paths: Iterable[Path]) -> str:
    """Return the hash of files and of what lies in folders: SHA-256 over names and bytes."""
    found: dict[str, bytes] = {}
    for number, path in enumerate(paths):
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file():
                found[f"{number}/{file.relative_to(path).as_posix()}"] = file.read_bytes()
    return _digest(found)


def _files(mappings: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(mappings.rglob("*")):
        if path.suffix in KEPT and path.is_file():
            yield path.relative_to(mappings).as_posix(), path.read_bytes()


def _digest(files: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


def _moved(copy: Path, kept: Path) -> None:
    try:
        copy.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
