"""Fills the disk under the grant file and under SQLite, and makes it read-only."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faults.answers import Answer, Watch, boot_ns, last_allowed
from faults.experiments import Finding, Lab, Result, Skipped, experiment
from faults.installation import Installation, Node
from faults.watching import ALLOWED, REFUSED

_STALENESS = 3
_MEGABYTES = 16
_RECOVERY_SECONDS = 30.0
#: Networks that make a grant several kilobytes long.
_MANY_NETWORKS = [f"10.{high}.{low}.0/24" for high in range(2) for low in range(250)]
_LIVES, _ENDED, _LATE = "active", "deactivated before", "deactivated meanwhile"
#: Reasons of a 503, which may be answered instead of a decision.
_UNDECIDED = ("stale", "unavailable")


@experiment(6, "disk", "Disk full, and read-only")
def disk(lab: Lab) -> Iterator[Result]:
    """Data directories on a small file system in memory, filled to the last byte. First under
    SQLite, the registry itself, while clients ask for changes; then it is made read-only while
    the node is down. Then under one of two nodes' copies, while clients create thousands of
    tokens through the other node and deactivate one. Both nodes are polled throughout about an
    active token, one that was deactivated before, and that one.

    Passes when on SQLite changes are refused with 503 while decisions go on, and a start with one
    clear line; when a copy that can't be written never says "allowed" later than MAX_STALENESS
    after a deactivation elsewhere; and when both recover without a restart.
    """
    if os.geteuid() != 0:
        yield Skipped("a full or read-only disk", "mounting needs root")
        return
    try:
        with _small_disk(lab.directory / "trial"):
            pass
    except (subprocess.CalledProcessError, FileNotFoundError):
        yield Skipped("a full or read-only disk", "mounting fails here")
        return
    yield from _under_sqlite(lab)
    if not lab.short:
        yield from _under_a_copy(lab)


def _under_sqlite(lab: Lab) -> Iterator[Result]:
    directory = lab.directory / "sqlite" / "node-1"
    with _small_disk(directory):
        installation = Installation(lab.directory / "sqlite")
        with installation.nodes(1, GATEPASS_WORKERS="1") as (node,):
            lab.say("disk: full under SQLite")
            living, ended, late = installation.tokens(3)
            rest = node.rest_client()
            assert rest.deactivate(ended[:21]) == 200
            with _watching(node, living, ended, late) as watch:
                filling = _fill(directory)
                statuses: list[int] = []
                end = time.monotonic() + lab.number(6, 1)
                # SQLite may still commit into pages that it has allocated.
                while time.monotonic() < end and 200 not in statuses:
                    statuses.append(rest.deactivate(late[:21]))
                    time.sleep(0.1)
                filling.unlink()
                took = _until(lambda: rest.deactivate(late[:21]) == 200)
                ended_late = boot_ns()
                time.sleep(0.2)
            wrong = _wrong(watch, ended_late)
            yield Finding(
                "SQLite, full: changes",
                f"{statuses.count(503)} of {len(statuses)} answered 503",
                "503 or 200",
                set(statuses) <= {200, 503},
            )
            yield Finding(
                "SQLite, full: wrong or missing decisions",
                f"{len(wrong)} of {len(watch.answers):,}",
                "0",
                not wrong and took >= 0,
                f"changes succeed {took:.1f} s after space is freed" + _named(wrong),
            )
            if lab.short:
                return
            node.stop()
            yield from _started_read_only(node, directory)


def _started_read_only(node: Node, directory: Path) -> Iterator[Result]:
    """Remount read-only while the node is down, since a file system in use can't be."""
    _remount(directory, "ro")
    node.start()
    assert node.process is not None
    code = node.process.wait(30)
    last_line = node.log.read_text().splitlines()[-1]
    _remount(directory, "rw")
    node.start()
    node.wait_ready()
    yield Finding(
        "SQLite, read-only: the start fails with one line",
        f"exit {code}",
        "exit 1",
        code == 1 and last_line.startswith("gatepass: "),
        f"“{last_line.replace(str(directory), '…')}”; it starts once that is fixed",
    )


def _under_a_copy(lab: Lab) -> Iterator[Result]:
    directory = lab.directory / "small"
    with lab.cluster() as cluster, _small_disk(directory):
        installation = Installation(lab.directory / "copies", cluster.create("disk"))
        own = [{}, {"GATEPASS_DATA_DIR": str(directory)}]
        settings = {"GATEPASS_MAX_STALENESS": str(_STALENESS), "GATEPASS_WORKERS": "1"}
        with installation.nodes(2, own, **settings) as nodes:
            lab.say("disk: full under a copy")
            living, ended, late = installation.tokens(3)
            rest = nodes[0].rest_client()
            assert rest.deactivate(ended[:21]) == 200
            time.sleep(1.5)
            with _watching(nodes[1], living, ended, late) as watch:
                filling = _fill(directory)
                # More than fits into the pages that SQLite has allocated.
                installation.tokens(100, networks=_MANY_NETWORKS)
                assert rest.deactivate(late[:21]) == 200
                ended_late = boot_ns()
                time.sleep(_STALENESS + 4)
                last_reason = watch.answers[-1].reason
                filling.unlink()
                took = _until(lambda: nodes[1].ready(nodes[1].verify_port))
                time.sleep(1.5)
                afterwards = {answer.about: answer.reason for answer in watch.answers[-3:]}
        allowed = last_allowed(
            [answer for answer in watch.answers if answer.about == _LATE], ended_late
        )
        current = {_LIVES: ALLOWED, _ENDED: REFUSED, _LATE: REFUSED}
        wrong = [each for each in _wrong(watch, None) if each.reason not in _UNDECIDED]
        yield Finding(
            "a copy, full: last allowed after the 200 elsewhere",
            f"{allowed * 1000:.0f} ms",
            f"≤ {_STALENESS} s",
            allowed <= _STALENESS,
            f"its last answer was {last_reason}",
        )
        yield Finding(
            "a copy, full: wrong decisions",
            f"{len(wrong)} of {len(watch.answers):,}",
            "0",
            not wrong and afterwards == current and took >= 0,
            f"ready {took:.1f} s after space is freed"
            + _named(wrong)
            + ("" if afterwards == current else f"; afterwards {afterwards}"),
        )


def _wrong(watch: Watch, ended: int | None) -> list[Answer]:
    """The wrong answers.

    Args:
        ended: when the last deactivation was answered; None if nodes may learn of it later.
    """
    return [
        answer
        for answer in watch.answers
        if answer.reason not in _right(answer.about, ended is not None and answer.asked > ended)
    ]


def _named(wrong: list[Answer]) -> str:
    return "".join(
        f"; {what}" for what in sorted({f"{each.about}: {each.reason}" for each in wrong})
    )


def _right(about: str, ended: bool) -> tuple[str, ...]:
    if about == _LIVES:
        return (ALLOWED,)
    if about == _ENDED or ended:
        return (REFUSED,)
    return (ALLOWED, REFUSED)


@contextmanager
def _watching(node: Node, living: str, ended: str, late: str) -> Iterator[Watch]:
    watch = Watch(node, {_LIVES: living, _ENDED: ended, _LATE: late})
    time.sleep(0.3)
    try:
        yield watch
    finally:
        watch.stop()


def _fill(directory: Path) -> Path:
    """Fill the disk to its last byte; the file to remove afterwards."""
    path = directory / "filling"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1 << 9):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
    return path


def _until(condition: Callable[[], bool]) -> float:
    """Seconds until *condition* returns true; -1 after 30 s."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() > started + _RECOVERY_SECONDS:
            return -1.0
        time.sleep(0.05)
    return time.monotonic() - started


@contextmanager
def _small_disk(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True)
    options = f"size={_MEGABYTES}m,mode=0700"
    _run("mount", "-t", "tmpfs", "-o", options, "gatepass-faults", str(directory))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(directory))


def _remount(directory: Path, how: str) -> None:
    _run("mount", "-o", f"remount,{how}", str(directory))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
