"""The indexes that searches of access tokens read: words of labels, and permissions."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import RowMapping, delete

from gatepass.registry.storage.database import Write
from gatepass.registry.storage.rows import insert_missing
from gatepass.registry.storage.tables import access_token_permissions
from gatepass.registry.storage.word_index import LABELS

#: A token's columns by name.
Columns = Mapping[str, Any] | RowMapping


def add(write: Write, token: Columns) -> None:
    """Index a new token."""
    LABELS.add(
        write, token["company_id"], token["id"], token["created_at"], [token["label_folded"]]
    )
    _add_permissions(write, token, token["permissions"])


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
    former, new = set(before["permissions"]), set(after["permissions"])
    table = access_token_permissions.c
    if former - new:
        write.session.execute(
            delete(access_token_permissions).where(
                table.company_id == after["company_id"],
                table.permission.in_(former - new),
                table.created_at == after["created_at"],
                table.id == after["id"],
            )
        )
    _add_permissions(write, after, new - former)


def _add_permissions(write: Write, token: Columns, permissions: Collection[str]) -> None:
    rows = [
        {
            "company_id": token["company_id"],
            "permission": permission,
            "created_at": token["created_at"],
            "id": token["id"],
        }
        for permission in permissions
    ]
    insert_missing(write, access_token_permissions, rows)
