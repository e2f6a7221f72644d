"""``/metrics``: what Prometheus reads of a service."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from wan.serve.desk import Desk
from wan.serve.views import Entry

BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
"""Seconds: from the demo model on a CPU to 720p on one GPU."""


class Metrics:
    """The figures of one desk; ``text`` is what is scraped."""

    def __init__(self, desk: Desk) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "wan_video_seconds",
            "Seconds from the claim of a request to its finished video.",
            ["model"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_Now(desk))
        desk.listen(self._ended)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def _ended(self, entry: Entry) -> None:
        if entry.state == "finished" and entry.started_at is not None and entry.ended_at is not None:
            self._seconds.labels(entry.task).observe(max(0.0, entry.ended_at - entry.started_at))


class _Now(Collector):
    """What is read at the moment of the scrape."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        counts = self._desk.counts()
        states = GaugeMetricFamily("wan_requests", "Requests by state.", labels=["state"])
        for state, count in counts.items():
            states.add_metric([state], count)
        yield states
        yield GaugeMetricFamily("wan_queue_length", "Requests that wait.", value=counts["waiting"])
        yield GaugeMetricFamily("wan_queue_limit", "Requests that may wait.", value=self._desk.settings.max_queue)
        alive, wanted = self._desk.workers()
        yield GaugeMetricFamily("wan_workers", "Worker processes that live.", value=alive)
        yield GaugeMetricFamily("wan_workers_wanted", "Worker processes that there should be.", value=wanted)
        yield CounterMetricFamily("wan_steps", "Denoising steps since the start.", value=self._desk.steps_done())
