"""Sets one node's clock four hours ahead, and four hours back."""

import time
from collections.abc import Iterator
from pathlib import Path

from faults.answers import Answer, Watch, boot_ns
from faults.experiments import Finding, Lab, Result, experiment
from faults.installation import Installation, Node, now
from faults.watching import ALLOWED, REFUSED

_STALENESS = 3
_TOLERANCE_NS = 5_000_000_000
_HOURS = 4 * 3600
_EXPIRED = "token_expired"
_UNDECIDED = ("stale", "no answer", "unavailable")
_LIVES, _LATER, _SOON = "never expires", "expires in two hours", "expires soon"
_OVER, _ENDED = "expired", "deactivated"
_SHIFTING = Path(__file__).with_name("shifted_clock")


@experiment(7, "clock", "One node's clock four hours off")
def clock(lab: Lab) -> Iterator[Result]:
    """Two nodes on one PostgreSQL. A module that shifts `time.time` sets the wall clock of the
    second one's processes four hours ahead while they run, and four hours back. Then that node
    is restarted with a clock that is off, as a new node and as one with a stored time. Both
    nodes are polled throughout about tokens that never expire, expire in two hours, expire
    during the experiment, have expired, and are deactivated.

    Passes when each answer is right by the true time within 5 s, or 503; when no expired or
    deactivated token is ever allowed; and when the other node isn't affected.
    """
    with lab.cluster() as cluster:
        installation = Installation(lab.directory, cluster.create("clock"))
        for name, hours in (("ahead", _HOURS), ("back", -_HOURS))[lab.short :]:
            lab.say(f"clock: four hours {name}")
            yield from _set_while_running(lab, installation, name, hours)
            if not lab.short:
                yield _wrong_from_start(installation, name, hours)


def _set_while_running(
    lab: Lab, installation: Installation, name: str, shift: int
) -> Iterator[Result]:
    soon = lab.number(6, 3)
    shifted = _Shifted(installation.directory / f"{name}.clock")
    settings = {"GATEPASS_MAX_STALENESS": str(_STALENESS), "GATEPASS_WORKERS": "1"}
    own = [{}, shifted.environ | {"GATEPASS_DATA_DIR": str(installation.directory / name)}]
    with installation.nodes(2, own, **settings) as nodes:
        # The tokens expire while the clock is wrong.
        expires = {
            _LATER: now() + 7_200_000,
            _SOON: now() + (soon + 3) * 1000,
            _OVER: now() + 1_000,
        }
        texts = {about: installation.tokens(1, expires_at=at)[0] for about, at in expires.items()}
        texts |= {_LIVES: installation.tokens(1)[0], _ENDED: installation.tokens(1)[0]}
        if nodes[0].rest_client().deactivate(texts[_ENDED][:21]) != 200:
            raise RuntimeError("the deactivation failed")
        time.sleep(2.0)
        watches = [Watch(node, texts) for node in nodes]
        time.sleep(0.5)
        shifted.by(shift)
        time.sleep(2 * soon)
        ready = nodes[1].ready(nodes[1].verify_port)
        answers = [watch.stop() for watch in watches]
    offset = time.time_ns() - boot_ns()
    ends = {about: at * 1_000_000 - offset for about, at in expires.items()}
    for which, found in zip(("the other node", f"the node set {name}"), answers, strict=True):
        wrong = [each for each in found if not _right(each, ends)]
        decided = sum(1 for each in found if each.reason not in _UNDECIDED)
        yield Finding(
            f"four hours {name}: wrong answers of {which}",
            f"{len(wrong)} of {len(found):,}",
            "0",
            not wrong and bool(found) and (decided == len(found) or which != "the other node"),
            f"{decided:,} of them decided"
            + (", the rest 503" if decided < len(found) else "")
            + "".join(f"; {what}" for what in sorted({f"{e.about}: {e.reason}" for e in wrong})),
        )
    yield Finding(
        f"four hours {name}: the node set {name} reports that it is ready",
        str(ready).lower(),
        "false",
        not ready,
    )


def _right(answer: Answer, ends: dict[str, int]) -> bool:
    """Whether an answer is right by the true time, give or take 5 s; no decision is right, too."""
    if answer.reason in _UNDECIDED:
        return True
    if answer.about == _ENDED:
        return answer.reason == REFUSED
    end = ends.get(answer.about)
    if end is None or answer.replied < end - _TOLERANCE_NS:
        return answer.reason == ALLOWED
    if answer.asked > end + _TOLERANCE_NS or answer.about == _OVER:
        return answer.reason == _EXPIRED
    return answer.reason in (ALLOWED, _EXPIRED)


def _wrong_from_start(installation: Installation, name: str, shift: int) -> Result:
    """A node whose clock is wrong from its start decides nothing, with or without a stored time."""
    shifted = _Shifted(installation.directory / f"{name}-from-the-start.clock")
    shifted.by(shift)
    said: dict[str, int] = {}
    (living,) = installation.tokens(1)
    for which, directory in (("new", f"new-{name}"), ("known", name)):
        node = Node(
            installation,
            "node-2",
            shifted.environ
            | {
                "GATEPASS_DATA_DIR": str(installation.directory / directory),
                "GATEPASS_MAX_STALENESS": str(_STALENESS),
                "GATEPASS_WORKERS": "1",
            },
        )
        node.start()
        deadline = time.monotonic() + 6
        client = node.decision_client()
        while time.monotonic() < deadline:
            reason = client.reason(living)
            said[f"{which}: {reason}"] = said.get(f"{which}: {reason}", 0) + 1
            time.sleep(0.05)
        node.stop()
    decided = {what: times for what, times in said.items() if what.split(": ")[1] not in _UNDECIDED}
    return Finding(
        f"four hours {name} from the start: decisions",
        str(sum(decided.values())),
        "0",
        not decided,
        ", ".join(f"{what} ({times})" for what, times in sorted(said.items())),
    )


class _Shifted:
    """A wall clock for some processes alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.by(0)
        self.environ = {"PYTHONPATH": str(_SHIFTING), "FAULTS_CLOCK": str(path)}

    def by(self, seconds: int) -> None:
        """Shift it by so many seconds from the true time."""
        # Renamed atomically: a process may read the file at any moment.
        new = self._path.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self._path)
