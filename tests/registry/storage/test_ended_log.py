"""Revocations are appended to ended.log before the request is answered."""

import json
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from gatepass.core.errors import Misconfigured
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import verifier_keys
from gatepass.registry.membership import invitations, offboarding
from gatepass.registry.storage.database import Change, Database
from gatepass.registry.storage.ended_log import EndedLog, EndedLogReader, Revocation
from gatepass.registry.tokens import access_tokens
from tests.support.database.full_registry import FullRegistry
from tests.support.database.small_registry import NOW, SmallRegistry
from tests.support.processes.children import finished, in_child

REVOCATION = Revocation(NOW, "access_token", "gpat_1", 7, "usr_1", "Ada")


@pytest.fixture
def log(tmp_path: Path) -> EndedLog:
    return EndedLog(tmp_path / "ended.log")


@pytest.fixture
def registry(database_url: str, log: EndedLog) -> SmallRegistry:
    return FullRegistry(Database(database_url, revoked=log.append))


def ids(log: EndedLog) -> list[tuple[str, str]]:
    return [(revocation.kind, revocation.id) for revocation in log.read()]


def test_every_revocation_is_in_the_log(registry: FullRegistry, log: EndedLog) -> None:
    bob = registry.bob
    assert bob.user is not None
    other, _ = registry.token(bob, permissions=["charges:get"])
    operator = Actor.command_line()
    ends: list[tuple[Callable[[Change], object], list[tuple[str, str | None]]]] = [
        (
            lambda change: access_tokens.deactivate(change, registry.signed, registry.made.id),
            [("access_token", registry.made.id)],
        ),
        (
            lambda change: invitations.deactivate(change, registry.signed, registry.invitation.id),
            [("invitation", registry.invitation.id)],
        ),
        (
            lambda change: verifier_keys.deactivate(change, operator, registry.key),
            [("verifier_key", registry.key)],
        ),
        (
            lambda change: sessions.sign_out(change, bob),
            [("authentication", bob.credential)],
        ),
        (
            lambda change: offboarding.deactivate(change, operator, bob.user or ""),
            [("user", bob.user), ("access_token", other.id)],
        ),
        (
            lambda change: sessions.deactivate(change, operator, registry.signed.credential or ""),
            [("authentication", registry.signed.credential)],
        ),
    ]
    expected: list[tuple[str, str | None]] = []
    for end, its in ends:
        with registry.write() as change:
            end(change)
            revision = change.revision
        expected += its
        assert ids(log) == expected
        # A repetition ends nothing.
        last = [revocation for revocation in log.read() if revocation.revision == revision]
        assert len(last) == len(its)
    registry.do(access_tokens.deactivate, operator, registry.made.id)
    assert ids(log) == expected
    first = next(iter(log.read()))
    assert (first.at, first.by, first.by_name) == (NOW, registry.ada.id, "Ada Lovelace")


def test_a_rolled_back_revocation_is_not_in_the_log(registry: FullRegistry, log: EndedLog) -> None:
    def struck(change: Change) -> None:
        access_tokens.deactivate(change, registry.signed, registry.made.id)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), registry.write() as change:
        struck(change)
    assert not log.path.exists()


def test_the_log_is_written_before_a_node_confirms(database_url: str, log: EndedLog) -> None:
    """``not_confirmed`` means that the change has committed, so the log must have it by then."""
    registry = FullRegistry(Database(database_url))
    seen: list[int] = []
    database = Database(
        database_url, revoked=log.append, confirm=lambda revision: not seen.append(len(ids(log)))
    )
    with database.write(NOW) as change:
        access_tokens.deactivate(change, registry.signed, registry.made.id)
    assert seen == [1]


def test_the_file_is_private_and_plain(log: EndedLog, tmp_path: Path) -> None:
    log.append([REVOCATION])
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    (line,) = [line for line in log.path.read_text().splitlines() if line]
    assert json.loads(line) == {
        "at": NOW,
        "kind": "access_token",
        "id": "gpat_1",
        "revision": 7,
        "by": "usr_1",
        "by_name": "Ada",
    }
    link, elsewhere = tmp_path / "link.log", tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    link.symlink_to(elsewhere)
    EndedLog(link).append([REVOCATION])
    assert elsewhere.read_text() == "mine"


def test_lines_are_flushed_to_disk_before_append_returns(
    log: EndedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    log.append([REVOCATION])
    # The first time its name, too.
    assert synced == [log.path.stat().st_ino, log.path.parent.stat().st_ino]
    log.append([REVOCATION])
    assert synced[2:] == [log.path.stat().st_ino]


def test_torn_lines_are_skipped_and_counted(log: EndedLog) -> None:
    log.append([REVOCATION])
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole[: len(whole) // 2])
    log.append([Revocation(NOW, "user", "usr_2", 9)])
    log.path.write_bytes(log.path.read_bytes() + whole[:-1])
    read = log.read()
    assert [revocation.id for revocation in read] == ["gpat_1", "usr_2"]
    assert (read.torn, read.latest_revision) == (2, 9)


@pytest.mark.parametrize("torn", [b'{"at": 1, "ki', b'{"at": 1, "kind": "\xff\xfe"}'])
def test_any_undecodable_line_counts_as_torn(log: EndedLog, torn: bytes) -> None:
    """A power cut can leave any bytes, also invalid UTF-8."""
    log.append([REVOCATION])
    log.path.write_bytes(log.path.read_bytes() + b"\n" + torn)
    read = log.read()
    assert [revocation.id for revocation in read] == ["gpat_1"]
    assert read.torn == 1


def test_a_file_that_is_not_a_log_is_refused(tmp_path: Path) -> None:
    """Otherwise the wrong file would silently reactivate revoked records."""
    other = tmp_path / "some.log"
    other.write_bytes(b"GET / 200\nGET / 404\n")
    with pytest.raises(Misconfigured, match="no line of it can be read"):
        list(EndedLogReader(other))
    other.write_bytes(b"")
    assert list(EndedLogReader(other)) == []


def test_a_full_disk_undoes_nothing_and_is_retried(
    log: EndedLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        log.append([REVOCATION])
    assert "No space left" in caplog.text
    assert ids(log) == []
    log.append()
    assert ids(log) == [("access_token", "gpat_1")]
    log.append()
    assert len(ids(log)) == 1


def test_a_short_write_is_continued(log: EndedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    log.append([REVOCATION, REVOCATION])
    assert len(ids(log)) == 2


def _append(path: Path, process: int) -> None:
    log = EndedLog(path)
    for number in range(50):
        log.append([Revocation(NOW, "user", f"{process}-{number}", number)] * 3)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Misconfigured, match="must be a plain file"):
        list(EndedLogReader(tmp_path / "pipe"))


def test_concurrent_processes_do_not_tear_lines(log: EndedLog) -> None:
    children = [in_child(partial(_append, log.path, each)) for each in range(3)]
    assert {finished(child) for child in children} == {True}
    read = log.read()
    assert len({revocation.id for revocation in read}) == 150
    assert read.torn == 0


def test_a_missing_log_is_empty_unless_it_is_required(log: EndedLog, tmp_path: Path) -> None:
    assert list(log.read()) == []
    with pytest.raises(Misconfigured, match="No such file"):
        list(EndedLogReader(tmp_path / "ended.log"))
    with pytest.raises(Misconfigured, match="can't be read"):
        list(EndedLog(tmp_path).read())
