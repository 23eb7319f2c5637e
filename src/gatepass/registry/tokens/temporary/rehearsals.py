"""Rehearsing a deactivation: for some minutes, a share of a token's calls is refused.

It ends by the clock alone. A round only notes the end, for verifiers of earlier releases, which
refuse all calls until then.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Row, Select, select

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.core.reason import Reason
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import publish
from gatepass.registry.storage.batches import in_batches
from gatepass.registry.storage.database import Change, Database, Reading
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import decoys, store
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.records import STORED, AccessToken, grant_of

#: The longest rehearsal, in minutes.
MOST_MINUTES = 60
#: The largest share, in percent.
LARGEST_SHARE = 100

_MINUTE_MS = 60_000
_AT_ONCE = 100
_NONE = dict.fromkeys(f"rehearsal_{name}" for name in ("start", "until", "share", "refused_before"))
_token = access_tokens.c


def start(change: Change, actor: Actor, token_id: str, *, minutes: int, share: int) -> AccessToken:
    """Refuse *share* percent of a token's calls for so many minutes.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:deactivate``.
        NotFound: there is none, or it is another company's.
        InvalidInput: with all errors of the fields.
        Conflict: ``token_deactivated``, ``token_expired``, ``decoy`` or ``rehearsal_running``, with
            the ``current`` record.
    """
    actor = acting(change, actor, "access-tokens:deactivate", person=True)
    row = store.find(change, actor.company, token_id)
    bounds = (("minutes", minutes, MOST_MINUTES), ("share", share, LARGEST_SHARE))
    errors = [
        (field, f"Must be 1 to {most}.") for field, value, most in bounds if not 1 <= value <= most
    ]
    if errors:
        raise InvalidInput(errors)
    token = store.token_of(change, row)
    decoys.refuse(token, "rehearsed")
    store.require_active(token, "rehearsed")
    if token.rehearsal is not None:
        raise Conflict(
            "A rehearsal of this token is running.", reason="rehearsal_running", current=token
        )
    values: dict[str, Any] = {
        "rehearsal_start": change.now,
        "rehearsal_until": change.now + minutes * _MINUTE_MS,
        "rehearsal_share": share,
        "rehearsal_refused_before": observed_calls.totals(
            change, [row.id], Reason.token_rehearsed.value
        )[row.id],
    }
    _write(change, row, values)
    after = {"share": share, "until": values["rehearsal_until"]}
    _record(change, actor, row, "rehearsal_started", after=after)
    return store.token_of(change, store.find(change, row.company_id, row.id))


def end(change: Change, actor: Actor, token_id: str) -> AccessToken:
    """End the rehearsal of a token now. Repeating it changes nothing.

    Raises:
        Forbidden: ``signed_in_user_required``; without ``access-tokens:deactivate``.
        NotFound: there is none, or it is another company's.
    """
    actor = acting(change, actor, "access-tokens:deactivate", person=True)
    row = store.find(change, actor.company, token_id)
    token = store.token_of(change, row)
    if token.rehearsal is None:
        return token
    _write(change, row, _NONE)
    before = {"share": token.rehearsal.share, "until": token.rehearsal.until}
    _record(change, actor, row, "rehearsal_ended", before=before)
    return store.token_of(change, store.find(change, row.company_id, row.id))


def note_ended(
    database: Database, now: Callable[[], int], pause: Callable[[], bool] = lambda: True
) -> int:
    """Note the rehearsals that are over (``in_batches``); returns their number."""
    return in_batches(
        database,
        now,
        pause,
        any_due=lambda reading: bool(reading.session.scalars(_over(reading).limit(1)).first()),
        write=database.write,
        batch=_note_some,
    )


def _note_some(change: Change) -> int:
    ids = change.session.scalars(_over(change).limit(_AT_ONCE)).all()
    for row in change.session.execute(STORED.where(_token.id.in_(ids))).all():
        _write(change, row, _NONE)
    return len(ids)


def _over(reading: Reading) -> Select[str]:
    until = _token.rehearsal_until
    return select(_token.id).where(until.is_not(None), until <= reading.now)


def _write(change: Change, row: Row[Any], values: dict[str, Any]) -> None:
    update_row(change, access_tokens, row.id, **values)
    publish(change, grant_of({**row._mapping, **values}))


def _record(
    change: Change, actor: Actor, row: Row[Any], verb: str, **fields: dict[str, Any]
) -> None:
    subject = Subject("access_token", row.id, row.label)
    log.record(change, actor, f"access_token.{verb}", subject, company=row.company_id, **fields)
