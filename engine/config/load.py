"""From the file to a Config: read, replace paths, check, and tell every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from engine import document
from engine.config.addresses import sqlite_url
from engine.config.check import check
from engine.config.kinds import Section
from engine.config.model import Config
from engine.config.reading import Reading
from engine.diagnostics import Diagnostic, Severity, has_errors, in_order
from engine.document import Node


def load_config(
    path: Path, environ: Mapping[str, str], *, absent_secrets: Severity | None = None
) -> tuple[Config | None, list[Diagnostic]]:
    """Load config.yaml; the answer is the Config, or None with every problem in order of place.

    `absent_secrets` is the severity of a secret whose variable is not set: nothing is said where a
    project is only looked at (a system without its token cannot send), `Severity.ERROR` for a
    server about to run.
    """
    node, problems = document.read(path, name=_shown(path))
    if node is None:
        return None, problems
    return read_config(node, path.absolute().parent, environ, absent_secrets=absent_secrets)


def read_config(
    node: Node,
    root: Path,
    environ: Mapping[str, str],
    *,
    absent_secrets: Severity | None = None,
) -> tuple[Config | None, list[Diagnostic]]:
    """Turn the root node of a config file in the folder `root` into a Config."""
    reading = Reading(root, environ, absent_secrets)
    config = Section(Config).read(node, reading)
    if config is not None:
        config = _settled(config, root)
    check(node, config, reading)
    problems = in_order(reading.problems)
    return (None if has_errors(problems) else config), problems


def _settled(config: Config, root: Path) -> Config:
    """Return the config with the paths of defaults made absolute, as those of the file are."""
    store = config.store
    if store.startswith("sqlite:"):
        store = sqlite_url(store, root)
    return replace(
        config,
        root=root,
        store=store,
        mappings=root / config.mappings,
        rules_folder=root / config.rules_folder,
        profiles=tuple(root / folder for folder in config.profiles),
    )


def _shown(path: Path) -> str:
    """Name a file as the reader would type it: relative where it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
