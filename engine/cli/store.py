"""`carelane store`: keep the record in order, whatever stands in it."""

from __future__ import annotations

from pathlib import Path

import typer

from engine.cli.ledger import CONFIG, record
from engine.cli.loading import ConfigOption
from engine.rekeying import rekey as seal_anew
from engine.store.vault import new_key

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def key() -> None:
    """Print a new key for `encryption.keys`; keep it where the record is not."""
    print(new_key())


@app.command()
def rekey(config: ConfigOption = CONFIG) -> None:
    """Seal every payload with the active key that is sealed with another one, or not at all.

    Servers and workers may run meanwhile; all of them must know both keys. It may be stopped and
    started again.
    """
    with record(Path(config), None) as (store, _):
        counts = seal_anew(store)
    for table, count in counts.items():
        print(f"{table}: {count} sealed anew")
