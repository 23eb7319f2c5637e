"""Kills workers, supervisors and followers while clients create and deactivate tokens."""

import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.answers import boot_ns
from faults.clients import NOTHING
from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node, everything
from faults.watching import ALLOWED, REFUSED
from tests.support.feed.followed_copy import Rows, file_rows, published

_TAKEOVER_SECONDS, _BACK_SECONDS = 2.0, 10.0
_LONGEST_SECONDS = 90.0
#: MAX_STALENESS: after a restart, a copy whose lease still runs may be this much behind until it
#: follows again, and no more.
_LATE_NS = 10_000_000_000
_VICTIMS = ("main worker", "verify worker", "lock holder", "lock holder", "supervisor", "all")
_WORKERS = {"GATEPASS_WORKERS": "2", "GATEPASS_VERIFY_WORKERS": "2"}
#: Seconds between two changes of one client.
_PAUSE = 0.05


@experiment(2, "kill", "Kill -9 of workers, supervisors and followers")
def kill(lab: Lab) -> Iterator[Result]:
    """One node on SQLite, then three on one PostgreSQL, with two main workers and two verify
    workers each. While clients create and deactivate tokens, kill -9 hits a random node a hundred
    times: a main worker, a verify worker, the holder of the lock (which follows, adds use counts,
    and writes the file), the supervisor alone (then restarted, as a service manager does), or
    every process of the node at once. The next kill of a node comes once it is complete again.

    Passes when every acknowledged change is there with exactly one audit event, no grant file is
    damaged or differs from the registry, no deactivated token is allowed, another worker follows
    within 2 s of a follower's death, and killed workers are back within 10 s.
    """
    if not lab.short:
        yield from _on(lab, Installation(lab.directory / "sqlite"), nodes=1)
    with lab.cluster() as cluster:
        installation = Installation(lab.directory / "postgresql", cluster.create("kill"))
        yield from _on(lab, installation, nodes=lab.number(3, 1))


def _on(lab: Lab, installation: Installation, nodes: int) -> Iterator[Result]:
    engine = "SQLite" if installation.path else "PostgreSQL"
    kills = lab.number(100, 2)
    with installation.nodes(nodes, **_WORKERS) as running:
        lab.say(f"kill: {kills} on {engine}")
        acknowledged = _Acknowledged()
        stop = threading.Event()
        clients = [
            threading.Thread(target=work, args=(node, acknowledged, stop, number))
            for node in running
            for number, work in enumerate((_change, _change, _ask))
        ]
        for client in clients:
            client.start()
        try:
            killers = [
                _Killer(node, share, lab.short)
                for node, share in zip(running, _shares(kills, nodes), strict=True)
            ]
            for killer in killers:
                killer.join()
        finally:
            stop.set()
            for client in clients:
                client.join()
        for node in running:
            node.wait_ready()
        # Wait until every copy has the last acknowledged change.
        time.sleep(1.0)
        answered = [_answers(node, acknowledged) for node in running]
        rest = running[0].rest_client()
        listed = everything(rest, "/v1/access-tokens")
        events = everything(rest, "/v1/audit-events")
    yield from _recoveries(engine, killers)
    yield from _judged(engine, acknowledged, answered, listed, events)
    yield from _files(engine, installation, running, killers)


@dataclass
class _Acknowledged:
    """The changes that clients saw acknowledged, and the wrong answers they got."""

    made: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    ended: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: Tokens whose deactivation was requested and not answered.
    unknown: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    wrong: Counter[str] = field(default_factory=Counter)
    answers: int = 0


def _change(node: Node, acknowledged: _Acknowledged, stop: threading.Event, number: int) -> None:
    rest = node.rest_client()
    count = 0
    while not stop.wait(_PAUSE):
        count += 1
        label = f"{node.name} {number} {count}"
        acknowledged.labels.add(label)
        made = rest.create(label)
        if made is None:
            continue
        acknowledged.made[made["id"]] = (node.name, made["token"], boot_ns())
        if count % 3 == 0:
            acknowledged.unknown.add(made["id"])
            if rest.deactivate(made["id"]) == 200:
                acknowledged.ended[made["id"]] = (node.name, boot_ns())
                acknowledged.unknown.discard(made["id"])


def _ask(node: Node, acknowledged: _Acknowledged, stop: threading.Event, number: int) -> None:
    """Poll tokens whose state every copy must have."""
    client = node.decision_client()
    chosen = random.Random(number)
    while not stop.wait(_PAUSE / 5):
        asked = boot_ns()
        ids = list(acknowledged.made)[-500:]
        if not ids:
            continue
        token = chosen.choice(ids)
        maker, content, made = acknowledged.made[token]
        ender, ended = acknowledged.ended.get(token, ("", 0))
        reason = client.reason(content)
        acknowledged.answers += 1
        if ended and (ender == node.name or asked > ended + _LATE_NS):
            if reason == ALLOWED:
                acknowledged.wrong["deactivated, but allowed"] += 1
        elif maker == node.name or asked > made + _LATE_NS:
            unheard = token in acknowledged.unknown or token in acknowledged.ended
            if reason not in (ALLOWED, NOTHING, "stale", "unavailable") and not unheard:
                acknowledged.wrong[f"active, but {reason}"] += 1


class _Killer:
    """Kills processes of one node, one after the other."""

    def __init__(self, node: Node, kills: int, short: bool) -> None:
        self._node = node
        self._kills = kills
        self._random = random.Random(node.name)
        self._short = short
        self.killed: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self.backs: list[float] = []
        self.damaged: list[str] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        """Wait until the node has recovered from its last kill."""
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            for number in range(self._kills):
                # A short run kills each kind once, the most revealing first.
                kinds = ("lock holder", "all", "main worker", "verify worker")
                kind = kinds[number % 4] if self._short else self._random.choice(_VICTIMS)
                self._kill(kind)
                time.sleep(self._random.uniform(0.0, 0.3))
        except Exception as error:
            self.error = error

    def _kill(self, kind: str) -> None:
        node = self._node
        shared = node.shared()
        copy = node.installation.path is None
        holder = node.lock_holder()
        victim: int | None = None
        at = boot_ns()
        if kind in ("supervisor", "all"):
            if kind == "all":
                node.kill()
            else:
                node.kill_supervisor()
            node.revive()
        else:
            victim = holder if kind == "lock holder" else self._worker(kind)
            if victim is None:
                return
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self.killed[kind] += 1
        taken = back = 0.0
        while not (taken and back):
            passed = (boot_ns() - at) / 1e9
            if not taken:
                if kind != "lock holder":
                    taken = passed
                elif copy:
                    taken = passed if node.follower_asked_ns(shared) > at else 0.0
                else:
                    taken = passed if node.lock_holder() not in (holder, None) else 0.0
            if not back:
                back = passed if victim not in node.workers() and self._complete() else 0.0
            if passed > _LONGEST_SECONDS:
                raise RuntimeError(f"a {kind} of {node.name} isn't back after {passed:.0f} s")
            time.sleep(0.01)
        if kind == "lock holder":
            self.takeovers.append(taken)
        if kind not in ("supervisor", "all"):
            self.backs.append(back)
        found = _integrity(node.grant_path)
        if found != "ok":
            self.damaged.append(found)

    def _worker(self, kind: str) -> int | None:
        """A random worker of one kind, found by the port it listens on."""
        node = self._node
        port = node.port if kind == "main worker" else node.verify_port
        workers = [pid for pid in node.workers() if _listens(pid, port)]
        return self._random.choice(workers) if workers else None

    def _complete(self) -> bool:
        node = self._node
        return node.listening(node.port) == 2 and node.listening(node.verify_port) == 2


def _shares(kills: int, nodes: int) -> list[int]:
    return [kills // nodes + (number < kills % nodes) for number in range(nodes)]


def _recoveries(engine: str, killers: list[_Killer]) -> Iterator[Result]:
    killed: Counter[str] = Counter()
    for killer in killers:
        killed += killer.killed
    takeovers = [each for killer in killers for each in killer.takeovers]
    backs = [each for killer in killers for each in killer.backs]
    yield Finding(
        f"{engine}: kills",
        str(killed.total()),
        detail=", ".join(f"{count} of a {kind}" for kind, count in sorted(killed.items())).replace(
            "of a all", "of a whole node"
        ),
    )
    duty = "follows" if engine == "PostgreSQL" else "takes over"
    yield Finding(
        f"{engine}: another worker {duty} within",
        f"at most {max(takeovers):.1f} s",
        f"≤ {_TAKEOVER_SECONDS:.0f} s",
        max(takeovers) <= _TAKEOVER_SECONDS,
        f"{len(takeovers)} times",
    )
    yield Finding(
        f"{engine}: killed workers are replaced within",
        f"at most {max(backs):.1f} s",
        f"≤ {_BACK_SECONDS:.0f} s",
        max(backs) <= _BACK_SECONDS,
        f"{len(backs)} workers",
        only_slow=True,
    )


def _answers(node: Node, acknowledged: _Acknowledged) -> dict[str, str]:
    client = node.decision_client()
    return {
        token: client.reason(content) for token, (_, content, _) in list(acknowledged.made.items())
    }


def _judged(
    engine: str,
    acknowledged: _Acknowledged,
    answered: list[dict[str, str]],
    listed: list[dict[str, Any]],
    events: list[dict[str, Any]],
) -> Iterator[Result]:
    made, ended = acknowledged.made, acknowledged.ended
    status = {token["id"]: token["status"] for token in listed}
    lost = [token for token in made if token not in status]
    lost += [token for token in ended if status.get(token) != "deactivated"]
    yield Finding(
        f"{engine}: acknowledged changes lost",
        f"{len(lost)} of {len(made) + len(ended):,}",
        "0",
        not lost and bool(ended),
    )
    created = Counter(
        event["subject"]["id"] for event in events if event["action"] == "access_token.created"
    )
    ends = Counter(
        event["subject"]["id"] for event in events if event["action"] == "access_token.deactivated"
    )
    # A change that wasn't acknowledged took effect entirely or not at all.
    expected = Counter(status.keys())
    expected_ends = Counter(token for token, state in status.items() if state == "deactivated")
    unmatched = len((created - expected) + (expected - created))
    unmatched += len((ends - expected_ends) + (expected_ends - ends))
    yield Finding(
        f"{engine}: changes without exactly one audit event",
        f"{unmatched} of {len(status) + len(expected_ends):,}",
        "0",
        not unmatched,
    )
    wrong = acknowledged.wrong.copy()
    for answers in answered:
        for token, reason in answers.items():
            right = ALLOWED if status.get(token) == "active" else REFUSED
            if reason != right:
                wrong[f"afterwards {reason} instead of {right}"] += 1
    total = acknowledged.answers + sum(map(len, answered))
    yield Finding(
        f"{engine}: wrong answers during and after the kills",
        f"{wrong.total()} of {total:,}",
        "0",
        not wrong,
        "; ".join(f"{what} ({times})" for what, times in wrong.items()),
    )


def _files(
    engine: str, installation: Installation, nodes: list[Node], killers: list[_Killer]
) -> Iterator[Result]:
    damaged = [each for killer in killers for each in killer.damaged]
    looked = len(nodes) + sum(killer.killed.total() for killer in killers)
    damaged += [found for node in nodes if (found := _integrity(node.grant_path)) != "ok"]
    yield Finding(
        f"{engine}: damaged grant files (`PRAGMA integrity_check` after each kill)",
        f"{len(damaged)} of {looked}",
        "0",
        not damaged,
        "; ".join(damaged),
    )
    if installation.path is None:
        registry = registry_rows(installation)
        differing = [node.name for node in nodes if file_rows(node.grant_path) != registry]
        yield Finding(
            f"{engine}: copies that differ from the registry at the end",
            f"{len(differing)} of {len(nodes)}",
            "0",
            not differing,
            f"{len(registry):,} records each",
        )


def registry_rows(installation: Installation) -> Rows:
    """All grants, holders and company rules of the registry."""
    with closing(installation.open()) as database:
        return published(database)


def _integrity(path: Path) -> str:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def _listens(process: int, port: int) -> bool:
    """Whether a process holds a listening socket on *port*."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{fields[9]}]")
    with suppress(OSError):
        return any(
            os.readlink(descriptor) in inodes
            for descriptor in Path(f"/proc/{process}/fd").iterdir()
        )
    return False
