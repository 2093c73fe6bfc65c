"""`carelane token`: a new bearer token, and its SHA-256 for config."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from engine.samples.tokens import new_token


def token(
    as_json: Annotated[bool, typer.Option("--json", help="Print the two as JSON.")] = False,
) -> None:
    """Make a new bearer token; it is printed once and kept nowhere."""
    made = new_token()
    if as_json:
        typer.echo(json.dumps({"token": made.text, "sha256": made.sha256}))
        return
    typer.echo(f"token:  {made.text}")
    typer.echo(f"sha256: {made.sha256}")
    typer.echo(
        "\nGive the token to the system that will send with it. Put the SHA-256 into the "
        "environment\nvariable that the system's `token_sha256` names in config.yaml."
    )
