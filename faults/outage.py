"""Stops PostgreSQL for longer than MAX_STALENESS."""

import time
from collections.abc import Iterator

from faults.answers import Answer, Watch, boot_ns
from faults.experiments import Finding, Lab, Moment, Result, experiment
from faults.installation import Installation, now
from gatepass.registry.directory import users
from gatepass.registry.tokens import access_tokens
from tests.support.processes.ports import free_port

_STALENESS = 3
#: Nanoseconds that an answer may take after its decision.
_GRACE_NS = 150_000_000

_LIVES, _ENDED, _LATE = "active token", "deactivated before", "deactivated meanwhile"
_REFUSED = "token_deactivated"


@experiment(3, "outage", "PostgreSQL stopped for longer than MAX_STALENESS")
def outage(lab: Lab) -> Iterator[Result]:
    """Two nodes with a MAX_STALENESS of 3 s. PostgreSQL is stopped for longer than that, and
    comes back with a deactivation that no node has seen. Every node is polled throughout about
    an active token, one that was deactivated before, and that one.

    Passes when every answer is right until MAX_STALENESS after the last heartbeat, every answer
    after it is 503 `stale` with no node ready, and the first answer afterwards is current.
    """
    with lab.cluster() as cluster:
        installation = Installation(lab.directory, cluster.create("outage"))
        living, ended, late = installation.tokens(3)
        with installation.nodes(
            lab.number(2, 1), GATEPASS_MAX_STALENESS=str(_STALENESS), GATEPASS_WORKERS="1"
        ) as nodes:
            if nodes[0].rest_client().deactivate(ended[:21]) != 200:
                raise RuntimeError("the deactivation failed")
            time.sleep(1.5)
            asked = {_LIVES: living, _ENDED: ended, _LATE: late}
            watches = [Watch(node, asked) for node in nodes]
            time.sleep(lab.number(2, 1))
            lab.say(f"outage: PostgreSQL is down for {lab.number(10, 4)} s")
            stopped = boot_ns()
            cluster.stop()
            time.sleep(0.2)
            until = {node.name: node.shared().lease_until_boot_ns() for node in nodes}
            _sleep_until(stopped + lab.number(10, 4) * 10**9)
            ready = [node.ready(port) for node in nodes for port in (node.port, node.verify_port)]
            # On a port that no node knows, so that the nodes see the change only after the outage.
            port = cluster.port
            cluster.start(free_port())
            _deactivate(installation, cluster.url("outage"), late)
            cluster.stop()
            back = boot_ns()
            cluster.start(port)
            took = max(node.wait_ready() for node in nodes)
            time.sleep(lab.number(3, 1))
            answers = [answer for watch in watches for answer in watch.stop()]
    yield from _judged(answers, until, back, ready, took)
    for answer in answers:
        lane = f"{answer.node}, {answer.about}"
        lab.timeline.append(Moment(lane, (answer.replied - stopped) / 1e9, answer.reason))
    lab.marks.update(
        {
            "PostgreSQL stops": 0.0,
            "MAX_STALENESS after the last heartbeat": (min(until.values()) - stopped) / 1e9,
            "PostgreSQL is back": (back - stopped) / 1e9,
        }
    )


def _judged(
    answers: list[Answer], until: dict[str, int], back: int, ready: list[bool], took: float
) -> Iterator[Result]:
    before = [each for each in answers if each.replied < until[each.node]]
    after = [each for each in answers if until[each.node] + _GRACE_NS < each.asked < back]
    afterwards = [each for each in answers if each.asked > back and each.reason != "stale"]
    right_before = {_LIVES: "allowed", _ENDED: _REFUSED, _LATE: "allowed"}
    right_afterwards = {_LIVES: "allowed", _ENDED: _REFUSED, _LATE: _REFUSED}
    wrong = [each for each in before if each.reason != right_before[each.about]]
    yield Finding(
        "wrong answers until MAX_STALENESS after the last heartbeat",
        f"{len(wrong)} of {len(before):,}",
        "0",
        not wrong and bool(before),
    )
    wrong = [each for each in after if each.reason != "stale"]
    yield Finding(
        "answers other than 503 `stale` after it",
        f"{len(wrong)} of {len(after):,}",
        "0",
        not wrong and bool(after),
    )
    yield Finding(
        "ports that report ready after it", f"{sum(ready)} of {len(ready)}", "0", not any(ready)
    )
    wrong = [each for each in afterwards if each.reason != right_afterwards[each.about]]
    yield Finding(
        "outdated answers after PostgreSQL is back",
        f"{len(wrong)} of {len(afterwards):,}",
        "0",
        not wrong and bool(afterwards),
    )
    yield Finding("PostgreSQL is back until all nodes are ready", f"{took:.1f} s")


def _deactivate(installation: Installation, url: str, text: str) -> None:
    database = installation.open(url)
    with database.write(now()) as change:
        actor = users.on_behalf_of(change, installation.user)
        access_tokens.deactivate(change, actor, text[:21])
    database.close()


def _sleep_until(moment: int) -> None:
    time.sleep(max(0.0, (moment - boot_ns()) / 1e9))
