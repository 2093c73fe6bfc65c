"""The figures of a server for Prometheus; the queues are read from the record when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.clock import Clock, seconds_between

_ENDINGS = ("_total", "_bucket", "_count", "_sum")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


Sample = list[Any]
"""A name, labels and a number: `["carelane_units_total", {"type": "Goal", ...}, 3.0]`."""


class Queue(Protocol):
    """Show how much stands at one destination in one state, and since when the oldest."""

    @property
    def destination(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def oldest(self) -> str: ...


class Tally:
    """Count under labels; the figure that stands under them is looked up once."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._figures: dict[tuple[str, ...], Counter] = {}

    def labels(self, *values: str) -> Counter:
        """Return the figure under these labels, the same one each time."""
        known = self._figures.get(values)
        if known is None:
            known = self._figures[values] = self._counter.labels(*values)
        return known


class Metrics:
    """Count what passes; labels are names of systems, types, states and codes, never of people."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.received = self._tally(
            "carelane_messages_received",
            "Submissions, by sending system and what became of them",
            ("system", "state"),
        )
        self.units = self._tally(
            "carelane_units",
            "Resources of submissions, by type and what became of them",
            ("type", "state"),
        )
        self.decided = self._tally(
            "carelane_decisions",
            "Consent decisions, by moment (accepting, sending), verdict and code",
            ("moment", "decision", "code"),
        )
        self.delivered = self._tally(
            "carelane_deliveries_delivered",
            "Deliveries that arrived, by destination",
            ("destination",),
        )
        self.accepting = Histogram(
            "carelane_accept_seconds",
            "Time from a whole body to its durable outcome",
            registry=self.registry,
            buckets=_SECONDS,
        )

    def _tally(self, name: str, said: str, labels: tuple[str, ...]) -> Tally:
        return Tally(Counter(name, said, labels, registry=self.registry))

    def samples(self) -> Iterable[Sample]:
        """Yield every figure as it stands; all of them can be added to those of other processes."""
        for metric in self.registry.collect():
            for sample in metric.samples:
                if not sample.name.endswith("_created"):
                    yield [sample.name, sample.labels, sample.value]

    def exposition(self, samples: Iterable[Sample], queues: Sequence[Queue], clock: Clock) -> bytes:
        """Return samples in Prometheus' text format, with the queues as they stand."""
        shown = CollectorRegistry()
        shown.register(_Samples(self.registry, tuple(samples)))
        shown.register(_Queues(queues, clock.now()))
        return generate_latest(shown)


def added(samples: Iterable[Sample]) -> list[Sample]:
    """Return one sample for each name and labels: the sum of all of them."""
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    for name, labels, value in samples:
        known = sums.setdefault((name, tuple(sorted(labels.items()))), [name, labels, 0.0])
        known[2] += value
    return list(sums.values())


@dataclass(frozen=True, slots=True, eq=False)
class _Samples(Collector):
    """Show samples under the names and descriptions of a registry."""

    registry: CollectorRegistry
    samples: Sequence[Sample]

    def collect(self) -> Iterable[Metric]:
        for known in self.registry.collect():
            metric = Metric(known.name, known.documentation, known.type)
            for name, labels, value in self.samples:
                if name.removeprefix(known.name) in _ENDINGS:
                    metric.add_sample(name, labels, value)
            yield metric


@dataclass(frozen=True, slots=True, eq=False)
class _Queues(Collector):
    """Show the queues as they stood when they were read."""

    queues: Sequence[Queue]
    now: str

    def collect(self) -> Iterable[Metric]:
        labels = ("destination", "state")
        depth = GaugeMetricFamily(
            "carelane_queue_depth", "Deliveries that have not arrived", labels=labels
        )
        age = GaugeMetricFamily(
            "carelane_queue_oldest_seconds", "Age of the oldest such delivery", labels=labels
        )
        for queue in self.queues:
            where = (queue.destination, queue.state)
            depth.add_metric(where, queue.count)
            age.add_metric(where, seconds_between(queue.oldest, self.now))
        return depth, age
