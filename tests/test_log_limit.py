"""A line that a failing loop, or a stranger's requests, could repeat is logged once a minute."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import gatepass
from gatepass.core.decision import Call, Decision
from gatepass.core.reason import Reason
from gatepass.log_limit import LogLimit
from gatepass.registry.storage.ended_log import EndedLog, Revocation
from gatepass.verify.spools import spools
from gatepass.verify.usage import Usage
from gatepass.web.unhandled import log_unhandled

SOURCE = Path(gatepass.__file__).parent

#: Lines without a limit: each reports an event that ends the state it was found in, or a bug.
EVENTS = {
    "cli/serve.py": {"serve", "ready"},
    "mail/delivery.py": {"deliver"},  # without a mail server the log is where mail goes
    "registry/grants/history.py": {"report_divergence"},
    "verify/clock.py": {"watch"},
    "verify/forks.py": {"require_owner"},
    "verify/grant_file.py": {"watch"},
    "verify/replica/clock_agreement.py": {"check"},
    "verify/replica/following.py": {"recovered", "_replace_removed_files"},
    "web/tracing.py": {"tracer_of"},
    "web/server/supervisor.py": {"_start", "_read_pipe", "_stop_workers"},
}


def unlimited(module: ast.Module) -> Iterator[str]:
    """The functions that log a warning or an error without asking a limit."""
    for function in ast.walk(module):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.unparse(function)
            logs = any(f"log.{level}(" in text for level in ("warning", "error", "exception"))
            if logs and "left_out(" not in text:
                yield function.name


def test_every_line_that_may_repeat_has_a_limit() -> None:
    found = {
        path.relative_to(SOURCE).as_posix(): names
        for path in SOURCE.rglob("*.py")
        if (names := set(unlimited(ast.parse(path.read_text()))))
    }
    assert found == EVENTS


def test_one_line_a_minute_of_each_kind() -> None:
    now = 0.0
    limit = LogLimit(lambda: now)
    assert limit.left_out("a") == 0
    assert limit.left_out("b") == 0
    assert (limit.left_out("a"), limit.left_out("a")) == (None, None)
    now = 60.0
    assert limit.left_out("a") == 2
    assert limit.left_out("a") is None


def test_a_full_disk_is_logged_once_by_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are retried about once a second."""
    usage, log = Usage(tmp_path / "use"), EndedLog(tmp_path / "ended.log")
    call = Call(Reason.token_missing, None)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    log.append([Revocation("access_token", "gpat_1", 1, "usr_1")])
    for _ in range(5):
        usage.note(Decision(Reason.token_missing, None, frozenset(), call), 1)
        usage.flush()
        log.append()
    assert sorted(record.name for record in caplog.records) == [
        "gatepass.ended_log",
        "gatepass.usage",
    ]


def test_a_damaged_spool_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1-a.spool").write_bytes(b"torn\n" * 100)
    for _ in range(5):
        for spool in spools(tmp_path):
            assert list(spool.lines(0)) == []
    assert len(caplog.records) <= 1


def test_an_unhandled_exception_is_logged_once_a_minute_for_each_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By its type and place alone: its message may quote a client's secret."""
    for error in (ValueError("a secret"), KeyError("a secret"), ValueError("another")) * 3:
        try:
            raise error
        except Exception as raised:
            log_unhandled(raised)
    assert [line.getMessage().split("\n")[0] for line in caplog.records] == [
        "unhandled builtins.ValueError",
        "unhandled builtins.KeyError",
    ]
    assert "secret" not in caplog.text
