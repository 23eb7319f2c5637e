"""Promotes a streaming replica in the middle of a thousand deactivations."""

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from faults.clients import RestClient
from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, everything, now
from faults.kill import registry_rows
from faults.watching import ALLOWED, REFUSED
from gatepass.registry.grants import history
from tests.support.database.postgresql import Cluster
from tests.support.feed.followed_copy import file_rows
from tests.support.waiting import until

_STALENESS = 3
_LONGEST_SECONDS = 60.0


@experiment(4, "failover", "A replica promoted during deactivations")
def failover(lab: Lab) -> Iterator[Result]:
    """Two nodes on a primary and its streaming replica, both named in the URL. In the middle of
    1,000 deactivations over both nodes the primary disappears and the replica is promoted; clients
    repeat the deactivations that weren't acknowledged. Once with a synchronous replica; once with
    an asynchronous one that never received the last deactivations before the failover.

    Passes when with the synchronous replica no acknowledged deactivation is lost; when with the
    asynchronous one the shortened history is detected, reported in the audit log, and the copies
    are rebuilt, equal to the new primary; and when both recover by themselves.
    """
    for synchronous in (False,) if lab.short else (True, False):
        kind = "synchronous" if synchronous else "asynchronous"
        directory = lab.directory / kind
        with Cluster() as primary:
            url = primary.create("failover")
            installation = Installation(directory, url)
            with primary.replica(synchronous=synchronous) as replica:
                hosts = f"127.0.0.1:{primary.port},127.0.0.1:{replica.port}"
                installation.database_url = f"postgresql://postgres@{hosts}/failover"
                yield from _failed_over(lab, installation, primary, replica, kind)


def _failed_over(
    lab: Lab, installation: Installation, primary: Cluster, replica: Cluster, kind: str
) -> Iterator[Result]:
    count = lab.number(1_000, 40)
    texts = installation.tokens(count)
    settings = {"GATEPASS_MAX_STALENESS": str(_STALENESS), "GATEPASS_WORKERS": "1"}
    with installation.nodes(2, **settings) as nodes:
        time.sleep(1.0)
        lab.say(f"failover: {count:,} deactivations, {kind}")
        done = _Done()
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for text in texts:
            waiting.put(text)
        clients = [
            threading.Thread(target=_deactivate, args=(node.rest_client(), waiting, done))
            for node in nodes
            for _ in range(2)
        ]
        for client in clients:
            client.start()
        until(lambda: len(done.acknowledged) > count // 3, seconds=_LONGEST_SECONDS)
        if kind == "asynchronous":
            replica.stop()
            behind = len(done.acknowledged)
            until(lambda: len(done.acknowledged) > behind + count // 20, seconds=_LONGEST_SECONDS)
        before = set(done.acknowledged)
        primary.stop()
        stopped = time.monotonic()
        if kind == "asynchronous":
            replica.start()
        replica.promote()
        for client in clients:
            client.join()
        resumed = min((at for at in done.acknowledged.values() if at > stopped), default=0.0)
        for node in nodes:
            node.wait_ready()
        time.sleep(1.5)
        status = {
            token["id"]: token["status"]
            for token in everything(nodes[0].rest_client(), "/v1/access-tokens")
        }
        lost = [text for text in before if status[text[:21]] != "deactivated"]
        wrong = [
            (node.name, reason)
            for node, client in [(node, node.decision_client()) for node in nodes]
            for text in texts
            if (reason := client.reason(text))
            != (REFUSED if status[text[:21]] == "deactivated" else ALLOWED)
        ]
        reported = _reported(installation)
    installation.database_url = replica.url("failover")
    registry = registry_rows(installation)
    same = [node.name for node in nodes if file_rows(node.grant_path) == registry]
    if kind == "synchronous":
        yield Finding(
            "synchronous: acknowledged deactivations lost",
            f"{len(lost)} of {len(before):,}",
            "0",
            not lost,
        )
    else:
        yield Finding(
            "asynchronous: acknowledged deactivations lost",
            f"{len(lost)} of {len(before):,}",
            detail="those that the replica never received; synchronous replication prevents this",
        )
        yield Finding(
            "asynchronous: shortened history reported in the audit log",
            f"{reported} times",
            "at least once",
            reported >= 1,
            f"by {len(nodes)} nodes",
        )
    yield Finding(
        f"{kind}: deactivations acknowledged after retries",
        f"{len(done.acknowledged):,} of {count:,}",
        "all",
        len(done.acknowledged) == count,
        f"the first one {resumed - stopped:.1f} s after the primary stopped",
    )
    yield Finding(
        f"{kind}: copies equal to the registry; answers that contradict it",
        f"{len(same)} of {len(nodes)}, {len(wrong)} answers",
        "all, 0",
        len(same) == len(nodes) and not wrong,
        ", ".join(sorted({f"{name} {reason}" for name, reason in wrong})),
    )


@dataclass
class _Done:
    #: Token text: when its deactivation was answered 200, by the monotonic clock.
    acknowledged: dict[str, float] = field(default_factory=dict)


def _deactivate(rest: RestClient, waiting: "queue.SimpleQueue[str]", done: _Done) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < deadline:
        try:
            text = waiting.get_nowait()
        except queue.Empty:
            return
        if rest.deactivate(text[:21]) == 200:
            done.acknowledged[text] = time.monotonic()
        else:
            waiting.put(text)
            time.sleep(0.1)


def _reported(installation: Installation) -> int:
    """How often the audit log records that the database lost changes."""
    database = installation.open()
    with database.read(now()) as reading:
        times = history.divergence_count(reading)
    database.close()
    return times
