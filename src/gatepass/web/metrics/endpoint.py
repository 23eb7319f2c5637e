"""``/metrics``, for Prometheus.

A scraper that sends METRICS_TOKEN is answered, from anywhere. Without a bearer only a trusted peer
that speaks for itself is: a scraper on the machine or in the cluster. Any client may be behind a
request that a proxy passed on, so a header that names another address makes it 404, as if there
were nothing here; so does a wrong token.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Receive, Scope, Send

from gatepass.core.errors import Unavailable
from gatepass.core.networks import parse_address
from gatepass.node.node import Node
from gatepass.web.caller import CurrentNode
from gatepass.web.gateway.asgi import send_reply
from gatepass.web.gateway.reply import refusal
from gatepass.web.metrics import this_node
from gatepass.web.metrics.http_durations import HttpDurations
from gatepass.web.metrics.installation import InstallationMetrics
from gatepass.web.misconfiguration import Misconfigurations

router = APIRouter(include_in_schema=False)

# X-Forwarded-For, Forwarded, X-Original-Forwarded-For; X-Real-IP, CF-Connecting-IP and their like.
_FORWARDING = re.compile(rb".*forwarded.*|.*-ip|via|x-envoy-external-address").fullmatch


@router.get("/metrics")
def metrics(request: Request, node: CurrentNode) -> Response:
    """The metrics, in the text format 0.0.4 whatever the scraper accepts: every scraper reads it,
    and no metric has an exemplar or a creation time that needs OpenMetrics.
    """
    if not _may_read(request, node.settings.metrics_token):
        raise HTTPException(404)
    state = request.app.state
    content = generate_latest(_Metrics(node, state.misconfigurations, state.http_durations))
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
class _Metrics:
    """A ``prometheus_client`` collector of one scrape.

    Nothing is registered in the package's global registry: several nodes may live in one process.
    """

    node: Node
    misconfigurations: Misconfigurations
    http: HttpDurations

    def collect(self) -> Iterator[Metric]:
        installation: InstallationMetrics | None = None
        # What a node says of itself matters most while the database is away.
        with suppress(Unavailable), self.node.database.read(self.node.clock.now()) as reading:
            installation = InstallationMetrics.read(reading)
        yield GaugeMetricFamily(
            "gatepass_database_up",
            "1 if this node could read the database for this answer, else 0.",
            installation is not None,
        )
        if installation is not None:
            yield from installation.families()
        yield from this_node.families(self.node, self.misconfigurations, self.http)
