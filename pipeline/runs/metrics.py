"""Figures of a run as Prometheus text, on loopback, for who asks for it: `--metrics-port`.

Nothing is told but our own figures: no paths, no host name, no versions of the interpreter.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipeline.errors import Unavailable

_ADDRESS = "127.0.0.1"
_BY_STAGE = (
    ("queues", GaugeMetricFamily, "autocapture_queue_depth", "Samples that wait for a stage."),
    ("rates_per_s", GaugeMetricFamily, "autocapture_samples_per_second", "Samples finished a second, lately."),
    ("done", CounterMetricFamily, "autocapture_samples", "Samples finished, whatever came of them."),
)
_PLAIN = (
    ("in_flight", GaugeMetricFamily, "autocapture_requests_in_flight", "Model requests on their way."),
    ("lag_s", GaugeMetricFamily, "autocapture_lag_seconds", "Age of the oldest sample that waits."),
    ("failed", CounterMetricFamily, "autocapture_failures", "Tries that failed and may be repeated."),
    ("dropped", CounterMetricFamily, "autocapture_drops", "Samples given up."),
    ("preemptions", CounterMetricFamily, "autocapture_preemptions", "Times that the user came back to a run."),
)
_BUDGET = (
    ("memory_mb", "autocapture_memory_bytes", "Memory of all processes of the run.", 1 << 20),
    ("processes", "autocapture_processes", "Processes of the run.", 1),
)


class _Collector:
    """Makes metrics of what telemetry tells at the moment."""

    def __init__(self, snapshot: Callable[[], dict[str, Any]]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        told = self._snapshot()
        for key, kind, name, text in _BY_STAGE:
            family = kind(name, text, labels=["stage"])
            for stage, number in sorted(told[key].items()):
                family.add_metric([stage], number)
            yield family
        for key, kind, name, text in _PLAIN:
            if told[key] is not None:
                yield kind(name, text, value=told[key])
        yield GaugeMetricFamily("autocapture_gate_open", "Whether heavy work may run.", value=int(told["gate"]["open"]))
        yield from _budget(told["budget"])


def _budget(budget: dict[str, Any]) -> Iterator[Metric]:
    for key, name, text, unit in _BUDGET:
        yield GaugeMetricFamily(name, text, value=budget[key] * unit)
    yield CounterMetricFamily("autocapture_cpu_seconds", "Processor time of the run.", budget["cpu_used_ms"] / 1000)
    family = CounterMetricFamily("autocapture_throttles", "Times that the run was held up.", labels=["reason"])
    for reason in ("cpu", "memory", "killed"):
        family.add_metric([reason], budget["throttled"][reason])
    yield family


class _Server(ThreadingHTTPServer):
    def server_bind(self) -> None:
        """Without looking this machine's name up, which may ask a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = _ADDRESS, int(self.socket.getsockname()[1])


@contextmanager
def serve_metrics(port: int, snapshot: Callable[[], dict[str, Any]]) -> Iterator[int]:
    """Answer `GET /metrics` on loopback while the block runs; gives the port, a free one for 0. Raises Unavailable."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    try:
        server = _Server((_ADDRESS, port), _handler(registry))
    except OSError as error:
        raise Unavailable(
            f"the metrics port {port} cannot be used: {error.strerror}", remedy="give another --metrics-port"
        ) from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            """A page that points its own name at 127.0.0.1 has another Host, and any other page an Origin."""
            port = self.connection.getsockname()[1]
            hosts = (f"{_ADDRESS}:{port}", f"localhost:{port}")
            if self.headers.get("Host") not in hosts or self.headers.get("Origin"):
                self.send_error(403)
            elif self.path != "/metrics":
                self.send_error(404)
            else:
                self._answer(generate_latest(registry))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Being asked is no event."""

        def version_string(self) -> str:
            """What answers is nobody's business."""
            return "autocapture"

    return Handler
