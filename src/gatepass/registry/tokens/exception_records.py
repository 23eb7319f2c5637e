"""A token's exceptions, as its record and its grant have them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping


@dataclass(frozen=True, slots=True)
class TokenException:
    """A permission that a token holds for a while, besides its own.

    Attributes:
        until: when it ends, Unix ms.
        request: the id of the access request that it answers.
    """

    permission: str
    until: int
    request: str


def stored_exceptions(columns: Mapping[str, Any] | RowMapping) -> tuple[TokenException, ...]:
    """All exceptions of a token, by its columns; those that are over until a round notes it."""
    return tuple(TokenException(*each) for each in columns.get("exceptions") or ())


def exceptions_of(columns: Mapping[str, Any] | RowMapping, now: int) -> tuple[TokenException, ...]:
    """Those in effect at *now* (Unix ms), the first to end first."""
    in_effect = (each for each in stored_exceptions(columns) if now < each.until)
    return tuple(sorted(in_effect, key=lambda each: (each.until, each.permission)))


def columns_of(exceptions: tuple[TokenException, ...]) -> dict[str, Any]:
    """The columns of a token that has these *exceptions* alone."""
    if not exceptions:
        return {"exceptions": None, "exceptions_end_at": None}
    return {
        "exceptions": [[each.permission, each.until, each.request] for each in exceptions],
        "exceptions_end_at": min(each.until for each in exceptions),
    }


def granted(columns: Mapping[str, Any] | RowMapping) -> dict[str, int] | None:
    """What the token's grant has of them: the end of each permission."""
    return {each.permission: each.until for each in stored_exceptions(columns)} or None
