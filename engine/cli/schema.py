"""`carelane schema`: the JSON Schema of a kind of file, for editors."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from engine.cli.loading import MISUSE
from engine.diagnostics import did_you_mean
from engine.schemas import SCHEMAS


def schema(name: Annotated[str, typer.Argument(help="mapping, test or config.")]) -> None:
    """Print the JSON Schema of mappings, of their cases, or of config.yaml."""
    if name not in SCHEMAS:
        hint = did_you_mean(name, SCHEMAS) or f"known are {', '.join(SCHEMAS)}"
        print(f"There is no schema '{name}': {hint}", file=sys.stderr)
        raise typer.Exit(MISUSE)
    print(json.dumps(SCHEMAS[name](), indent=1))
