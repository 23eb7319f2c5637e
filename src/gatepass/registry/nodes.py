"""Nodes and embedded verifiers: who decides by these grants, and how far each has come.

What they report is small and frequent, so it is counted, never a change: it takes no revision.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import case, select, text, update
from sqlalchemy.orm import Session

from gatepass.registry import changes, receipts
from gatepass.registry.changes import Position
from gatepass.registry.tables import nodes


@dataclass(frozen=True, slots=True)
class Presence:
    """Who it is that decides.

    Attributes:
        id: ``verify.identity``.
        kind: ``node`` serves and has people's traffic; ``embedded`` is in someone's application.
        name: of the machine, as people know it.
        address: where it was last heard from; None for this machine's own.
        key_id: the verifier key that an embedded one shows.
        limits: the companies and permissions its copy is limited to.
        staleness_ms: how long it decides without being vouched for.
    """

    id: str
    kind: Literal["node", "embedded"]
    name: str
    version: str
    address: str | None
    key_id: str | None
    limits: Mapping[str, Sequence[str]] | None
    staleness_ms: int


def meet(session: Session, presence: Presence) -> None:
    """Note that someone is there, before any grant is given to them.

    So whoever gets hold of a grant is known by the time it is ended: a receipt counts them all.
    """
    now = session.info["now"]
    session.execute(
        _MEET,
        {
            "id": presence.id,
            "kind": presence.kind,
            "name": presence.name,
            "version": presence.version,
            "address": presence.address,
            "key_id": presence.key_id,
            "limits": None if presence.limits is None else json.dumps(presence.limits),
            "now": now,
            "staleness_ms": presence.staleness_ms,
        },
    )


def report(session: Session, node_id: str, position: Position | None, vouched_at: int) -> None:
    """Note how far someone has come, and confirm what that means has reached them.

    Args:
        position: the (revision, tag) they have acknowledged; None if they have none. One that this
            history doesn't know confirms nothing.
        vouched_at: the latest moment they may have been vouched for, Unix ms.
    """
    now = session.info["now"]
    table = nodes.c
    session.execute(
        update(nodes)
        .where(table.id == node_id)
        .values(
            seen_at=now,
            vouched_at=case((table.vouched_at < vouched_at, vouched_at), else_=table.vouched_at),
        )
    )
    if position is None or not changes.known(session, position):
        return
    session.execute(
        update(nodes)
        .where(table.id == node_id, table.revision < position[0])
        .values(revision=position[0])
    )
    receipts.confirm(session, node_id, position[0])


def forget(session: Session, unseen_since: int) -> None:
    """Drop those of whom nothing was heard since *unseen_since* (Unix ms)."""
    session.execute(nodes.delete().where(nodes.c.seen_at < unseen_since))


def known(session: Session, node_id: str) -> bool:
    """Whether someone of that id has been met."""
    found = session.execute(select(nodes.c.id).where(nodes.c.id == node_id)).one_or_none()
    return found is not None


_MEET = text(
    "INSERT INTO nodes (id, kind, name, version, address, key_id, limits, first_seen_at, seen_at, "
    "vouched_at, staleness_ms, revision) VALUES (:id, :kind, :name, :version, :address, :key_id, "
    ":limits, :now, :now, :now, :staleness_ms, 0) ON CONFLICT (id) DO UPDATE SET "
    "kind = excluded.kind, name = excluded.name, version = excluded.version, "
    "address = excluded.address, key_id = excluded.key_id, limits = excluded.limits, "
    "seen_at = excluded.seen_at, vouched_at = excluded.vouched_at, "
    "staleness_ms = excluded.staleness_ms"
)
