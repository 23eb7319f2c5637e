"""``/metrics``, for Prometheus.

A scraper that sends METRICS_TOKEN is answered, from anywhere. Without a bearer only a trusted peer
that speaks for itself is: a scraper on the machine or in the cluster. Any client may be behind a
request that a proxy passed on, so a header that names another address makes it 404, as if there
were nothing here; so does a wrong token.
"""

import os
import re
import resource
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hmac import compare_digest

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.core.networks import parse_address
from gatepass.node.node import Node
from gatepass.registry.grants import history
from gatepass.registry.replication import node_status, receipts
from gatepass.registry.replication.node_status import STATES, KnownNode
from gatepass.registry.storage import revisions
from gatepass.registry.tokens.calls import usage
from gatepass.registry.webhooks import queue
from gatepass.web.caller import CurrentNode
from gatepass.web.gateway.asgi import send_reply
from gatepass.web.gateway.reply import refusal
from gatepass.web.openapi import VERSION

router = APIRouter(include_in_schema=False)

# X-Forwarded-For, Forwarded, X-Original-Forwarded-For; X-Real-IP, CF-Connecting-IP and their like.
_FORWARDING = re.compile(rb".*forwarded.*|.*-ip|via|x-envoy-external-address").fullmatch
_STARTED = time.time()


@router.get("/metrics")
def metrics(request: Request, node: CurrentNode) -> Response:
    """The metrics, in the text format 0.0.4 whatever the scraper accepts: every scraper reads it,
    and no metric has an exemplar or a creation time that needs OpenMetrics.
    """
    if not _may_read(request, node.settings.metrics_token):
        raise HTTPException(404)
    content = generate_latest(_NodeMetrics(node))
    return Response(content, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


class MetricsPort:
    """The application of METRICS_PORT: *app*, of which it has ``/metrics`` alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/metrics":
            await send_reply(send, refusal(404), head=scope["method"] == "HEAD")
        else:
            await self._app(scope, receive, send)


def _may_read(request: Request, token: str | None) -> bool:
    sent = request.headers.getlist("authorization")
    if not sent:
        return _speaks_for_itself(request)
    scheme, _, text = sent[0].partition(" ")
    return (
        token is not None
        and len(sent) == 1
        and scheme.lower() == "bearer"
        and compare_digest(text.strip().encode(), token.encode())
    )


def _speaks_for_itself(request: Request) -> bool:
    client = request.scope.get("client")
    peer = parse_address(client[0]) if client else None
    names = (name for name, _ in request.scope["headers"])
    if any(map(_FORWARDING, names)):
        return False
    return peer is not None and request.app.state.trusted.contains(peer)


@dataclass(frozen=True, slots=True)
class _NodeMetrics:
    """A ``prometheus_client`` collector that reads the registry at each scrape.

    No metric is kept between scrapes, nor registered in the package's global registry: processes
    of a node would each count for themselves, and several nodes may live in one process.
    """

    node: Node

    def collect(self) -> Iterator[Metric]:
        with self.node.database.read(self.node.clock.now()) as reading:
            decisions = usage.decision_counts(reading)
            revision, _ = revisions.latest(reading)
            known = node_status.latest_seen(reading)
            receipts_open = receipts.open_count(reading)
            shortened = history.divergence_count(reading)
            webhooks = queue.figures(reading)
        by_reason = CounterMetricFamily(
            "gatepass_decisions_total",
            "Decisions of this installation, by reason.",
            None,
            ["reason"],
        )
        for reason, total in sorted(decisions.items()):
            by_reason.add_metric([reason], total)
        yield by_reason
        yield GaugeMetricFamily("gatepass_revision", "The latest change to grants.", revision)
        yield from _verifiers(known)
        yield GaugeMetricFamily(
            "gatepass_receipts_open",
            "Deactivations that not every node and verifier has acknowledged.",
            receipts_open,
        )
        yield CounterMetricFamily(
            "gatepass_history_shortened_total",
            "How often a node found that the database had lost changes.",
            shortened,
        )
        yield GaugeMetricFamily(
            "gatepass_webhook_deliveries_waiting",
            "Events that wait to be delivered to webhooks.",
            webhooks.waiting,
        )
        yield GaugeMetricFamily(
            "gatepass_webhook_deliveries_failing",
            "Events that wait because their last attempts failed.",
            webhooks.failing,
        )
        yield GaugeMetricFamily("gatepass_webhooks_paused", "Paused webhooks.", webhooks.paused)
        yield CounterMetricFamily(
            "gatepass_gateway_misconfigured_total",
            "Questions of gateways on this node that lacked the call's path or method.",
            self.node.file.shared.gateway_faults,
        )
        ready = self.node.readiness.not_ready() is None
        yield GaugeMetricFamily("gatepass_ready", "1 if this node can decide now, else 0.", ready)
        build = GaugeMetricFamily("gatepass_build_info", "The running version.", None, ["version"])
        build.add_metric([VERSION], 1)
        yield build
        yield from _process()


def _verifiers(known: list[KnownNode]) -> Iterator[Metric]:
    """Nodes and embedded verifiers that reported within the last hour."""
    states = Counter(each.state for each in known)
    by_state = GaugeMetricFamily(
        "gatepass_nodes", "Nodes and embedded verifiers, by state.", None, ["state"]
    )
    for state in STATES:
        by_state.add_metric([state], states[state])
    yield by_state
    labels = ["id", "kind", "name"]
    revision = GaugeMetricFamily(
        "gatepass_node_revision", "The latest revision that each has acknowledged.", None, labels
    )
    synced = GaugeMetricFamily(
        "gatepass_node_vouched_seconds", "Seconds since each was last synced.", None, labels
    )
    for each in known:
        values = [each.id, each.kind, _printable(each.name)]
        revision.add_metric(values, each.revision)
        synced.add_metric(values, each.synced_ms / 1000)
    yield revision
    yield synced


def _printable(name: str) -> str:
    # An embedded verifier chooses its own name: control characters must not reach a dashboard.
    return "".join(character if character.isprintable() else "?" for character in name)


def _process() -> Iterator[Metric]:
    """The worker process that answers. The package's own collector knows Linux alone."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield CounterMetricFamily(
        "process_cpu_seconds_total",
        "CPU time of the worker process that answered.",
        used.ru_utime + used.ru_stime,
    )
    yield GaugeMetricFamily(
        "process_start_time_seconds",
        "Unix time at which the worker process that answered started.",
        _STARTED,
    )
    resident = _resident_bytes()
    if resident is not None:
        yield GaugeMetricFamily(
            "process_resident_memory_bytes",
            "Memory of the worker process that answered.",
            resident,
        )


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
