"""Where the project as it comes is found: config.yaml, mappings and profiles."""

from __future__ import annotations

from pathlib import Path

ENGINE = Path(__file__).resolve().parent.parent


def shipped() -> Path:
    """Return the folder of the shipped config.yaml: inside the package, or the checkout's root."""
    packaged = ENGINE / "shipped"
    return packaged if (packaged / "config.yaml").is_file() else ENGINE.parent
