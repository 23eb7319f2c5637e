"""Copies outside a node: the first snapshot, applying changes, and deciding meanwhile."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import median

from benchmarks import sample_grants
from benchmarks.applying import PER_SECOND, applying
from benchmarks.embedded import WORKING_SET, Subject
from benchmarks.figures import Figure, Result, Value
from benchmarks.population import Population
from benchmarks.rounds import alternate
from benchmarks.scenarios import LARGE, Bench, scenario
from benchmarks.servers import Server, gatepass_worker
from gatepass.core.grants import decode_grant
from gatepass.registry.actor import Actor
from gatepass.registry.directory import verifier_keys
from gatepass.registry.grants.publishing import publish_grants
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Database
from gatepass.verify.replica.following import FILE_NAME
from gatepass.verify.replica.frames import pack
from gatepass.verify.verifier import Verifier
from gatepass.web.feed.source import SHORTEST_REST_SECONDS

#: Changes that a copy is behind, and how many of them share a revision.
BEHIND, AT_A_TIME = 90_000, 100
_ONE_BY_ONE = 500
_LONGEST_S = 120.0


@scenario(8, "followers", "Copies outside a node")
def followers(bench: Bench) -> Iterator[Result]:
    """A main worker serves feeds over HTTP; this process follows, as a service would."""
    population = bench.population(LARGE)
    snapshots, catching_up = [], []
    directory = bench.directory
    rows = [("grants", *row) for row in sample_grants.grant_rows(range(4_000))]
    on_the_wire = len(pack(rows).packed) / len(rows)
    with closing(Database(f"sqlite:///{population.path}")) as registry:
        key = _verifier_key(registry)
        with gatepass_worker(population, "main") as node:
            for number in range(bench.rounds(3)):
                directory = bench.directory / f"follower-{number}"
                bench.say(f"followers: a snapshot of {LARGE:,} grants")
                snapshots.append(LARGE / _seconds_to_follow(node, key, directory, registry))
                bench.say(f"followers: {BEHIND:,} changes to catch up with")
                _change(registry, BEHIND)
                catching_up.append(BEHIND / _seconds_to_follow(node, key, directory, registry))
        bench.say("followers: changes one at a time")
        started = time.perf_counter()
        _change(registry, _ONE_BY_ONE, at_a_time=1)
        one_by_one = _ONE_BY_ONE / (time.perf_counter() - started)
    yield Figure(
        name=f"Snapshot of {LARGE:,} grants to a new follower",
        what=f"snapshot of {LARGE:,} grants to a new follower, then current",
        ratios=tuple(snapshots),
        bar=100_000,
        unit="/s",
        detail=(
            f"`Verifier.follow` over HTTP from one main worker into a new copy, until it is "
            f"fresh: {LARGE / median(snapshots):.1f} s; {on_the_wire:.0f} bytes a grant"
        ),
    )
    yield Figure(
        name="Applying changes",
        what="applying changes, grants",
        ratios=tuple(catching_up),
        bar=10_000,
        unit="/s",
        detail=(
            f"a follower that is {BEHIND:,} changes behind, made {AT_A_TIME} at a time, over HTTP "
            f"into a copy of {LARGE:,} grants: {BEHIND / median(catching_up):.1f} s"
        ),
    )
    yield Value(
        what="changes made one at a time, SQLite",
        value=f"{one_by_one:,.0f}/s",
        detail=f"each a revision of its own, in a registry of {LARGE:,} grants, by one process",
    )
    yield from _meanwhile(bench, directory / FILE_NAME)


def _meanwhile(bench: Bench, copy: Path) -> Iterator[Result]:
    """The cost of a decision while another process applies changes to the copy."""
    subject = Subject(Population(copy, LARGE))
    batches = 30
    with applying(copy, LARGE) as process:
        bench.say(f"followers: deciding while {PER_SECOND:,} changes a second are applied")
        rates: list[float] = []

        def changing(measure: Callable[[int], float]) -> float:
            with process.changing() as rate:
                measured = measure(batches)
            rates.extend(rate)
            return measured

        rounds = alternate(
            bench.rounds(80),
            {
                "read, quiet": lambda: subject.uncached_ns(batches),
                "read, changing": lambda: changing(subject.uncached_ns),
                "kept, quiet": lambda: subject.mean_ns(batches),
                "kept, changing": lambda: changing(subject.mean_ns),
            },
        )
    took = {name: median(measured[name] for measured in rounds) / 1000 for name in rounds[0]}
    yield Figure(
        name="Deciding while changes are applied, uncached",
        what=f"median verification while {PER_SECOND:,} changes a second are applied, uncached, "
        "against a quiet copy",
        ratios=tuple(measured["read, changing"] / measured["read, quiet"] for measured in rounds),
        bar=1.2,
        at_most=True,
        detail=(
            f"{took['read, changing']:.1f} µs against {took['read, quiet']:.1f} µs at {LARGE:,} "
            f"grants; {median(rates):,.0f} changes a second applied by another process, which "
            f"commits every {SHORTEST_REST_SECONDS * 1000:.0f} ms"
        ),
    )
    yield Value(
        what="mean of cached verification meanwhile, against a quiet copy",
        value=f"{took['kept, changing'] / took['kept, quiet']:.1f} times",
        detail=(
            f"{took['kept, changing']:.1f} µs against {took['kept, quiet']:.1f} µs over "
            f"{WORKING_SET:,} tokens in one thread without a pause; a commit voids what readers "
            "keep decoded, so that most calls have to be read again"
        ),
    )


def _verifier_key(registry: Database) -> str:
    with registry.write(_now()) as change:
        return verifier_keys.create(change, Actor.command_line(), label="Benchmark")[1]


def _seconds_to_follow(node: Server, key: str, directory: Path, registry: Database) -> float:
    """Follow until the copy in *directory* is current; the seconds that took."""
    with registry.read(_now()) as reading:
        there = revisions.latest(reading)
    started = time.perf_counter()
    verifier = Verifier.follow(
        f"http://127.0.0.1:{node.port}", key=key, directory=directory, wait=_LONGEST_S
    )
    with closing(verifier):
        # A copy with a running lease decides at once, before it has caught up.
        while verifier.file.shared.position != there:
            assert time.perf_counter() < started + _LONGEST_S
            time.sleep(0.005)
        took = time.perf_counter() - started
        assert verifier.fresh()
        return took


def _change(registry: Database, number: int, at_a_time: int = AT_A_TIME) -> None:
    """Publish *number* grants again, chosen at random."""
    numbers = Random(number).sample(range(LARGE), number)
    for at in range(0, number, at_a_time):
        some = [decode_grant(sample_grants.record(each)) for each in numbers[at : at + at_a_time]]
        with registry.write(_now()) as change:
            publish_grants(change, some)


def _now() -> int:
    return time.time_ns() // 1_000_000
