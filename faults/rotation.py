"""Kills processes while tokens rotate themselves, people rotate them, and thieves use old texts."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from faults.clients import RestClient
from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node, everything
from faults.webhooks import kill_part

_OVERLAP = {"after": 3_600}
_FIELDS = {
    "permissions": ["charges:*", "own-token:rotate"],
    "expires_at": "2125-01-01T00:00:00Z",
}
_JOBS, _ROBBED = 8, 3
#: Seconds between two requests of one job.
_PAUSE = 0.2


@experiment(11, "rotation", "Kill -9 while tokens rotate themselves")
def rotation(lab: Lab) -> Iterator[Result]:
    """One node on SQLite, then two on one PostgreSQL. Jobs let their tokens rotate themselves, ask
    again where there was no answer, and use half of what they get; people rotate some of them. A
    thief asks with an old text of some other jobs, until there is an answer. Meanwhile kill -9 hits
    a random node: the holder of its lock, or all of its processes.

    Passes when every job without a thief has a token that works, no token has two successors that
    work, every family that a thief touched ends whole and at once, and no other one does.
    """
    yield from _on(lab, Installation(lab.directory / "sqlite"), 1)
    if not lab.short:
        with lab.cluster() as cluster:
            installation = Installation(lab.directory / "postgresql", cluster.create("rotation"))
            yield from _on(lab, installation, 2)


@dataclass
class _Job:
    """A program that keeps the text of one token.

    Attributes:
        name: the label of its tokens.
        texts: all that it had, the present one last.
        robbed: whether a thief has them, too; else people rotate its token now and then.
        statuses: of its requests; 0 is no answer.
        reuse: of the thief's, likewise.
    """

    name: str
    texts: list[str]
    robbed: bool
    statuses: Counter[int] = field(default_factory=Counter)
    reuse: list[int] = field(default_factory=list)

    def work(self, nodes: list[Node], stop: threading.Event) -> None:
        """Rotate the token until it is told to stop, or refused."""
        chosen = random.Random(self.name)
        while not stop.wait(_PAUSE) and not self.statuses[401]:
            node = chosen.choice(nodes)
            if not self.robbed and chosen.random() < 0.1:
                how = {"close": "after", **_OVERLAP}
                path = f"/v1/access-tokens/{self.texts[-1][:21]}/rotate"
                status, text = _post(node.rest_client(), path, how)
            else:
                path = "/v1/access-tokens/self/rotate"
                status, text = _post(RestClient(node.port, self.texts[-1]), path, _OVERLAP)
                self.statuses[status] += 1
            if status == 409:
                # People replaced it, and their answer got lost.
                made = node.rest_client().create(self.name, **_FIELDS)
                text = "" if made is None else str(made["token"])
            if text:
                self.texts.append(text)
                if chosen.random() < 0.5:
                    node.decision_client().reason(text)

    def rob(self, nodes: list[Node], stop: threading.Event) -> None:
        """Ask with an old text, whose successor has rotated itself, until there is an answer."""
        while len(self.texts) < 4 and not stop.wait(_PAUSE):
            pass
        old = self.texts[-3]
        while not self.reuse or self.reuse[-1] in (0, 503):
            node = random.choice(nodes)
            path = "/v1/access-tokens/self/rotate"
            self.reuse.append(_post(RestClient(node.port, old), path, _OVERLAP)[0])
            time.sleep(_PAUSE)


def _post(client: RestClient, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """The status, 0 without an answer; and the text of the new token, if there is one."""
    try:
        status, content = client.request("POST", path, body)
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        client.close()
    return status, str(json.loads(content)["token"]) if status == 201 else ""


def _on(lab: Lab, installation: Installation, count: int) -> Iterator[Result]:
    engine = "SQLite" if installation.path else "PostgreSQL"
    kills = lab.number(4, 2)
    lab.say(f"rotation: {kills} kills on {engine}")
    with installation.nodes(count) as nodes:
        jobs = []
        for number in range(_JOBS):
            made = nodes[0].rest_client().create(f"job {number}", **_FIELDS)
            if made is None:
                raise RuntimeError("a token wasn't created")
            jobs.append(_Job(made["label"], [made["token"]], number < _ROBBED))
        stop = threading.Event()
        threads = [threading.Thread(target=job.work, args=(nodes, stop)) for job in jobs] + [
            threading.Thread(target=job.rob, args=(nodes, stop)) for job in jobs if job.robbed
        ]
        for thread in threads:
            thread.start()
        try:
            chosen = random.Random(count)
            for number in range(kills):
                time.sleep(chosen.uniform(0.2, 1.5))
                kill_part(chosen.choice(nodes), whole=bool(number % 2))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        for node in nodes:
            node.wait_ready()
        decisions = nodes[0].decision_client()
        reasons = {job.name: decisions.reason(job.texts[-1]) for job in jobs}
        rest = nodes[0].rest_client()
        tokens = everything(rest, "/v1/access-tokens")
        events = everything(rest, "/v1/audit-events")
    yield from _judged(engine, jobs, reasons, tokens, events)


def _judged(
    engine: str,
    jobs: list[_Job],
    reasons: dict[str, str],
    tokens: list[dict[str, Any]],
    events: list[dict[str, Any]],
) -> Iterator[Result]:
    honest = [job for job in jobs if not job.robbed]
    lost = [job.name for job in honest if reasons[job.name] != "allowed"]
    yield none_of(f"{engine}: jobs that lost their token", lost, len(honest))
    working = [token for token in tokens if token["status"] == "active"]
    successors = Counter((token["rotation"] or {}).get("replaces") for token in working)
    twice = [of for of, number in successors.items() if of is not None and number > 1]
    yield none_of(f"{engine}: tokens with two successors that work", twice, len(tokens))
    detected = Counter(
        event["subject"]["name"]
        for event in events
        if event["action"] == "access_token.reuse_detected"
    )
    wrong = [job.name for job in jobs if detected[job.name] != job.robbed]
    wrong += [job.name for job in jobs if job.robbed and job.reuse[-1] != 401]
    for job in jobs:
        family = [token for token in tokens if token["label"] == job.name]
        ended = [token for token in family if token["deactivated_by"] == "reuse"]
        moments = {token["deactivated_at"] for token in ended}
        whole = bool(ended) and len(moments) == 1 and not any(t in working for t in family)
        if whole is not job.robbed:
            wrong.append(job.name)
    yield none_of(f"{engine}: families that ended wrongly, or not at all", wrong, len(jobs))
    statuses = sum((job.statuses for job in jobs), Counter[int]())
    told = f"{statuses[201]:,} of {statuses.total():,}, {statuses[0]:,} without an answer"
    yield Finding(f"{engine}: self-rotations that were answered", told)


def none_of(what: str, found: list[str], number: int) -> Finding:
    """A finding that is met if nothing was *found* among *number*."""
    detail = ", ".join(found[:5])
    return Finding(what, f"{len(found)} of {number:,}", "0", not found, detail)
