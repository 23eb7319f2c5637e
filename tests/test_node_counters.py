"""Counters that the processes of a node share."""

import os
import resource
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.node_counters import Counter, Histogram, NodeCounters
from gatepass.shared_words import SharedWords


@pytest.fixture
def descriptor() -> Iterator[int]:
    """Memory of four shards."""
    words, descriptor = SharedWords.create(4)
    assert words
    yield descriptor
    os.close(descriptor)


def test_counters_add_up_over_the_processes(descriptor: int) -> None:
    """Each sees what all of them count."""
    processes = [NodeCounters(SharedWords(descriptor, shard)) for shard in (1, 2, 3)]
    for number, each in enumerate(processes, 1):
        each.decisions.add("allowed", number)
        each.sign_in_failures.add("busy")
    processes[2].decisions.add("token_expired")
    for each in processes:
        counted = {reason: total for reason, total in each.decisions.totals() if total}
        assert counted == {"allowed": 6, "token_expired": 1}
        assert dict(each.sign_in_failures.totals())["busy"] == 3


def test_a_process_in_the_place_of_a_dead_one_counts_on(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, other = (NodeCounters(SharedWords(descriptor, shard)) for shard in (1, 2))
    dead.decisions.add("allowed", 5)
    dead.workers.following(1)
    with monkeypatch.context() as long_ago:
        long_ago.setattr(resource, "getrusage", lambda _: SimpleNamespace(ru_utime=9e5, ru_stime=0))
        dead.workers.record()
    other.workers.record()
    cpu_s, started = other.workers.cpu_s, other.workers.started
    assert cpu_s > 9e5
    assert other.workers.followers == 1
    new = NodeCounters(SharedWords(descriptor, 1))
    # What it had in use is gone; what it counted isn't.
    assert other.workers.followers == 0
    assert other.workers.resident_bytes > 0
    assert dict(other.decisions.totals())["allowed"] == 5
    new.workers.record()
    new.decisions.add("allowed")
    assert dict(other.decisions.totals())["allowed"] == 6
    assert other.workers.cpu_s > cpu_s
    assert other.workers.started == started


def test_a_counter_never_falls_while_threads_count() -> None:
    """A lost update would look to Prometheus like a restart."""
    counter = Counter(SharedWords().take(1), ("one",))
    stopped = threading.Event()

    def count() -> None:
        for _ in range(20_000):
            counter.add("one")

    seen = []

    def read() -> None:
        while not stopped.is_set():
            seen.extend(total for _, total in counter.totals())

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=count) for _ in range(3)]
    reader.start()
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    stopped.set()
    reader.join()
    assert seen == sorted(seen)
    assert dict(counter.totals()) == {"one": 60_000}


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_buckets_count_what_is_at_most_their_bound(durations: list[int]) -> None:
    bounds = (10, 100, 1_000)
    histogram = Histogram(SharedWords().take(20), bounds, ("a", "b"))
    for each in durations:
        histogram.observe("b", each)
    found = dict(histogram.durations())
    if not durations:
        assert found == {}
        return
    expected = [sum(each <= bound for each in durations) for bound in bounds]
    assert found["b"].buckets == (*expected, len(durations))
    assert found["b"].sum_s == pytest.approx(sum(durations) / 1e9)
    assert list(found) == ["b"]


def test_more_labels_than_there_is_room_for_are_an_error() -> None:
    """They would count in somebody else's words."""
    words = SharedWords()
    with pytest.raises(ValueError, match="more labels"):
        Counter(words.take(1), ("a", "b"))
    with pytest.raises(ValueError, match="more labels"):
        Histogram(words.take(7), (1, 2), ("a", "b"))
    with pytest.raises(ValueError, match="fewer words"):
        words.take(1_000_000)
