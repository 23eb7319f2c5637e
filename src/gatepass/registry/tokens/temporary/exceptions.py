"""Exceptions: permissions that access tokens hold for a while, besides their own.

They end by the clock alone, at every verifier. A round only notes the end.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row, Select, select, update

from gatepass.core.errors import Conflict, NotFound
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish, publish_grants
from gatepass.registry.replication import receipts
from gatepass.registry.storage.batches import in_batches
from gatepass.registry.storage.database import Change, Database, Reading
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import access_requests, access_tokens
from gatepass.registry.tokens import store
from gatepass.registry.tokens.exception_records import (
    TokenException,
    columns_of,
    exceptions_of,
    stored_exceptions,
)
from gatepass.registry.tokens.records import STORED, grant_of

#: How many a token has at once.
MOST = 20
#: The longest one.
LONGEST_S = 86_400

_AT_ONCE = 100
_NONE = columns_of(())
_token = access_tokens.c


def add(change: Change, actor: Actor, row: Row[Any], new: TokenException) -> None:
    """Give a token an exception, in place of one for the same permission.

    Performs no permission check: the caller must have done it.

    Args:
        row: of ``records.STORED``, the token's.

    Raises:
        Conflict: ``too_many_exceptions``, with the ``current`` record.
    """
    others = tuple(
        each
        for each in exceptions_of(row._mapping, change.now)
        if each.permission != new.permission
    )
    if len(others) >= MOST:
        raise Conflict(
            f"A token can have at most {MOST} exceptions at once.",
            reason="too_many_exceptions",
            current=store.token_of(change, row),
        )
    # The rounds find no more of these, so their ends are noted now.
    _note(change, row)
    _write(change, row, (*others, new))
    log.record(
        change,
        actor,
        "access_token.exception_added",
        _subject(row),
        company=row.company_id,
        after={"permission": new.permission, "allowed_until": new.until},
    )


def end(change: Change, actor: Actor, token_id: str, permission: str) -> None:
    """End the exception of a token now, with a receipt whose subject is the access request.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:modify``.
        NotFound: the token has no such exception, there is none, or it is another company's.
    """
    actor = acting(change, actor, "access-tokens:modify", person=True)
    row = store.find(change, actor.company, token_id)
    its = exceptions_of(row._mapping, change.now)
    ended = next((each for each in its if each.permission == permission), None)
    if ended is None:
        raise NotFound("This access token has no such exception.")
    _note(change, row)
    _write(change, row, tuple(each for each in its if each is not ended))
    update_row(change, access_requests, ended.request, until=change.now)
    subject = Subject("access_request", ended.request, permission)
    receipts.begin(change, [subject], company=row.company_id)
    _record_end(change, actor, row, ended)


def drop(change: Change, rows: Sequence[Row[Any]]) -> None:
    """Note that the exceptions of tokens end now; the caller removes them from *rows*."""
    for row in rows:
        for each in exceptions_of(row._mapping, change.now):
            update_row(change, access_requests, each.request, until=change.now)
            _record_end(change, Actor.system(), row, each)


def note_ended(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Note the exceptions that are over (``in_batches``); returns the number of tokens."""
    return in_batches(
        database,
        now,
        pause,
        any_due=lambda reading: bool(reading.session.scalars(_over(reading).limit(1)).first()),
        write=database.write,
        batch=_note_some,
    )


def drop_all(change: Change) -> None:
    """Remove all exceptions, for a restore: after the backup they may have been ended."""
    rows = change.session.execute(STORED.where(_token.exceptions_end_at.is_not(None))).all()
    drop(change, rows)
    change.session.execute(
        update(access_tokens).where(_token.exceptions_end_at.is_not(None)).values(_NONE)
    )
    publish_grants(change, [grant_of({**row._mapping, **_NONE}) for row in rows])


def _note_some(change: Change) -> int:
    ids = change.session.scalars(_over(change).limit(_AT_ONCE)).all()
    for row in change.session.execute(STORED.where(_token.id.in_(ids))).all():
        _note(change, row)
        _write(change, row, exceptions_of(row._mapping, change.now))
    return len(ids)


def _over(reading: Reading) -> Select[str]:
    end_at = _token.exceptions_end_at
    return select(_token.id).where(end_at.is_not(None), end_at <= reading.now)


def _note(change: Change, row: Row[Any]) -> None:
    """Audit the ends of a token's exceptions that are over, unless the token itself ended."""
    for each in stored_exceptions(row._mapping):
        if each.until <= change.now and row.deactivated_at is None:
            _record_end(change, Actor.system(), row, each)


def _write(change: Change, row: Row[Any], exceptions: tuple[TokenException, ...]) -> None:
    values = columns_of(exceptions)
    update_row(change, access_tokens, row.id, **values)
    publish(change, grant_of({**row._mapping, **values}))


def _record_end(change: Change, actor: Actor, row: Row[Any], ended: TokenException) -> None:
    log.record(
        change,
        actor,
        "access_token.exception_ended",
        _subject(row),
        company=row.company_id,
        before={"permission": ended.permission, "allowed_until": ended.until},
    )


def _subject(row: Row[Any]) -> Subject:
    return Subject("access_token", row.id, row.label)
