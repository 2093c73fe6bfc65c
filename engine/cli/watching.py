"""`--watch`: a command run again whenever a file of the project changes, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import typer

ENDINGS = (".yaml", ".csv", ".json")
EVERY_SECONDS = 0.5
Seen = Mapping[Path, tuple[int, int]]


def watched(folder: Path) -> Seen:
    """Return size and time of change of every file that a project is written in."""
    found: dict[Path, tuple[int, int]] = {}
    for path in folder.rglob("*") if folder.is_dir() else (folder,):
        if path.suffix in ENDINGS and "var" not in path.parts[len(folder.parts) :][:1]:
            try:
                state = path.stat()
            except OSError:
                continue
            found[path] = (state.st_mtime_ns, state.st_size)
    return found


def watch(
    folder: Path, run: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Run, and run again after each change; it looks every half second, on any platform.

    How a single run ends does not matter; Ctrl-C ends it all with exit code 0.
    """
    try:
        while True:
            seen = watched(folder)
            with suppress(typer.Exit):
                run()
            print(f"watching {folder}; Ctrl-C ends", flush=True)
            while watched(folder) == seen:
                sleep(EVERY_SECONDS)
    except KeyboardInterrupt:
        print()
