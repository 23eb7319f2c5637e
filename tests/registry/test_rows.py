"""Records made of rows."""

from dataclasses import dataclass

import pytest
from sqlalchemy import Row, create_engine, text

from gatepass.registry.storage.rows import record_of


@dataclass(frozen=True)
class Rule:
    """A record; *strict* has a default for those who make one themselves."""

    name: str
    strict: bool = False


def row(columns: str) -> "Row[tuple[object, ...]]":
    with create_engine("sqlite://").connect() as connection:
        return connection.execute(text(f"SELECT {columns}")).one()


def test_a_record_has_its_columns_and_what_is_computed() -> None:
    assert record_of(Rule, row("'a' AS name, 1 AS strict, 2 AS other")) == Rule("a", strict=True)
    assert record_of(Rule, row("'a' AS name"), strict=True) == Rule("a", strict=True)
    assert record_of(Rule, row("'a' AS name, 1 AS strict"), name="b") == Rule("b", strict=True)


def test_a_default_never_stands_for_a_column() -> None:
    """It would say less than what is stored, such as that no second factor is required."""
    with pytest.raises(KeyError):
        record_of(Rule, row("'a' AS name"))
    with pytest.raises(TypeError):
        record_of(Rule, row("'a' AS name, 1 AS strict"), stict=True)
