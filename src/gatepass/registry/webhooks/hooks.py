"""Webhooks of a company: list, create, modify, rotate the secret, delete."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, insert, select
from sqlalchemy import delete as delete_from

from gatepass.core.credentials import new_id
from gatepass.core.errors import Conflict, Forbidden
from gatepass.core.networks import Networks
from gatepass.registry.actor import Actor, Person, Subject
from gatepass.registry.audit import log
from gatepass.registry.audit.webhook_events import EVENTS, GROUPS
from gatepass.registry.authentication.encrypted_secrets import ensure_key
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.grants.authorization import acting
from gatepass.registry.input.text import Problems, read_items
from gatepass.registry.storage import rows
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.etags import etag_of
from gatepass.registry.storage.paging import Page, newest_first
from gatepass.registry.storage.tables import webhooks
from gatepass.registry.webhooks import queue, signing
from gatepass.registry.webhooks.urls import InvalidURL, host_of, parse_url

PERMISSION = "company:webhooks"
MOST_WEBHOOKS = 20
#: How long a replaced secret goes on signing beside its successor.
FORMER_SIGNS_MS = 86_400_000

Because = Literal["requested", "failing", "gone", "restored"]

_KNOWN = frozenset((*EVENTS, *GROUPS))


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook. Times are Unix ms.

    Attributes:
        events: names of events, and wildcards of groups.
        paused_because: ``requested`` by a user; ``failing``: an event failed for three days;
            ``gone``: the receiver answered 410; ``restored``: from a backup.
        former_until: until when the former secret signs, too; None if it doesn't.
    """

    id: str
    company: str
    url: str
    events: tuple[str, ...]
    paused_at: int | None
    paused_because: Because | None
    former_until: int | None
    created_at: int
    created_by: Person

    @property
    def status(self) -> Literal["active", "paused"]:
        """Whether events are sent."""
        return "active" if self.paused_at is None else "paused"

    @property
    def paused(self) -> bool:
        """Whether events wait."""
        return self.paused_at is not None

    @property
    def host(self) -> str:
        """What names it where its whole URL, which may hold a secret, mustn't be shown."""
        return host_of(self.url)


def etag(webhook: Webhook) -> str:
    """The version that If-Match is compared with."""
    return etag_of(webhook.id, webhook.url, webhook.events, webhook.paused)


def list_(
    reading: Reading, actor: Actor, *, limit: int | None = None, cursor: str | None = None
) -> Page[Webhook]:
    """A page of the company's webhooks, newest first.

    Raises:
        Forbidden: without ``company:webhooks``.
        InvalidInput: for ``cursor`` or ``limit``.
    """
    actor.require(PERMISSION)
    query = select(webhooks).where(*rows.of_company(actor, webhooks))
    found, more = newest_first(reading, query, webhooks, limit=limit, cursor=cursor)
    return Page([_webhook(row, reading) for row in found], more)


def get(reading: Reading, actor: Actor, webhook: str) -> Webhook:
    """One webhook of the actor's company.

    Raises:
        Forbidden: without ``company:webhooks``.
        NotFound: there is none, or it is another company's.
    """
    actor.require(PERMISSION)
    query = select(webhooks).where(webhooks.c.id == webhook, *rows.of_company(actor, webhooks))
    return _webhook(rows.find(reading, query, webhook, "webhook"), reading)


def create(
    change: Change,
    actor: Actor,
    *,
    key: EncryptionKey,
    networks: Networks,
    url: str,
    events: Sequence[str],
) -> tuple[Webhook, str]:
    """Create a webhook; return it with its secret's text, which is returned only here.

    Args:
        networks: where an operator's webhook may be, beside globally reachable addresses.
        events: names of events, and wildcards such as ``user.*``; at least one.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:webhooks``.
        InvalidInput: with all errors of ``url`` and ``events``.
        Conflict: ``too_many_webhooks``.
        Unavailable, Misconfigured: there is no encryption key.
    """
    actor = acting(change, actor, PERMISSION, person=True)
    if actor.company is None:
        raise Forbidden(
            "Only a signed-in user can create a webhook.", reason="signed_in_user_required"
        )
    found = _read({"url": url, "events": events}, actor, networks)
    number = change.session.scalar(
        select(func.count()).where(webhooks.c.company_id == actor.company)
    )
    if (number or 0) >= MOST_WEBHOOKS:
        raise Conflict(f"A company has up to {MOST_WEBHOOKS} webhooks.", reason="too_many_webhooks")
    ensure_key(change, key)
    id, secret = new_id("whk"), signing.new_secret()
    change.session.execute(
        insert(webhooks),
        {
            **found,
            "id": id,
            "company_id": actor.company,
            "by_operator": actor.operator,
            "resuming": False,
            "secret_sealed": key.encrypt(secret, owner=id),
            "created_at": change.now,
            "created_by": actor.user,
            "created_by_name": actor.name,
        },
    )
    webhook = get(change, actor, id)
    after = {"host": webhook.host, "events": list(webhook.events)}
    record(change, actor, "created", webhook, after=after)
    return webhook, signing.text_of(secret)


def modify(
    change: Change,
    actor: Actor,
    webhook: str,
    *,
    networks: Networks,
    changes: Mapping[str, object],
    if_match: Collection[str] | None = None,
) -> Webhook:
    """Change the fields that *changes* has: ``url``, ``events``, ``paused``. Idempotent.

    Events wait while a webhook is paused, and are sent in order when it is resumed.

    Args:
        networks: where an operator may let it be, beside globally reachable addresses.
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:webhooks``.
        NotFound: there is none, or it is another company's.
        InvalidInput: with all errors of the fields.
        Conflict: ``changed_meanwhile``, with the ``current`` record.
    """
    actor = acting(change, actor, PERMISSION, person=True)
    former = _lock(change, actor, webhook)
    rows.require_unchanged(former, etag(former), if_match, "this webhook")
    found = _read(changes, actor, networks)
    before = {
        "url": former.url,
        "events": list(former.events),
        "paused": former.paused,
    }
    after = {name: value for name, value in found.items() if value != before[name]}
    if not after:
        return former
    values = dict(after)
    if "url" in after:
        # An operator's word is for the URL they chose, not for one that replaces it.
        values["by_operator"] = actor.operator
    if "paused" in after:
        paused = values.pop("paused")
        values["paused_at"] = change.now if paused else None
        values["paused_because"] = "requested" if paused else None
        # The queue makes everything due, in parts: a change mustn't wait for that.
        values["resuming"] = not paused
    rows.update_row(change, webhooks, former.id, **values)
    webhook_now = get(change, actor, former.id)
    record(
        change,
        actor,
        "modified",
        webhook_now,
        before=_audited(former, after),
        after=_audited(webhook_now, after),
    )
    return webhook_now


def rotate_secret(
    change: Change, actor: Actor, webhook: str, *, key: EncryptionKey
) -> tuple[Webhook, str]:
    """Replace the secret; return the webhook with the new one's text, returned only here.

    For a day, the replaced secret signs, too. One that was replaced before no longer does.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:webhooks``.
        NotFound: there is none, or it is another company's.
        Unavailable: there is no encryption key, or another.
    """
    actor = acting(change, actor, PERMISSION, person=True)
    former = _lock(change, actor, webhook)
    ensure_key(change, key)
    secret, its = signing.new_secret(), webhooks.c
    rows.update_row(
        change,
        webhooks,
        former.id,
        secret_sealed=key.encrypt(secret, owner=former.id),
        former_sealed=its.secret_sealed,
        former_until=change.now + FORMER_SIGNS_MS,
    )
    record(change, actor, "secret_rotated", former)
    return get(change, actor, former.id), signing.text_of(secret)


def delete(
    change: Change, actor: Actor, webhook: str, *, if_match: Collection[str] | None = None
) -> None:
    """Delete a webhook. What waits isn't sent any more.

    Its deliveries, of which there may be many, are deleted with their time.

    Args:
        if_match: the accepted versions (``etag``); None accepts any.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``company:webhooks``.
        NotFound: there is none, or it is another company's.
        Conflict: ``changed_meanwhile``, with the ``current`` record.
    """
    actor = acting(change, actor, PERMISSION, person=True)
    former = _lock(change, actor, webhook)
    rows.require_unchanged(former, etag(former), if_match, "this webhook")
    change.session.execute(delete_from(webhooks).where(webhooks.c.id == former.id))
    before = {"host": former.host, "events": list(former.events)}
    record(change, actor, "deleted", former, before=before)


def record(
    write: Write, actor: Actor, what: str, webhook: Webhook, **fields: Mapping[str, Any]
) -> None:
    """Write the audit event ``webhook.{what}``; *fields* are ``before`` and ``after``."""
    subject = Subject("webhook", webhook.id, webhook.host)
    log.record(write, actor, f"webhook.{what}", subject, company=webhook.company, **fields)


def _lock(change: Change, actor: Actor, webhook: str) -> Webhook:
    found = get(change, actor, webhook)
    queue.lock(change, found.id)
    return get(change, actor, webhook)


def _webhook(row: Row[Any], reading: Reading) -> Webhook:
    signs = row.former_until is not None and reading.now < row.former_until
    return rows.record_of(
        Webhook,
        row,
        company=row.company_id,
        events=tuple(row.events),
        former_until=row.former_until if signs else None,
        created_by=Person(row.created_by, row.created_by_name),
    )


def _audited(webhook: Webhook, fields: Collection[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "url": ("host", webhook.host),
        "events": ("events", list(webhook.events)),
        "paused": ("paused", webhook.paused),
    }
    return dict(shown[field] for field in fields)


def _read(given: Mapping[str, object], actor: Actor, networks: Networks) -> dict[str, Any]:
    problems = Problems()
    found: dict[str, Any] = {}
    for field, value in given.items():
        if field == "url":
            try:
                found["url"] = parse_url(value, networks if actor.operator else None)
            except InvalidURL as error:
                problems.add("url", str(error))
        elif field == "events":
            found["events"] = _read_events(value, problems)
        elif field == "paused" and isinstance(value, bool):
            found["paused"] = value
        else:
            problems.add(field, "Must be left out: it can't be set.")
    problems.settle()
    return found


def _read_events(value: object, problems: Problems) -> list[str]:
    items = read_items("events", value, len(_KNOWN), problems)
    found: dict[str, None] = {}
    for number, item in enumerate(items):
        if isinstance(item, str) and item in _KNOWN:
            found[item] = None
        else:
            problems.add(f"events.{number}", "Must be the name of an event, such as user.created.")
    if value in ([], ()):
        problems.add("events", "Must have at least one.")
    # In the order in which pages offer them.
    return [name for name in (*GROUPS, *EVENTS) if name in found]
