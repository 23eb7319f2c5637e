"""The events that webhooks are told of: which there are, and writing them.

An event is written for each webhook of the company that wants it, in the transaction of the change
that it tells of. So there are both or neither, whatever happens to the process. A company without
webhooks costs one look at an index.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from gatepass.core.credentials import new_id
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.storage.database import Write
from gatepass.registry.storage.tables import companies, webhook_deliveries, webhooks

_ENDING = ("access_token.expiring", "access_token.expired")
#: The event that tells of each audited action. Other actions are told to nobody.
EVENT_OF: dict[str, str] = {
    **{
        action: action
        for action in (
            *("access_token.created", "access_token.modified", "access_token.rotated"),
            *("access_token.deactivated", "access_token.reuse_detected", *_ENDING),
            *("access_token.pending", "access_token.approved", "access_token.decoy_used"),
            *(
                action
                for kind in KINDS.values()
                for action in kind.actions
                if action.startswith(("user.", "invitation."))
            ),
            "allowlist.changed",
            "authentication.created",
        )
    },
    "access_token.imported": "access_token.created",
    "access_token.handed_over": "access_token.modified",
    "access_token.exception_added": "access_token.modified",
    "access_token.exception_ended": "access_token.modified",
    "access_request.created": "access_request.created",
    "access_request.approved": "access_request.decided",
    "access_request.denied": "access_request.decided",
    "allowlist.lifted": "allowlist.changed",
    "allowlist.trial_started": "allowlist.changed",
}
# The use of a decoy changed nothing, and is told with its call.
_CALLS = frozenset(("access_token.decoy_used",))
_OF_CALL = ("permission", "method", "route", "address")
#: The names of all events, in the order of their groups.
EVENTS = tuple(dict.fromkeys(EVENT_OF.values()))
#: The wildcards, each for all events of a group, later ones too.
GROUPS = tuple(dict.fromkeys(f"{event.partition('.')[0]}.*" for event in EVENTS))


def is_wanted(event: str, wanted: Sequence[str]) -> bool:
    """Whether *wanted*, which names events and groups, includes *event*."""
    return event in wanted or f"{event.partition('.')[0]}.*" in wanted


def write_events(write: Write, events: Sequence[Mapping[str, Any]]) -> None:
    """Write what the webhooks of a company are told of its audit *events*.

    Args:
        events: rows of ``audit_events`` of one action and company.
    """
    action, company = events[0]["action"], events[0]["company_id"]
    event = EVENT_OF.get(action)
    if event is None or company is None:
        return
    hooks = write.session.execute(
        select(webhooks.c.id, webhooks.c.events, companies.c.name)
        .join(companies, companies.c.id == webhooks.c.company_id)
        .where(webhooks.c.company_id == company, companies.c.deactivated_at.is_(None))
        .order_by(webhooks.c.id)
    ).all()
    wanting = [hook for hook in hooks if is_wanted(event, hook.events)]
    if not wanting:
        return
    name = wanting[0].name
    payloads = [_payload(event, audited, name) for audited in events]
    write.session.execute(
        insert(webhook_deliveries),
        [
            delivery(write, hook.id, event, audited["id"], audited["subject_id"], payload)
            for hook in wanting
            for audited, payload in zip(events, payloads, strict=True)
        ],
    )


def delivery(
    write: Write, webhook: str, event: str, event_id: str, subject: str, payload: str
) -> dict[str, Any]:
    """The row of a new delivery, due now.

    Args:
        webhook, subject: ids.
    """
    return {
        "id": new_id("dlv"),
        "webhook_id": webhook,
        "event_id": event_id,
        "event": event,
        "subject_id": subject,
        "payload": payload,
        "created_at": write.now,
        "due_at": write.now,
        "attempts": 0,
        "failures": 0,
    }


def payload_of(event: str, at: int, data: Mapping[str, Any]) -> str:
    """The body of an event's requests. *at* is Unix ms."""
    body = {"type": event, "timestamp": _time(at), "data": data}
    return json.dumps(body, separators=(",", ":"))


def _time(at: int) -> str:
    time = datetime.fromtimestamp(at // 1000, UTC).replace(microsecond=at % 1000 * 1000)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _details(audited: Mapping[str, Any]) -> dict[str, Any]:
    """Of a token that ends by itself: when, why, and how many days are left; of a decoy that was
    used, the call; of an access request, its token."""
    if audited["action"] in _CALLS:
        return {"call": {name: audited["after"][name] for name in _OF_CALL}}
    if audited["subject_kind"] == "access_request":
        return {"access_token": audited["after"]["access_token"]}
    if audited["action"] not in _ENDING:
        return {}
    after = dict(audited["after"])
    return after | {"ends_at": _time(after["ends_at"])}


def _payload(event: str, audited: Mapping[str, Any], company_name: str) -> str:
    """Ids and names, and of what changed the fields' names: never a secret, and no list."""
    return payload_of(
        event,
        audited["at"],
        {
            "id": audited["id"],
            "action": audited["action"],
            "subject": {
                "kind": audited["subject_kind"],
                "id": audited["subject_id"],
                "name": audited["subject_name"],
            },
            "actor": {
                "kind": audited["actor_kind"],
                "id": audited["actor_id"],
                "name": audited["actor_name"],
                "credential": audited["actor_credential"],
                "address": audited["address"],
            },
            "company": {"id": audited["company_id"], "name": company_name},
            "changed": list(audited["before"] or ()),
            **_details(audited),
        },
    )
