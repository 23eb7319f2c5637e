"""When each access token was last used, in a table that lists can follow in that order.

``token_use`` knows neither company nor status. The operations that change a token's status write
this table as well, and so does the fold of use.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from sqlalchemy import bindparam, insert, select, text, update

from gatepass.registry.storage.database import Write
from gatepass.registry.storage.tables import access_token_recency

#: The partial index of ``access_tokens`` that a token is in. Pending ones are among the active.
Life = Literal["active", "expired", "deactivated"]
LIVES: tuple[Life, ...] = get_args(Life)

_recency = access_token_recency.c

_USED = text(
    "UPDATE access_token_recency SET last_at = used.at "
    "FROM unnest(CAST(:ids AS text[]), CAST(:times AS bigint[])) AS used (id, at) "
    "WHERE access_token_recency.id = used.id AND last_at < used.at"
)


def add(write: Write, token: Mapping[str, Any]) -> None:
    """Add a new token, by its columns; it was never used."""
    add_each(write, [token])


def add_each(write: Write, tokens: Sequence[Mapping[str, Any]]) -> None:
    """Add new tokens, likewise."""
    columns = [
        {name: token[name] for name in ("id", "company_id", "created_at")}
        | {"life": "active", "last_at": 0}
        for token in tokens
    ]
    write.session.execute(insert(access_token_recency), columns)


def set_life(write: Write, ids: Collection[str], life: Life) -> None:
    """Record that tokens have become active, expired or deactivated."""
    _lock(write, ids)
    write.session.execute(
        update(access_token_recency).where(_recency.id.in_(ids)).values(life=life)
    )


def used(write: Write, last: Mapping[str, int]) -> None:
    """Record the last uses (Unix ms) of tokens by id; the last statement of a fold.

    Deactivating one of them waits for the fold to end.
    """
    if not last:
        return
    if write.session.get_bind().dialect.name == "postgresql":
        _lock(write, last)
        # The driver would send a list of rows one by one.
        write.session.execute(_USED, {"ids": list(last), "times": list(last.values())})
        return
    write.session.execute(
        update(access_token_recency)
        .where(_recency.id == bindparam("token"), _recency.last_at < bindparam("at"))
        .values(last_at=bindparam("at")),
        [{"token": id, "at": at} for id, at in last.items()],
    )


def _lock(write: Write, ids: Collection[str]) -> None:
    """Lock rows in one order, so that a fold and a change never wait for each other."""
    if len(ids) > 1 and write.session.get_bind().dialect.name == "postgresql":
        rows = select(_recency.id).where(_recency.id.in_(ids)).order_by(_recency.id)
        write.session.execute(rows.with_for_update())
