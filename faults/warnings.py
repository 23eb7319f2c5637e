"""Kills processes while tokens expire and their owner is warned of it."""

import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node, everything
from faults.rotation import none_of
from faults.webhooks import kill_part
from gatepass.registry.membership.outbox import LEASE_MS
from gatepass.registry.notifications.expiry_warnings import WHILE_MS
from tests.support.mail.mailbox import Mailbox

#: Tokens; one mail names all of them if it must.
_TOKENS = 18
#: Seconds from the start until the first and the last expires.
_FIRST, _LAST = 8, 50
#: Without a mail for so long, none will come: a round, a while, and a claim of a dead process.
_QUIET_SECONDS = 15 + (WHILE_MS + LEASE_MS) / 1000
_LABEL = re.compile(r"\bexpiring (\d+)\b")


@experiment(12, "warnings", "Kill -9 while tokens expire")
def warnings(lab: Lab) -> Iterator[Result]:
    """One node on SQLite, then three on one PostgreSQL. Tokens of one user expire one after the
    other, and a mail server takes what is sent. Meanwhile kill -9 hits a random node: the holder of
    its lock, which warns and sends, or all of its processes.

    Passes when every expiry is exactly one event of the audit log, and no mail names a token that
    another mail has named. A mail that was being handed to the mail server when its process died
    isn't sent again, because the server may have it.
    """
    with Mailbox() as mailbox:
        yield from _on(lab, Installation(lab.directory / "sqlite"), mailbox, 1)
    if not lab.short:
        with lab.cluster() as cluster, Mailbox() as mailbox:
            installation = Installation(lab.directory / "postgresql", cluster.create("warnings"))
            yield from _on(lab, installation, mailbox, 3)


def _on(lab: Lab, installation: Installation, mailbox: Mailbox, count: int) -> Iterator[Result]:
    engine = "SQLite" if installation.path else "PostgreSQL"
    kills = lab.number(12, 3)
    lab.say(f"warnings: {kills} kills on {engine}")
    with installation.nodes(count, GATEPASS_SMTP_URL=mailbox.url) as nodes:
        made = _tokens(nodes[0])
        chosen = random.Random(count)
        for number in range(kills):
            time.sleep(chosen.uniform(0.5, 1.5) * _LAST / kills)
            kill_part(chosen.choice(nodes), whole=bool(number % 2))
        for node in nodes:
            node.wait_ready()
        _wait(mailbox)
        events = everything(nodes[0].rest_client(), "/v1/audit-events")
    yield from _judged(engine, made, events, mailbox)


def _tokens(node: Node) -> list[str]:
    """Create the tokens; their ids."""
    rest = node.rest_client()
    now = datetime.now(UTC)
    ids = []
    for number in range(_TOKENS):
        after = _FIRST + number * (_LAST - _FIRST) / (_TOKENS - 1)
        expires_at = (now + timedelta(seconds=after)).isoformat(timespec="seconds")
        made = rest.create(f"expiring {number}", expires_at=expires_at)
        if made is None:
            raise RuntimeError("a token wasn't created")
        ids.append(str(made["id"]))
    return ids


def _wait(mailbox: Mailbox) -> None:
    """Wait until mails have named every token, or no more come."""
    seen, since = 0, time.monotonic()
    while len(_named(mailbox)) < _TOKENS and time.monotonic() < since + _QUIET_SECONDS:
        if len(mailbox.messages) > seen:
            seen, since = len(mailbox.messages), time.monotonic()
        time.sleep(0.2)


def _named(mailbox: Mailbox) -> Counter[str]:
    """How many mails name each token, by its number."""
    found: Counter[str] = Counter()
    for message in mailbox.messages:
        part = message.get_body(("plain",))
        assert part is not None
        found.update(set(_LABEL.findall(part.get_content())))
    return found


def _judged(
    engine: str, made: list[str], events: list[dict[str, Any]], mailbox: Mailbox
) -> Iterator[Result]:
    told = Counter(
        event["subject"]["id"] for event in events if event["action"] == "access_token.expired"
    )
    yield none_of(
        f"{engine}: expiries without exactly one event",
        [token for token in made if told[token] != 1],
        len(made),
    )
    named = _named(mailbox)
    twice = [number for number, times in named.items() if times > 1]
    yield none_of(f"{engine}: tokens that two mails name", twice, len(made))
    mails = f"{len(named):,} of {len(made):,}, in {len(mailbox.messages):,} mails"
    yield Finding(f"{engine}: tokens that a mail names", mails)
