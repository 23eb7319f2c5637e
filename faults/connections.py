"""Cuts, freezes and half-opens connections to PostgreSQL, loses NOTIFY, freezes the server."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from faults.answers import Answer, Watch, boot_ns, last_allowed
from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node
from faults.proxy import Proxy
from faults.watching import ALLOWED, REFUSED
from tests.support.database.pooler import Pooler
from tests.support.database.postgresql import Cluster

_STALENESS = 3
_RECOVERY_SECONDS = 20.0
_LIVES = "an active token"


@dataclass(frozen=True)
class _Fault:
    """One way to break connections.

    Attributes:
        limit: seconds after the 200 in which a verifier may still answer "allowed".
        lasts: seconds until the fault is repaired.
        first: whether the fault precedes the deactivation or follows right after it.
    """

    name: str
    limit: float
    lasts: float
    begin: Callable[[], object]
    end: Callable[[], object] = lambda: None
    first: bool = True


@experiment(5, "connections", "Connections cut, frozen and half-open; NOTIFY lost")
def connections(lab: Lab) -> Iterator[Result]:
    """Three nodes with a MAX_STALENESS of 3 s: one reaches PostgreSQL directly, one through a
    proxy, one through pgbouncer in transaction mode, where NOTIFY never arrives. One fault
    follows the other, each with a deactivation through the first node: no fault; the server
    ends the followers' connections; the proxy closes its connections; the proxy holds
    everything back for longer than MAX_STALENESS; the proxy forgets its connections without
    closing them; PostgreSQL is frozen (SIGSTOP) right after the 200. All nodes are polled
    throughout.

    Passes when no node says "allowed" later than promised after the 200: 1 s where it can still
    reach PostgreSQL, else MAX_STALENESS; when an active token is never refused (503 `stale`
    apart); and when all nodes refuse, and are ready, once the fault is over.
    """
    with (
        lab.cluster() as cluster,
        Proxy(cluster.port) as proxy,
        Pooler(cluster) as pooler,
    ):
        installation = Installation(lab.directory, cluster.create("connections"))
        through = [
            {},
            {"GATEPASS_DATABASE_URL": _through(installation, cluster.port, proxy.port)},
            {"GATEPASS_DATABASE_URL": pooler.url("connections")},
        ]
        faults = _faults(lab, cluster, proxy)
        living, *tokens = installation.tokens(1 + len(faults))
        settings = {"GATEPASS_MAX_STALENESS": str(_STALENESS), "GATEPASS_WORKERS": "1"}
        with installation.nodes(lab.number(3, 2), through, **settings) as nodes:
            time.sleep(1.0)
            watches = [Watch(node, {_LIVES: living}) for node in nodes]
            for fault, token in zip(faults, tokens, strict=True):
                yield _tried(lab, fault, token, nodes, watches)
            answers = [answer for watch in watches for answer in watch.stop()]
    wrong = [
        answer
        for answer in answers
        if answer.about == _LIVES and answer.reason not in (ALLOWED, "stale")
    ]
    asked = sum(1 for answer in answers if answer.about == _LIVES)
    yield Finding(
        "answers about an active token other than allowed or `stale`",
        f"{len(wrong)} of {asked:,}",
        "0",
        not wrong,
        ", ".join(sorted({f"{answer.node} {answer.reason}" for answer in wrong})),
    )


def _faults(lab: Lab, cluster: Cluster, proxy: Proxy) -> list[_Fault]:
    held = lab.number(3 * _STALENESS, _STALENESS + 1)
    faults = [
        _Fault("no fault", 1.0, 1.5, lambda: None),
        _Fault("followers' connections ended", 1.0, 1.5, lambda: _terminate(cluster)),
        _Fault("all of one node's connections cut", 1.0, 1.5, proxy.cut),
        _Fault("one node cut off silently", _STALENESS, held, proxy.freeze, proxy.thaw),
        _Fault("one node's connections half-open", _STALENESS, held, proxy.half_open),
        _Fault(
            "PostgreSQL frozen",
            _STALENESS,
            held,
            lambda: _signal(cluster, signal.SIGSTOP),
            lambda: _signal(cluster, signal.SIGCONT),
            first=False,
        ),
    ]
    # A short run: the quickest fault and the hardest.
    return [faults[1], faults[4]] if lab.short else faults


def _tried(lab: Lab, fault: _Fault, token: str, nodes: list[Node], watches: list[Watch]) -> Finding:
    lab.say(f"connections: {fault.name}")
    for watch in watches:
        watch.asked[fault.name] = token
    time.sleep(0.3)
    rest = nodes[0].rest_client()
    if fault.first:
        fault.begin()
    status = rest.deactivate(token[:21])
    ended = boot_ns()
    if not fault.first:
        fault.begin()
    time.sleep(fault.lasts)
    fault.end()
    over = boot_ns()
    refused = False
    while not refused and boot_ns() < over + _RECOVERY_SECONDS * 1e9:
        time.sleep(0.1)
        latest = [_latest(watch, fault.name) for watch in watches]
        refused = all(each is not None and each.reason == REFUSED for each in latest)
    took = (boot_ns() - over) / 1e9
    ready = all(node.ready(port) for node in nodes for port in (node.port, node.verify_port))
    late = {
        watch.node.name: last_allowed(
            [answer for answer in watch.answers if answer.about == fault.name], ended
        )
        for watch in watches
    }
    for watch in watches:
        del watch.asked[fault.name]
    worst = max(late.values())
    return Finding(
        f"{fault.name}: last allowed after the 200",
        f"{worst * 1000:.0f} ms",
        f"≤ {fault.limit:.0f} s",
        status == 200 and refused and ready and worst <= fault.limit,
        ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in late.items())
        + f"; all refuse {took:.1f} s after the fault is over"
        + ("" if status == 200 else f"; the deactivation was answered {status}")
        + ("" if refused else "; not all nodes refuse it")
        + ("" if ready else "; not all nodes are ready"),
    )


def _latest(watch: Watch, about: str) -> Answer | None:
    return next((each for each in reversed(watch.answers[-20:]) if each.about == about), None)


def _through(installation: Installation, port: int, proxy: int) -> str:
    return installation.database_url.replace(f":{port}/", f":{proxy}/")


def _terminate(cluster: Cluster) -> None:
    cluster.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = 'gatepass follower'"
    )


def _signal(cluster: Cluster, number: signal.Signals) -> None:
    for process in cluster.processes():
        os.kill(process, number)
