"""Sample nodes and receipts in every state, for the style guide."""

from dataclasses import replace

from gatepass.registry.replication.node_status import KnownNode
from gatepass.registry.replication.receipt_status import Confirmation, Receipt
from gatepass.web.pages.text.times import HOUR, MINUTE

_STALENESS = 10_000


def sample_nodes(now: int) -> list[KnownNode]:
    """One of each state, on several machines."""
    node = KnownNode(
        id="node_1",
        kind="node",
        name="gatepass-1.internal",
        version="0.1.0",
        address="10.0.1.4:8787",
        key_id=None,
        limits=None,
        first_seen_at=now - 9 * HOUR,
        seen_at=now - 400,
        seen_ms=400,
        synced_at=now - 400,
        synced_ms=400,
        staleness_ms=_STALENESS,
        state="current",
        revision=1_204,
        behind_by=0,
        itself=False,
    )
    embedded = replace(node, id="node_2", kind="embedded", name="checkout-1.internal")
    return [
        node,
        replace(node, id="node_3", name="gatepass-alone", itself=True),
        replace(embedded, limits={"companies": ["com_sample"]}, revision=1_203, behind_by=1),
        replace(
            embedded,
            id="node_4",
            name="a-name-as-long-as-an-orchestrator-makes-them-7d9f8b6c5-x2x4q.eu-central.internal",
            state="behind",
            synced_ms=6_800,
            revision=1_190,
            behind_by=14,
            limits={"permissions": ["charges:get", "payouts:get", "refunds:create"]},
        ),
        replace(embedded, id="node_5", state="stale", synced_ms=23_000, name="reports.internal"),
        replace(embedded, id="node_6", state="gone", seen_ms=7 * MINUTE, name="batch.internal"),
    ]


def sample_receipts(now: int) -> list[Receipt]:
    """Receipts that are pending, complete, unreachable in part, large, local and empty."""
    done = tuple(
        Confirmation(
            id=f"node_{number}",
            name=f"checkout-{number}.internal",
            kind="embedded",
            state="refusing",
            confirmed_at=now,
            after_ms=210 - 20 * number,
            silent_since=None,
            itself=False,
        )
        for number in range(4)
    )
    waiting = replace(done[0], state="waiting", confirmed_at=None, after_ms=None)
    silent = replace(waiting, state="silent", silent_since=now - 4_000)
    itself = replace(done[0], name="gatepass-alone", kind="node", itself=True, after_ms=0)
    many = tuple(
        replace(done[number % 4], id=f"node_{number}", name=f"checkout-{number}.internal")
        for number in range(70)
    )
    return [
        Receipt(1_204, now, None, (waiting, *done[1:])),
        Receipt(1_205, now, now, done),
        Receipt(1_206, now, now, (silent, *done[1:])),
        Receipt(1_207, now, None, (waiting, replace(silent, id="node_71"), *many)),
        Receipt(1_208, now, now, (itself,)),
        Receipt(1_209, now, now, ()),
    ]
