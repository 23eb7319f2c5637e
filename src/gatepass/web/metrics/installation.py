"""Metrics of the whole installation, which the registry knows: the same from every node."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from gatepass.registry.grants import history
from gatepass.registry.membership import outbox
from gatepass.registry.replication import node_status, receipts
from gatepass.registry.replication.node_status import STATES, KnownNode
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.calls import usage
from gatepass.registry.webhooks import queue


@dataclass(frozen=True, slots=True)
class InstallationMetrics:
    """The figures of one reading of the registry."""

    decisions: dict[str, int]
    revision: int
    known: list[KnownNode]
    receipts_open: int
    shortened: int
    mail: outbox.Figures
    webhooks: queue.Figures

    @classmethod
    def read(cls, reading: Reading) -> "InstallationMetrics":
        """Read the figures."""
        return cls(
            usage.decision_counts(reading),
            revisions.latest(reading)[0],
            node_status.latest_seen(reading),
            receipts.open_count(reading),
            history.divergence_count(reading),
            outbox.figures(reading),
            queue.figures(reading),
        )

    def families(self) -> Iterator[Metric]:
        """The metrics."""
        by_reason = CounterMetricFamily(
            "gatepass_decisions_total",
            "Decisions of this installation, by reason.",
            None,
            ["reason"],
        )
        for reason, total in sorted(self.decisions.items()):
            by_reason.add_metric([reason], total)
        yield by_reason
        yield GaugeMetricFamily("gatepass_revision", "The latest change to grants.", self.revision)
        yield from _verifiers(self.known)
        yield GaugeMetricFamily(
            "gatepass_receipts_open",
            "Deactivations that not every node and verifier has acknowledged.",
            self.receipts_open,
        )
        yield CounterMetricFamily(
            "gatepass_history_shortened_total",
            "How often a node found that the database had lost changes.",
            self.shortened,
        )
        yield GaugeMetricFamily(
            "gatepass_mails_waiting", "Mails that are due or were tried.", self.mail.waiting
        )
        yield GaugeMetricFamily(
            "gatepass_mails_failing",
            "Mails that wait because their last attempts failed.",
            self.mail.failing,
        )
        yield GaugeMetricFamily(
            "gatepass_mail_oldest_seconds",
            "Age of the oldest mail that waits; 0 without one.",
            self.mail.oldest_ms / 1000,
        )
        yield GaugeMetricFamily(
            "gatepass_webhook_deliveries_waiting",
            "Events that wait to be delivered to webhooks.",
            self.webhooks.waiting,
        )
        yield GaugeMetricFamily(
            "gatepass_webhook_deliveries_failing",
            "Events that wait because their last attempts failed.",
            self.webhooks.failing,
        )
        yield GaugeMetricFamily(
            "gatepass_webhook_oldest_seconds",
            "Age of the oldest event that waits for a webhook that isn't paused; 0 without one.",
            self.webhooks.oldest_ms / 1000,
        )
        yield GaugeMetricFamily(
            "gatepass_webhooks_paused", "Paused webhooks.", self.webhooks.paused
        )


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
