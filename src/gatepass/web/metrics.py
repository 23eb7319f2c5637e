"""``/metrics``, for Prometheus.

Only a trusted peer that speaks for itself is answered: a scraper on the machine or in the cluster.
A request that a proxy passed on may come from anyone, so whatever names another address makes it
404, as if there were nothing here.
"""

import os
import re
import resource
import time
from collections import Counter
from collections.abc import Iterable, Iterator

from fastapi import APIRouter, HTTPException, Request, Response

from gatepass.core.networks import parse_address
from gatepass.node.node import Node
from gatepass.registry.grants import history
from gatepass.registry.replication import node_status, receipts
from gatepass.registry.replication.node_status import STATES, KnownNode
from gatepass.registry.storage import revisions
from gatepass.registry.tokens import usage
from gatepass.web.caller import OurNode
from gatepass.web.openapi import VERSION

router = APIRouter(include_in_schema=False)

# X-Forwarded-For, Forwarded, X-Original-Forwarded-For; X-Real-IP, CF-Connecting-IP and their like.
_FORWARDING = re.compile(rb".*forwarded.*|.*-ip|via|x-envoy-external-address").fullmatch
_STARTED = time.time()


@router.get("/metrics")
def metrics(request: Request, node: OurNode) -> Response:
    """The figures, in the text format 0.0.4."""
    if not _speaks_for_itself(request):
        raise HTTPException(404)
    return Response("".join(_figures(node)), media_type="text/plain; version=0.0.4; charset=utf-8")


def _speaks_for_itself(request: Request) -> bool:
    client = request.scope.get("client")
    peer = parse_address(client[0]) if client else None
    names = (name for name, _ in request.scope["headers"])
    if any(map(_FORWARDING, names)):
        return False
    return peer is not None and request.app.state.trusted.contains(peer)


def _figures(node: Node) -> Iterator[str]:
    with node.database.read(node.clock.now()) as reading:
        decisions = usage.decision_counts(reading)
        revision, _ = revisions.latest(reading)
        known = node_status.latest_seen(reading)
        receipts_open = receipts.open_count(reading)
        shortened = history.divergence_count(reading)
    yield from _family(
        "gatepass_decisions_total",
        "counter",
        "Decisions of this installation, by reason.",
        ((f'{{reason="{reason}"}}', total) for reason, total in sorted(decisions.items())),
    )
    yield from _one("gatepass_revision", "gauge", "The latest change to grants.", revision)
    yield from _nodes(known)
    yield from _one(
        "gatepass_receipts_open",
        "gauge",
        "Deactivations that not everyone is known to refuse yet.",
        receipts_open,
    )
    yield from _one(
        "gatepass_history_shortened_total",
        "counter",
        "How often a node found that the database had lost changes.",
        shortened,
    )
    ready = 1 if node.not_ready() is None else 0
    yield from _one("gatepass_ready", "gauge", "Whether this node can decide now.", ready)
    info = ((f'{{version="{VERSION}"}}', 1),)
    yield from _family("gatepass_build_info", "gauge", "What is running.", info)
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield from _one(
        "process_cpu_seconds_total",
        "counter",
        "CPU time of the worker process that answered.",
        used.ru_utime + used.ru_stime,
    )
    yield from _one(
        "process_start_time_seconds",
        "gauge",
        "When the worker process that answered was started.",
        _STARTED,
    )
    resident = _resident_bytes()
    if resident is not None:
        yield from _one(
            "process_resident_memory_bytes",
            "gauge",
            "Memory of the worker process that answered.",
            resident,
        )


def _nodes(known: list[KnownNode]) -> Iterator[str]:
    """Nodes and embedded verifiers; those of whom nothing was heard for an hour drop out."""
    states = Counter(each.state for each in known)
    yield from _family(
        "gatepass_nodes",
        "gauge",
        "Nodes and embedded verifiers, by state.",
        ((f'{{state="{state}"}}', states[state]) for state in STATES),
    )
    labelled = [
        (f'{{id="{_text(each.id)}",kind="{each.kind}",name="{_text(each.name)}"}}', each)
        for each in known
    ]
    yield from _family(
        "gatepass_node_revision",
        "gauge",
        "The latest change that each has acknowledged.",
        ((labels, each.revision) for labels, each in labelled),
    )
    yield from _family(
        "gatepass_node_vouched_seconds",
        "gauge",
        "How long ago each is known to have been vouched for.",
        ((labels, each.synced_ms / 1000) for labels, each in labelled),
    )


def _text(value: str) -> str:
    # The one that names itself is an application somewhere: it writes no lines of its own here.
    plain = "".join(character if character.isprintable() else "?" for character in value)
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def _one(name: str, kind: str, meaning: str, value: float) -> Iterator[str]:
    return _family(name, kind, meaning, (("", value),))


def _family(
    name: str, kind: str, meaning: str, values: Iterable[tuple[str, float]]
) -> Iterator[str]:
    yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
    for labels, value in values:
        yield f"{name}{labels} {value}\n"


def _resident_bytes() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
