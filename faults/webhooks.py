"""Kills processes while they send events to a receiver that is often slow or fails."""

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node, everything
from gatepass.registry.authentication.encryption import FILE_NAME, EncryptionKey
from gatepass.registry.webhooks.queue import LEASE_MS
from tests.support.webhooks.certificates import make_certificates
from tests.support.webhooks.receiver import Received, Receiver, status

_EVENTS = frozenset(f"access_token.{verb}" for verb in ("created", "modified", "deactivated"))
#: Seconds between two tokens of one client.
_PAUSE = 0.3
#: Without a request for so long, none will come: a claim of a process that died, and two retries.
_QUIET_SECONDS = LEASE_MS / 1000 + 60
_SLOW_SECONDS = 1.0


@experiment(10, "webhooks", "Kill -9 while events are sent")
def webhooks(lab: Lab) -> Iterator[Result]:
    """One node on SQLite, then three on one PostgreSQL. Clients create, change and deactivate
    tokens, and a webhook asks for these events. Its receiver is slow for one in ten requests and
    fails one in twenty. Meanwhile kill -9 hits a random node: the process that sends, or all
    processes of the node at once.

    Passes when every event of the audit log arrives, and those of one token arrive for the first
    time in the order of the changes. An event may arrive twice.
    """
    certificates = make_certificates(lab.directory)
    settings = {
        "GATEPASS_WEBHOOK_NETWORKS": "127.0.0.0/8",
        "SSL_CERT_FILE": str(certificates.authority),
    }
    if not lab.short:
        with Receiver(certificates) as receiver:
            installation = Installation(lab.directory / "sqlite")
            yield from _on(lab, installation, receiver, 1, settings)
    with lab.cluster() as cluster, Receiver(certificates) as receiver:
        installation = Installation(lab.directory / "postgresql", cluster.create("webhooks"))
        yield from _on(lab, installation, receiver, lab.number(3, 2), settings)


def _on(
    lab: Lab, installation: Installation, receiver: Receiver, nodes: int, settings: dict[str, str]
) -> Iterator[Result]:
    engine = "SQLite" if installation.path else "PostgreSQL"
    kills = lab.number(10, 2)
    lab.say(f"webhooks: {kills} kills on {engine}")
    receiver.answer = _unreliable
    with installation.nodes(nodes, **settings) as running:
        _share_key([node.data for node in running])
        hook = {"url": receiver.url, "events": ["access_token.*"]}
        rest = running[0].rest_client()
        made, answer = rest.request("POST", "/v1/webhooks", hook)
        if made != 201:
            raise RuntimeError(f"the webhook wasn't created: {made} {answer!r}")
        stop = threading.Event()
        clients = [
            threading.Thread(target=_change, args=(node, stop)) for node in running for _ in "ab"
        ]
        for client in clients:
            client.start()
        try:
            chosen = random.Random(nodes)
            for number in range(kills):
                time.sleep(chosen.uniform(0.5, 1.5))
                kill_part(chosen.choice(running), whole=bool(number % 2))
        finally:
            stop.set()
            for client in clients:
                client.join()
        for node in running:
            node.wait_ready()
        events = everything(running[0].rest_client(), "/v1/audit-events")
        # The oldest first.
        told = [
            (event["id"], event["subject"]["id"])
            for event in reversed(events)
            if event["action"] in _EVENTS
        ]
        _wait(receiver, {event for event, _ in told})
    yield from _judged(engine, told, receiver.received)


def _judged(engine: str, told: list[tuple[str, str]], received: list[Received]) -> Iterator[Result]:
    first = {event: at for at, event in reversed(list(enumerate(map(_id, received))))}
    lost = [event for event, _ in told if event not in first]
    latest: dict[str, int] = {}
    disordered = 0
    for event, subject in told:
        at = first.get(event, -1)
        disordered += at < latest.get(subject, -1)
        latest[subject] = max(at, latest.get(subject, -1))
    number = f"{len(told):,}"
    yield Finding(f"{engine}: events lost", f"{len(lost)} of {number}", "0", not lost)
    yield Finding(
        f"{engine}: events before an earlier one of their token",
        f"{disordered} of {number}",
        "0",
        not disordered,
    )
    again = len(received) - len(first)
    yield Finding(f"{engine}: requests that were repeated", f"{again} of {len(received):,}")


def _wait(receiver: Receiver, wanted: set[str]) -> None:
    """Wait until the events *wanted* have arrived, or no more do."""
    seen, since = 0, time.monotonic()
    while wanted - {_id(one) for one in receiver.received}:
        if len(receiver.received) > seen:
            seen, since = len(receiver.received), time.monotonic()
        if time.monotonic() > since + _QUIET_SECONDS:
            return
        time.sleep(0.1)


def _id(received: Received) -> str:
    return received.headers["webhook-id"]


def _unreliable(received: Received, handler: BaseHTTPRequestHandler) -> None:
    chance = random.random()
    if chance < 0.1:
        time.sleep(_SLOW_SECONDS)
    status(500 if chance > 0.95 else 204)(received, handler)


def _share_key(directories: list[Path]) -> None:
    first, *others = directories
    EncryptionKey(first / FILE_NAME).create()
    for directory in others:
        shutil.copy(first / FILE_NAME, directory)


def _change(node: Node, stop: threading.Event) -> None:
    rest = node.rest_client()
    count = 0
    while not stop.wait(_PAUSE):
        count += 1
        made = rest.create(f"{node.name} {count}")
        if made is not None:
            rest.permit(made["id"], "charges:get")
            rest.deactivate(made["id"])


def kill_part(node: Node, *, whole: bool) -> None:
    """Kill the holder of a node's lock, or all of the node, which is then started again."""
    if whole:
        node.kill()
        node.revive()
    else:
        holder = node.lock_holder()
        if holder is not None:
            with suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)
