"""Calls by the hour: each in the hour in which it was made, once, and for a day."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.registry.grants import compaction
from gatepass.registry.grants.compaction import HOURS_KEPT, compact
from gatepass.registry.storage import tables
from gatepass.registry.tokens.calls import hours, usage
from gatepass.registry.tokens.calls.hours import HOUR_MS, HOURS, MOST, CallsByHour
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import MINUTE, NOW, SmallRegistry

REFUSED = ObservedCall("permission_missing", ("charges:create",), None, None, "192.0.2.1", None)
ALLOWED = ObservedCall("allowed", ("charges:get",), None, None, "192.0.2.1", None)
#: The first moment of the hour of NOW.
HOUR = NOW - NOW % HOUR_MS
_spools = count()


@dataclass
class Batch:
    tokens: dict[str, tuple[int, int, str | None, str]] = field(default_factory=dict)
    decisions: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def token(registry: SmallRegistry) -> str:
    return registry.token(registry.signed_in(registry.ada))[0].id


def allowed(token: str, number: int, at: int) -> Batch:
    return Batch({token: (number, at, "192.0.2.1", "charges:get")}, {"allowed": number})


def refused(token: str, number: int, at: int, *, first: int | None = None) -> CountedCall:
    return CountedCall(token, False, REFUSED, number, at if first is None else first, at)


def fold(registry: SmallRegistry, *lines: Batch | CountedCall) -> None:
    """Fold a spool with these lines."""
    batches = [line for line in lines if isinstance(line, Batch)]
    calls = [line for line in lines if isinstance(line, CountedCall)]
    name = f"spool-{next(_spools)}"
    assert registry.auxiliary(usage.fold, name, 0, 1, batches, calls)


def counted(registry: SmallRegistry, token: str) -> dict[int, tuple[int, int]]:
    """Allowed and refused calls by how many hours ago they were, without empty hours."""
    found: CallsByHour = registry.ask(hours.of_token, token)
    assert len(found.allowed) == len(found.refused) == HOURS
    both = zip(reversed(found.allowed), reversed(found.refused), strict=True)
    return {ago: numbers for ago, numbers in enumerate(both) if any(numbers)}


def stored(registry: SmallRegistry) -> list[tuple[int, str, int, int]]:
    with registry.read() as reading:
        return sorted(map(tuple, reading.session.execute(select(tables.token_call_hours))))


def test_calls_count_in_their_hour(registry: SmallRegistry, token: str) -> None:
    """However late they are reported, and by each outcome."""
    fold(
        registry,
        *(allowed(token, 3, NOW), allowed(token, 2, HOUR), allowed(token, 5, HOUR - 1)),
        *(refused(token, 1, NOW), refused(token, 4, HOUR - 23 * HOUR_MS)),
        CountedCall(token, False, None, 7, NOW, NOW),
        # Allowed ones are in the batches already.
        CountedCall(token, True, ALLOWED, 3, NOW, NOW),
        allowed("gpat_another", 9, NOW),
    )
    assert counted(registry, token) == {0: (5, 8), 1: (5, 0), 23: (0, 4)}
    fold(registry, allowed(token, 10, HOUR - 1), refused(token, 10, NOW))
    assert counted(registry, token) == {0: (5, 18), 1: (15, 0), 23: (0, 4)}
    assert counted(registry, "gpat_another") == {0: (9, 0)}
    registry.now += HOUR_MS
    assert counted(registry, token) == {1: (5, 18), 2: (15, 0)}


def test_calls_counted_together_are_in_the_hour_of_the_last(
    registry: SmallRegistry, token: str
) -> None:
    fold(registry, refused(token, 6, HOUR + 1, first=HOUR - 5 * MINUTE))
    assert counted(registry, token) == {0: (0, 6)}


def test_a_clock_that_is_fast_counts_in_the_present_hour(
    registry: SmallRegistry, token: str
) -> None:
    fold(registry, allowed(token, 2, HOUR + HOUR_MS), refused(token, 1, HOUR + 99 * HOUR_MS))
    assert counted(registry, token) == {0: (2, 1)}


def test_hours_that_are_not_shown_are_not_written(registry: SmallRegistry, token: str) -> None:
    first = HOUR - (HOURS - 1) * HOUR_MS
    fold(registry, allowed(token, 1, first - 1), refused(token, 1, first - 1))
    assert stored(registry) == []
    fold(registry, allowed(token, 1, first), refused(token, 1, first))
    assert counted(registry, token) == {23: (1, 1)}


def test_nothing_is_written_without_calls_of_tokens(registry: SmallRegistry, token: str) -> None:
    """Most folds have decisions alone: about texts that are no token, or of people."""
    statements: list[str] = []

    def listen(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    engine = registry.database._engine
    event.listen(engine, "before_cursor_execute", listen)
    fold(registry, Batch({}, {"token_invalid": 4}))
    assert statements
    assert not [each for each in statements if "token_call_hours" in each]
    fold(registry, allowed(token, 1, NOW))
    assert len([each for each in statements if "token_call_hours" in each]) == 1
    event.remove(engine, "before_cursor_execute", listen)


def test_they_are_counted_with_the_lines_of_a_spool(registry: SmallRegistry, token: str) -> None:
    """Once, however many nodes fold it, and with the offset or not at all."""
    lines = ([allowed(token, 2, NOW)], [refused(token, 3, NOW)])
    attempt = partial(registry.auxiliary, usage.fold, "1-a", 0, 10)
    assert concurrently(lambda _: attempt(*lines), range(6)).count(True) == 1
    assert counted(registry, token) == {0: (2, 3)}

    class Killed(Exception):
        pass

    def die() -> None:
        with registry.database.auxiliary_write(registry.now) as write:
            assert usage.fold(write, "1-a", 10, 20, *lines)
            raise Killed

    with pytest.raises(Killed):
        die()
    assert counted(registry, token) == {0: (2, 3)}


def test_several_nodes_add_up(registry: SmallRegistry, token: str) -> None:
    concurrently(lambda _: fold(registry, allowed(token, 1, NOW), refused(token, 2, NOW)), range(8))
    assert counted(registry, token) == {0: (8, 16)}


def test_counts_stop_at_the_maximum(registry: SmallRegistry, token: str) -> None:
    for number in (MOST - 1, 1, 1, MOST, 2**64):
        fold(registry, allowed(token, number, NOW), refused(token, number, NOW))
        fold(registry, refused(token, number, NOW), refused(token, number, NOW))
    assert counted(registry, token) == {0: (MOST, MOST)}


def test_garbage_collection_deletes_them_after_two_days(
    registry: SmallRegistry, token: str
) -> None:
    """Neither one that is shown, nor one that a fold may write at the same time."""
    assert HOURS_KEPT > HOURS
    fold(registry, allowed(token, 1, NOW), refused(token, 1, NOW - 23 * HOUR_MS))
    registry.now += (HOURS_KEPT - 23) * HOUR_MS
    assert compact(registry.database, lambda: registry.now).call_hours == 0
    registry.now += HOUR_MS
    assert compact(registry.database, lambda: registry.now).call_hours == 1
    assert [row[0] for row in stored(registry)] == [NOW // HOUR_MS]
    registry.now += 23 * HOUR_MS
    assert compact(registry.database, lambda: registry.now).call_hours == 1
    assert compact(registry.database, lambda: registry.now).call_hours == 0


def test_garbage_collection_takes_many_in_batches(
    registry: SmallRegistry, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one hour may be as many as there are tokens."""
    monkeypatch.setattr(compaction, "_AT_ONCE", 3)
    hour_later = [allowed(f"gpat_{nth}", 1, NOW - HOUR_MS) for nth in range(7)]
    fold(registry, *hour_later, *(allowed(f"gpat_{nth}", 1, NOW) for nth in range(4)))
    registry.now += HOURS_KEPT * HOUR_MS
    fold(registry, allowed(token, 1, registry.now))
    assert compact(registry.database, lambda: registry.now).call_hours == 7
    assert len(stored(registry)) == 5
    registry.now += HOUR_MS
    assert compact(registry.database, lambda: registry.now).call_hours == 4
    assert [row[1] for row in stored(registry)] == [token]


_CALLS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 50), st.integers(-30 * HOUR_MS, 2 * HOUR_MS)),
    max_size=12,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_CALLS, max_size=4))
def test_no_call_is_lost_or_counted_twice(
    registry: SmallRegistry, token: str, spools: list[list[tuple[bool, int, int]]]
) -> None:
    """Whatever was reported before: the same calls add the same numbers."""
    before, expected = counted(registry, token), Counter[tuple[int, bool]]()
    for calls in spools:
        lines: list[Batch | CountedCall] = []
        for is_allowed, number, later in calls:
            line = allowed if is_allowed else refused
            lines.append(line(token, number, NOW + later))
            ago = max(NOW // HOUR_MS - (NOW + later) // HOUR_MS, 0)
            if ago < HOURS:
                expected[ago, is_allowed] += number
        fold(registry, *lines)
    after = counted(registry, token)
    for ago in range(HOURS):
        was, now = before.get(ago, (0, 0)), after.get(ago, (0, 0))
        assert now == (was[0] + expected[ago, True], was[1] + expected[ago, False])
