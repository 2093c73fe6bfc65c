"""The sample Bundles and resources of the play, by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent / "bundles"


@cache
def names() -> tuple[str, ...]:
    """Return the names of all samples, in the order of the day."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


def sample(name: str) -> bytes:
    """Return a sample as it is sent; raises KeyError for an unknown name."""
    if name not in names():
        raise KeyError(name)
    return (FOLDER / f"{name}.json").read_bytes()
