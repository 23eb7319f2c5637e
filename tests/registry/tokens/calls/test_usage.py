"""Use counts: each spool line exactly once, whichever process counts it or dies."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from gatepass.registry.tokens.calls import usage
from gatepass.registry.tokens.calls.usage import DAY_MS, AddressUse
from gatepass.registry.tokens.records import LastUse
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import NOW, SmallRegistry


@dataclass
class Batch:
    tokens: dict[str, tuple[int, int, str | None, str]] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)


def fold(registry: SmallRegistry, name: str, start: int, end: int, *batches: Batch) -> bool:
    return registry.auxiliary(usage.fold, name, start, end, batches)


def read(registry: SmallRegistry, question: Any, *arguments: Any, **named: Any) -> Any:
    return registry.ask(question, *arguments, **named)


def test_counted_use_shows_on_the_token(registry: SmallRegistry) -> None:
    token, _ = registry.token(registry.signed_in(registry.ada))
    first = Batch({token.id: (2, NOW - 5, "192.0.2.1", "charges:create")}, {"allowed": 2})
    second = Batch({token.id: (1, NOW - 3, None, "")}, {"allowed": 1, "token_expired": 4})
    assert fold(registry, "1-a", 0, 90, second, first)
    assert registry.get(token).last_used == LastUse(NOW - 3, None, None)
    assert read(registry, usage.total, token.id) == 3
    assert read(registry, usage.addresses, token.id) == [AddressUse("192.0.2.1", NOW - 5, 2)]
    assert read(registry, usage.decision_counts) == {"allowed": 3, "token_expired": 4}
    assert read(registry, usage.folded_to, "1-a") == 90
    # Another process's spool that comes later tells of an earlier use: the later one stays.
    assert fold(registry, "2-b", 0, 50, Batch({token.id: (1, NOW - 9, "192.0.2.2", "x:y")}))
    assert registry.get(token).last_used == LastUse(NOW - 3, None, None)
    assert fold(registry, "1-a", 90, 120, Batch({token.id: (1, NOW - 1, "192.0.2.1", "x:y")}))
    assert registry.get(token).last_used == LastUse(NOW - 1, "192.0.2.1", "x:y")
    assert read(registry, usage.total, token.id) == 5
    assert read(registry, usage.addresses, token.id) == [
        AddressUse("192.0.2.1", NOW - 1, 3),
        AddressUse("192.0.2.2", NOW - 9, 1),
    ]


def test_a_line_counts_once_whichever_process_folds(registry: SmallRegistry) -> None:
    batch = Batch(decisions={"allowed": 1})
    assert fold(registry, "1-a", 0, 10, batch)
    # Again, from the beginning or from elsewhere: someone else was quicker.
    for start in (0, 5, 20):
        assert not fold(registry, "1-a", start, 30, batch)
    assert read(registry, usage.decision_counts) == {"allowed": 1}
    for start in (0, 10, 20):
        attempt = partial(fold, registry, "2-b", start, start + 10)
        assert concurrently(attempt, [batch] * 6).count(True) == 1
    assert read(registry, usage.decision_counts) == {"allowed": 4}


def test_a_process_killed_before_its_commit_counted_nothing(registry: SmallRegistry) -> None:
    token, _ = registry.token(registry.signed_in(registry.ada))
    batch = Batch({token.id: (1, NOW, None, "")}, {"allowed": 1})

    class Killed(Exception):
        pass

    def die() -> None:
        with registry.database.auxiliary_write(registry.now) as write:
            assert usage.fold(write, "1-a", 0, 10, [batch])
            raise Killed

    with pytest.raises(Killed):
        die()
    assert read(registry, usage.folded_to, "1-a") == 0
    assert read(registry, usage.total, token.id) == 0
    assert registry.get(token).last_used is None
    assert fold(registry, "1-a", 0, 10, batch)
    assert read(registry, usage.total, token.id) == 1


def test_a_deleted_spool_leaves_its_counts(registry: SmallRegistry) -> None:
    fold(registry, "1-a", 0, 10, Batch(decisions={"allowed": 1}))
    with registry.database.auxiliary_write(registry.now) as write:
        usage.forget(write, "1-a")
        usage.forget(write, "never-was")
    assert read(registry, usage.folded_to, "1-a") == 0
    assert read(registry, usage.decision_counts) == {"allowed": 1}


def test_days_are_counted_and_old_ones_dropped(registry: SmallRegistry) -> None:
    today = NOW // DAY_MS
    uses = [(0, 3), (1, 2), (6, 1), (7, 9), (89, 5)]
    for number, (ago, count) in enumerate(uses):
        at = (today - ago) * DAY_MS
        fold(registry, f"{number}-x", 0, 1, Batch({"gpat_a": (count, at, None, "")}))
    found = read(registry, usage.daily, ["gpat_a", "gpat_b"])
    assert found == {"gpat_a": [1, 0, 0, 0, 0, 2, 3], "gpat_b": [0] * 7}
    assert sum(read(registry, usage.daily, ["gpat_a"], days=90)["gpat_a"]) == 20
    # A node whose clock is a little ahead.
    fold(registry, "ahead", 0, 1, Batch({"gpat_a": (1, (today + 1) * DAY_MS, None, "")}))
    assert read(registry, usage.daily, ["gpat_a"])["gpat_a"][-1] == 4
    registry.now += 2 * DAY_MS
    fold(registry, "later", 0, 1)
    registry.now -= 2 * DAY_MS
    assert sum(read(registry, usage.daily, ["gpat_a"], days=90)["gpat_a"]) == 16


def test_the_last_ten_addresses_are_kept(registry: SmallRegistry) -> None:
    for number in range(15):
        address = f"192.0.2.{number}"
        fold(registry, f"{number}-x", 0, 1, Batch({"gpat_a": (1, NOW + number, address, "")}))
    fold(registry, "again", 0, 1, Batch({"gpat_a": (1, NOW + 99, "192.0.2.7", "")}))
    found = read(registry, usage.addresses, "gpat_a")
    assert [used.address for used in found] == [
        f"192.0.2.{number}" for number in (7, 14, 13, 12, 11, 10, 9, 8, 6, 5)
    ]
    assert found[0].uses == 2
    with registry.read() as reading:
        assert reading.session.scalar(text("SELECT count(*) FROM token_use_addresses")) == 10


def test_counts_stop_at_the_maximum(registry: SmallRegistry) -> None:
    def counts() -> list[int]:
        with registry.read() as reading:
            return [
                usage.total(reading, "gpat_a"),
                usage.daily(reading, ["gpat_a"])["gpat_a"][-1],
                usage.addresses(reading, "gpat_a")[0].uses,
                usage.decision_counts(reading)["allowed"],
            ]

    def batch(count: int) -> Batch:
        return Batch({"gpat_a": (count, NOW, "192.0.2.1", "")}, {"allowed": count})

    assert fold(registry, "1-a", 0, 10, batch(usage.MOST - 1))
    assert counts() == [usage.MOST - 1] * 4
    assert fold(registry, "1-a", 10, 20, batch(1))
    assert counts() == [usage.MOST] * 4
    # One more, many more, and more than the column holds: by one line, and by two together.
    for number, more in enumerate(([1], [usage.MOST], [2**64], [2**63 - 1] * 2)):
        assert fold(registry, f"{number}-b", 0, 10, *map(batch, more))
        assert counts() == [usage.MOST] * 4


def test_many_tokens_at_once(registry: SmallRegistry) -> None:
    batch = Batch(
        {f"gpat_{n:016}": (1, NOW, f"10.0.{n // 256}.{n % 256}", "") for n in range(3000)}
    )
    assert fold(registry, "1-a", 0, 10, batch)
    assert fold(registry, "1-a", 10, 20, batch)
    assert read(registry, usage.total, "gpat_0000000000002999") == 2
