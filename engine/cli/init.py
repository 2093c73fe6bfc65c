"""`carelane init`: a new project, with the shipped mappings and a first one of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from engine.samples.shipped import ENGINE, shipped
from engine.transform.certify import certificate, certificate_path
from engine.transform.load import load_folder

_MISUSE = 2
TEMPLATE = ENGINE / "samples" / "project"


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Start a new project: config.yaml, mappings, profiles, and a test."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        typer.echo(f"{folder} is there already and not empty; nothing was written.", err=True)
        raise typer.Exit(_MISUSE)
    try:
        _write(folder)
    except OSError as error:
        typer.echo(f"{folder} cannot be written: {error.strerror}.", err=True)
        raise typer.Exit(_MISUSE) from None
    typer.echo(f"A new project is in {folder}. Next:")
    typer.echo(f"  cd {folder}\n  carelane lint\n  carelane test\n  carelane token")


def _write(folder: Path) -> None:
    for part in ("mappings", "profiles", "rules"):
        shutil.copytree(shipped() / part, folder / part, dirs_exist_ok=True)
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True)
    (folder / "gitignore").rename(folder / ".gitignore")
    _certify(folder / "mappings")


def _certify(mappings: Path) -> None:
    """Write the certificate of each mapping that has none, as `carelane certify` would."""
    for loaded in load_folder(mappings).mappings.values():
        beside = certificate_path(loaded.path)
        if loaded.plan is not None and not beside.exists():
            beside.write_text(certificate(loaded.plan), encoding="utf-8")
