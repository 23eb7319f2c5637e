"""Ten thousand deactivations over all nodes, checked against an oracle."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median, quantiles

from faults.answers import boot_ns
from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node
from faults.watching import ALLOWED, REFUSED, Report, Watcher
from gatepass.verify.verifier import Verifier

PROMISED_SECONDS = 1.0
_CLIENTS_PER_NODE = 2
#: Active tokens that are asked about meanwhile.
_LIVING = 200
#: Seconds a token is polled before its deactivation, so that verifiers have it cached.
_WATCHED_SECONDS = 0.02
_LONGEST_SECONDS = 400.0


@experiment(1, "deactivations", "Deactivations under mixed load, against an oracle")
def deactivations(lab: Lab) -> Iterator[Result]:
    """Three nodes with two main workers and a verify worker each on one PostgreSQL, and two
    embedded verifiers following over HTTP. Keep-alive clients deactivate 10,000 tokens over all
    nodes, and right after each 200 ask the same node. Processes of their own ask every verifier
    about each of these tokens, from before its deactivation until it is refused and now and then
    afterwards, and about active tokens. Meanwhile clients create other tokens, use them at once,
    and change them. The oracle knows for each token when the request was sent and when it was
    answered. A verifier's delay runs from that answer to its first refusal as a caller sees it,
    waiting for the next question included.

    Passes when no answer is wrong, the same node never allows a token after its 200, every other
    verifier refuses it within 1 s, and no verifier allows a token that it once refused.
    """
    count, nodes_count = lab.number(10_000, 50), lab.number(3, 2)
    with lab.cluster() as cluster:
        installation = Installation(lab.directory, cluster.create("deactivations"))
        with installation.nodes(nodes_count, GATEPASS_WORKERS="1" if lab.short else "2") as nodes:
            watchers = _watchers(lab, installation, nodes)
            try:
                living, oracle = installation.tokens(_LIVING), _Oracle(installation.tokens(count))
                # Wait until every copy has the tokens.
                time.sleep(2)
                for text in living:
                    for watcher in watchers:
                        watcher.lives(text)
                lab.say(f"deactivations: {count:,} over {nodes_count} nodes")
                oracle.run(lab, nodes, watchers)
                time.sleep(1.5)
                reports = {watcher.name: watcher.stop() for watcher in watchers}
            finally:
                for watcher in watchers:
                    watcher.kill()
    yield from oracle.judged(lab, reports)


def _watchers(lab: Lab, installation: Installation, nodes: list[Node]) -> list[Watcher]:
    watchers = [Watcher(node.name, port=node.verify_port, key=installation.key) for node in nodes]
    for number in range(1, lab.number(2, 1) + 1 if hasattr(Verifier, "follow") else 1):
        name = f"embedded-{number}"
        watchers.append(
            Watcher(
                name,
                url=nodes[number % len(nodes)].url,
                key=installation.key,
                directory=str(lab.directory / name),
            )
        )
    return watchers


@dataclass
class _Ended:
    node: str
    sent: int
    answered: int


@dataclass
class _Oracle:
    """Records each deactivation's times, and judges the answers by them."""

    texts: list[str]
    ended: dict[str, _Ended] = field(default_factory=dict)
    refused_requests: Counter[int] = field(default_factory=Counter)
    #: Reasons that the same node gave right after its 200.
    same_node: Counter[str] = field(default_factory=Counter)
    #: Wrong answers about tokens that were created or changed.
    wrong: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    took: float = 0.0

    def run(self, lab: Lab, nodes: list[Node], watchers: list[Watcher]) -> None:
        """Deactivate all tokens, and change others meanwhile."""
        waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for text in self.texts:
            waiting.put(text)
        stop = threading.Event()
        clients = [
            threading.Thread(target=self._deactivate, args=(node, waiting, watchers, stop))
            for node in nodes
            for _ in range(_CLIENTS_PER_NODE)
        ]
        others = [threading.Thread(target=self._change, args=(node, stop)) for node in nodes]
        started = time.monotonic()
        for thread in clients + others:
            thread.start()
        reported = started
        while any(client.is_alive() for client in clients):
            time.sleep(0.2)
            if time.monotonic() > reported + 20:
                reported = time.monotonic()
                lab.say(f"deactivations: {len(self.ended):,} so far")
            if time.monotonic() > started + _LONGEST_SECONDS:
                break
        stop.set()
        for thread in clients + others:
            thread.join()
        self.took = time.monotonic() - started

    def judged(self, lab: Lab, reports: dict[str, Report]) -> Iterator[Result]:
        """The findings."""
        count = len(self.texts)
        wrong = self.wrong.copy()
        answers, again = 0, 0
        for name, report in reports.items():
            answers += report.answers.total()
            for what, times in report.wrong.items():
                wrong[f"{name}: {what}"] += times
            for seen in report.tokens.values():
                again += seen.allowed_again
                ended = self.ended.get(seen.id)
                if ended is None or not ended.answered:
                    continue
                if seen.refused_replied and seen.refused_replied < ended.sent:
                    wrong[f"{name}: refused before its deactivation was requested"] += 1
                if name == ended.node and seen.allowed_asked > ended.answered:
                    self.same_node[f"later: {ALLOWED}"] += 1
        done = sum(1 for each in self.ended.values() if each.answered)
        yield Finding(
            "deactivations answered 200",
            f"{done:,} of {count:,}",
            "all",
            done == count,
            f"{done / self.took:.0f} a second, beside {self.changes:,} other changes"
            + (f"; refused: {dict(self.refused_requests)}" if self.refused_requests else ""),
        )
        yield Finding(
            "wrong answers of all verifiers",
            f"{wrong.total():,} of {answers:,}",
            "0",
            not wrong,
            "; ".join(f"{what} ({times})" for what, times in wrong.items()),
        )
        same = self.same_node.copy()
        right = same.pop(REFUSED, 0)
        yield Finding(
            "allowed by the same node after its 200",
            f"{same.total()} of {right + same.total():,}",
            "0",
            not same and right == done,
            "; ".join(f"{what} ({times})" for what, times in same.items()),
        )
        yield Finding("allowed by a verifier that had refused", str(again), "0", not again)
        for name, report in reports.items():
            yield self._delays(lab, name, report)

    def _delays(self, lab: Lab, name: str, report: Report) -> Finding:
        delays, never = [], 0
        for seen in report.tokens.values():
            ended = self.ended.get(seen.id)
            if ended is None or not ended.answered or ended.node == name:
                continue
            if not seen.refused_replied:
                never += 1
            delays.append(max(0, seen.refused_replied - ended.answered) / 1e9)
        lab.delays[name] = delays
        many = quantiles(delays, n=100, method="inclusive")
        return Finding(
            f"delay at {name}, tokens deactivated elsewhere: median, p99, maximum",
            f"{median(delays) * 1000:.0f}, {many[98] * 1000:.0f}, {max(delays) * 1000:.0f} ms",
            f"≤ {PROMISED_SECONDS:.0f} s",
            max(delays) <= PROMISED_SECONDS and not never,
            f"{len(delays):,} tokens" + (f", {never} of them never refused" if never else ""),
        )

    def _deactivate(
        self,
        node: Node,
        waiting: "queue.SimpleQueue[str]",
        watchers: list[Watcher],
        stop: threading.Event,
    ) -> None:
        rest, client, main = (
            node.rest_client(),
            node.decision_client(),
            node.decision_client(main=True),
        )
        while not stop.is_set():
            try:
                text = waiting.get_nowait()
            except queue.Empty:
                return
            for watcher in watchers:
                watcher.watch(text)
            time.sleep(_WATCHED_SECONDS)
            ended = self.ended[text[:21]] = _Ended(node.name, boot_ns(), 0)
            status = rest.deactivate(text[:21])
            if status != 200:
                self.refused_requests[status] += 1
                continue
            ended.answered = boot_ns()
            self.same_node[client.reason(text)] += 1
            if len(self.ended) % 10 == 0:
                reason = main.reason(text)
                if reason != REFUSED:
                    self.same_node[f"main port: {reason}"] += 1

    def _change(self, node: Node, stop: threading.Event) -> None:
        """Create tokens and remove permissions; the same node applies both at once."""
        rest, client = node.rest_client(), node.decision_client()
        while not stop.wait(0.3):
            made = rest.create("created meanwhile", permissions=["charges:get", "charges:create"])
            if made is None:
                self.wrong["a token that couldn't be created"] += 1
                continue
            reason = client.reason(made["token"])
            if reason != ALLOWED:
                self.wrong[f"a token just created: {reason}"] += 1
            if rest.permit(made["id"], "charges:create") == 200:
                reason = client.reason(made["token"])
                if reason != "permission_missing":
                    self.wrong[f"a permission just removed: {reason}"] += 1
            self.changes += 2
