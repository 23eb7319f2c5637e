"""Metrics of the node that answers: what all its processes counted, and the state of its grants."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gatepass.node.node import Node
from gatepass.node_counters import Histogram, Workers
from gatepass.web.gateway.durations import DecisionDurations
from gatepass.web.metrics.http_durations import HttpDurations
from gatepass.web.misconfiguration import Fault, Misconfigurations
from gatepass.web.openapi import VERSION

_Label = TypeVar("_Label")


def families(
    node: Node, misconfigurations: Misconfigurations, http: HttpDurations
) -> Iterator[Metric]:
    """The metrics of *node*.

    Args:
        misconfigurations, http: of its application in this process.
    """
    counters = node.counters
    ready = node.readiness.not_ready() is None
    yield GaugeMetricFamily("gatepass_ready", "1 if this node can decide now, else 0.", ready)
    if node.verifier.copy:
        yield from _copy(node)
    yield _counter(
        "gatepass_node_decisions_total",
        "Decisions of this node, by reason.",
        "reason",
        counters.decisions.totals(),
    )
    yield _histogram(
        "gatepass_decision_duration_seconds",
        "How long this node takes to answer a gateway or service, for one request in 64.",
        ("endpoint",),
        DecisionDurations(counters.decision_durations).histogram,
        lambda endpoint: (endpoint,),
    )
    yield _histogram(
        "gatepass_http_request_duration_seconds",
        "How long pages and the REST API take to answer, on this node.",
        ("method", "route", "status"),
        http.histogram,
        lambda answered: answered,
    )
    yield _counter(
        "gatepass_sign_in_failures_total",
        "Failed sign-ins on this node, by kind.",
        "kind",
        counters.sign_in_failures.totals(),
    )
    faults = dict(misconfigurations.counter.totals())
    yield _counter(
        "gatepass_misconfigurations_total",
        "Requests to this node that show a misconfigured deployment, by kind.",
        "kind",
        ((fault.name, number) for fault, number in faults.items()),
    )
    yield CounterMetricFamily(
        "gatepass_gateway_misconfigured_total",
        "Questions of gateways on this node that lacked the call's path or method.",
        faults[Fault.source_missing],
    )
    yield _counter(
        "gatepass_worker_exits_total",
        "Worker processes of this node that ended by themselves, by role.",
        "role",
        counters.exits.totals(),
    )
    build = GaugeMetricFamily("gatepass_build_info", "The running version.", None, ["version"])
    build.add_metric([VERSION], 1)
    yield build
    yield from _processes(counters.workers)


def _copy(node: Node) -> Iterator[Metric]:
    shared, clock = node.file.shared, node.clock
    left_ns = max(0, shared.lease_until_boot_ns() - clock.boot_ns())
    yield GaugeMetricFamily(
        "gatepass_copy_revision",
        "The latest change that this node's copy of the grants has.",
        shared.revision,
    )
    yield GaugeMetricFamily(
        "gatepass_copy_lease_seconds",
        "For how long this node may still decide without hearing from the database.",
        left_ns / 1e9,
    )


def _processes(workers: Workers) -> Iterator[Metric]:
    # The process that answers is up to date; the others are as of the last second.
    workers.record()
    yield GaugeMetricFamily(
        "gatepass_feed_followers",
        "Embedded verifiers that follow this node now.",
        workers.followers,
    )
    yield CounterMetricFamily(
        "process_cpu_seconds_total", "CPU time of this node's worker processes.", workers.cpu_s
    )
    yield GaugeMetricFamily(
        "process_start_time_seconds",
        "Unix time at which this node's first worker process started.",
        workers.started,
    )
    yield GaugeMetricFamily(
        "process_resident_memory_bytes",
        "Memory of this node's worker processes.",
        workers.resident_bytes,
    )


def _counter(
    name: str, documentation: str, label: str, totals: Iterable[tuple[str, int]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, None, [label])
    for value, total in totals:
        family.add_metric([value], total)
    return family


def _histogram(
    name: str,
    documentation: str,
    labels: Sequence[str],
    histogram: Histogram[_Label],
    values: Callable[[_Label], Sequence[str]],
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, documentation, labels=labels)
    bounds = [*map(str, histogram.bounds_s), "+Inf"]
    for label, durations in histogram.durations():
        buckets = list(zip(bounds, map(float, durations.buckets), strict=True))
        family.add_metric(values(label), buckets, durations.sum_s)
    return family
