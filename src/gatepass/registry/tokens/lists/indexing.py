"""The indexes that searches of access tokens read: words of labels, permissions, metadata."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, RowMapping, delete

from gatepass.registry.input.metadata import entries
from gatepass.registry.storage.database import Write
from gatepass.registry.storage.rows import insert_missing
from gatepass.registry.storage.tables import access_token_metadata, access_token_permissions
from gatepass.registry.storage.word_index import LABELS

_PERMISSION = access_token_permissions.c.permission
_ENTRY = access_token_metadata.c.entry

#: A token's columns by name.
Columns = Mapping[str, Any] | RowMapping


def add(write: Write, token: Columns) -> None:
    """Index a new token."""
    LABELS.add(
        write, token["company_id"], token["id"], token["created_at"], [token["label_folded"]]
    )
    _post(write, _PERMISSION, token, before=(), after=token["permissions"])
    _post(write, _ENTRY, token, before=(), after=entries(token["metadata"]))


def add_each(write: Write, tokens: Sequence[Columns]) -> None:
    """Index new tokens of one company, created at the same time, without metadata."""
    company, created_at = tokens[0]["company_id"], tokens[0]["created_at"]
    labels = {token["id"]: [token["label_folded"]] for token in tokens}
    LABELS.add_each(write, company, created_at, labels)
    rows = [
        {"company_id": company, "created_at": created_at, "id": token["id"], "permission": name}
        for token in tokens
        for name in token["permissions"]
    ]
    insert_missing(write, access_token_permissions, rows)


def replace(write: Write, before: Columns, after: Columns) -> None:
    """Index a token as it is *after* a change."""
    if after["label_folded"] != before["label_folded"]:
        LABELS.replace(
            write,
            after["company_id"],
            after["id"],
            after["created_at"],
            before=[before["label_folded"]],
            after=[after["label_folded"]],
        )
    _post(
        write,
        _PERMISSION,
        after,
        before=before["permissions"],
        after=after["permissions"],
    )
    _post(
        write, _ENTRY, after, before=entries(before["metadata"]), after=entries(after["metadata"])
    )


def _post(
    write: Write,
    value: Column[Any],
    token: Columns,
    *,
    before: Collection[str],
    after: Collection[str],
) -> None:
    """Replace a token's rows with the values *before*, in the table of *value*, by *after*'s."""
    table = value.table
    own = {name: token[name] for name in ("company_id", "created_at", "id")}
    former, new = set(before), set(after)
    if former - new:
        write.session.execute(
            delete(table).where(
                table.c.company_id == own["company_id"],
                value.in_(former - new),
                table.c.created_at == own["created_at"],
                table.c.id == own["id"],
            )
        )
    insert_missing(write, table, [{**own, value.name: each} for each in new - former])
