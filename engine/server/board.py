"""Where the processes of one server tell each other what they counted, and how deliveries are.

It is a folder with one small file for each process, replaced whole, so whoever reads finds what
was last told, also by a process that was killed since. What begins again under a name counts on
from there: no sum ever goes down.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, cast

from engine.metrics import Metrics, Sample, added

REPORT_SECONDS = 1.0

Condition = Literal["starting", "running", "failing"]
"""`failing`: the process that delivers ended by itself and is started again after a wait."""

_FIGURES, _CONDITION = ".figures", "deliveries.condition"


class Board:
    """Keep what each process told last, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def tell_condition(self, condition: Condition) -> None:
        """Say how the process is that delivers."""
        self._put(_CONDITION, condition)

    def condition(self) -> Condition:
        """Return how the process is that delivers."""
        return cast(Condition, self._get(_CONDITION, "starting"))

    def page(self, name: str, metrics: Metrics) -> Page:
        """Return the page of the process that begins under a name."""
        return Page(self, name, metrics)

    def tell(self, name: str, samples: list[Sample]) -> None:
        """Put down all that has been counted under a name."""
        self._put(name + _FIGURES, samples)

    def told(self, name: str) -> list[Sample]:
        """Return what was last told under a name."""
        return cast("list[Sample]", self._get(name + _FIGURES, []))

    def names(self) -> list[str]:
        """Return who has told anything."""
        return sorted(
            path.name.removesuffix(_FIGURES) for path in self._folder.glob(f"*{_FIGURES}")
        )

    def remove(self) -> None:
        """Remove the folder: who made it is gone."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _put(self, name: str, value: Any) -> None:
        fresh = self._folder / f"{name}.new"
        with suppress(OSError):  # no room: what was told last still stands there
            fresh.write_text(json.dumps(value), encoding="utf-8")
            os.replace(fresh, self._folder / name)

    def _get(self, name: str, default: Any) -> Any:
        try:
            return json.loads((self._folder / name).read_text(encoding="utf-8"))
        except OSError:
            return default


class Page:
    """Tell what one process has counted, and learn what the others have."""

    def __init__(self, board: Board, name: str, metrics: Metrics) -> None:
        self._board = board
        self._name = name
        self._metrics = metrics
        self._before = self._last = board.told(name)
        self._telling = threading.Lock()

    def tell(self) -> list[Sample]:
        """Put down what stands now, and return it."""
        with self._telling:
            samples = added([*self._metrics.samples(), *self._before])
            if samples != self._last:
                self._board.tell(self._name, samples)
                self._last = samples
            return samples

    def together(self) -> list[Sample]:
        """Return what all have counted.

        What this one shows is told before, so that no other shows less of it afterwards.
        """
        samples = list(self.tell())
        for name in self._board.names():
            if name != self._name:
                samples += self._board.told(name)
        return added(samples)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Tell each second for as long as the block lasts, and at its end."""
        telling = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            telling.cancel()
            self.tell()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self.tell()
