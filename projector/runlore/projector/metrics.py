"""Prometheus metrics: read from the service's state when scraped, so that they add no work to the data path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runlore.projector.state import ServiceState
from runlore.store.folder import DataDir

_GAUGES = {
    "connected": "1 while connected to NATS.",
    "fold_running": "1 while the fold stage runs.",
    "stream_last": "Last sequence of the stream, when last asked.",
    "stream_bytes": "Bytes of the stream.",
    "stream_max_bytes": "Bytes at which the stream refuses events; 0: no limit.",
    "archived": "Position of log.db.",
    "folded": "Position of the live view.",
    "lag": "Events of the stream that are not folded yet.",
    "quarantined": "Events in quarantine.",
    "duplicates": "Second copies in log.db; never folded.",
    "conflicts": "Events with the ID of an earlier one and other content; in quarantine.",
    "gaps": "Holes that the stream confirmed.",
}
_COUNTERS = {
    "events_archived": "Events archived by this process.",
    "events_folded": "Events folded or quarantined by this process.",
    "connects": "Connections made to NATS.",
    "disconnects": "Connections lost, or not made.",
    "consumer_restarts": "Consumers recreated on a live connection.",
}
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class ProjectorMetrics:
    """The registry of one projector."""

    def __init__(self, state: ServiceState, data: DataDir) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StateCollector(state, data))
        self.archive_seconds = self._batches("archive")
        self.fold_seconds = self._batches("fold")

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _batches(self, stage: str) -> Histogram:
        name, help_text = f"runlore_{stage}_batch_seconds", f"Time to {stage} and commit one batch."
        return Histogram(name, help_text, buckets=_SECONDS, registry=self._registry)


class _StateCollector(Collector):
    def __init__(self, state: ServiceState, data: DataDir) -> None:
        self._state, self._data = state, data

    def collect(self) -> Iterator[Metric]:
        for name, help_text in _GAUGES.items():
            yield GaugeMetricFamily(f"runlore_{name}", help_text, value=getattr(self._state, name))
        for name, help_text in _COUNTERS.items():
            yield CounterMetricFamily(f"runlore_{name}", help_text, value=getattr(self._state, name))
        sizes = GaugeMetricFamily("runlore_file_bytes", "Size of a file of the projection.", labels=["file"])
        for path in sorted(self._data.projection.glob("*.db*")):
            sizes.add_metric([path.name], _size(path))
        yield sizes


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a write-ahead log goes when its file is closed
        return 0
