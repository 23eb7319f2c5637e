"""Failures: one line on standard error, exit code 1, and never a traceback."""

import fcntl
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import termios
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import pytest

from gatepass.cli import tree
from gatepass.cli.installation import opened
from tests.support.waiting import LIMIT_S, until

COMMAND = [sys.executable, "-m", "gatepass.cli"]


def run(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Run the command in its own process."""
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60, **options}
    return subprocess.run([*COMMAND, *arguments], **options)


def one_line(said: Any) -> str:
    err = said.err if hasattr(said, "err") else said.stderr.decode()
    assert err.startswith("gatepass: "), err
    assert err.count("\n") == 1, err
    line: str = err.strip()
    return line


def test_a_clock_that_is_behind_stops_only_serve(installed: Any) -> None:
    """The remedy is a start with --accept-clock, and the command line must work meanwhile."""
    with opened() as node:
        node.file.shared.record_time(node.clock.now() + 86_400_000)
    assert "--accept-clock" in one_line(installed("serve"))
    for arguments in (
        ("token", "list"),
        ("verifier", "create", "--label", "nginx"),
        ("verifier", "list"),
        ("allowlist", "show", "--company", "Acme"),
        ("migrate",),
    ):
        said = installed(*arguments)
        assert said.code == 0, (arguments, said.err)


@pytest.mark.parametrize("file", ["text", "random"])
def test_a_file_that_is_not_a_database_is_refused(
    installed: Any, tmp_path: Path, file: str
) -> None:
    content = b"dear diary\n" * 500 if file == "text" else os.urandom(5_000)
    (tmp_path / "data" / "gatepass.db").write_bytes(content)
    for arguments in (("token", "list"), ("serve",), ("migrate",)):
        said = installed(*arguments)
        assert said.code == 1
        assert "file is not a database" in one_line(said)


def test_another_programs_database_is_refused(installed: Any, tmp_path: Path) -> None:
    path = tmp_path / "data" / "gatepass.db"
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (id)")
    said = installed(
        *("init", "--company", "B", "--email", "b@b.example", "--password-stdin"),
        stdin="correct horse battery staple",
    )
    assert said.code == 1
    assert "tables that aren't Gatepass's" in one_line(said)


@pytest.mark.parametrize(
    ("version", "what_to_do"),
    [("9999", "newer than this version of Gatepass"), ("0000", "run gatepass migrate")],
)
def test_another_schema_version_stops_every_command_but_migrate(
    installed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, what_to_do: str
) -> None:
    monkeypatch.setattr("gatepass.registry.storage.schema.VERSIONS", ("0000", "0001"))
    with closing(sqlite3.connect(tmp_path / "data" / "gatepass.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        database.commit()
    init = ("init", "--company", "B", "--email", "b@b.example", "--password-stdin")
    for arguments in (("serve",), ("token", "list"), init):
        said = installed(*arguments, stdin="correct horse battery staple")
        assert said.code == 1
        assert what_to_do in one_line(said)


def test_another_users_files_are_refused(installed: Any, tmp_path: Path) -> None:
    """Files created by a root shell would stop the service."""
    if os.geteuid() != 0:
        pytest.fail("this test needs root, to give a file away")
    path = tmp_path / "data" / "gatepass.db"
    os.chown(path, 65_534, 65_534)
    for arguments in (("token", "list"), ("serve",), ("verifier", "create", "--label", "x")):
        said = installed(*arguments)
        assert said.code == 1
        assert "belongs to another user" in one_line(said)


def test_a_directory_that_cannot_be_created_is_reported(
    gatepass: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEPASS_DATA_DIR", "/proc/nowhere")
    said = gatepass(
        *("init", "--company", "B", "--email", "b@b.example", "--password-stdin"),
        stdin="correct horse battery staple",
    )
    assert said.code == 1
    assert "/proc/nowhere" in one_line(said)


def test_an_unexpected_error_is_one_line_without_the_input(
    gatepass: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise RuntimeError("gpat_secret")

    monkeypatch.setattr(tree, "app", broken)
    said = gatepass("token", "list")
    assert (said.code, one_line(said)) == (
        1,
        "gatepass: unexpected error: RuntimeError",
    )


def test_an_interrupt_prints_no_traceback(gatepass: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as importing:
        importing.setattr("importlib.import_module", interrupted)
        assert one_line(gatepass("token", "list")) == "gatepass: stopped"
    monkeypatch.setattr(tree, "app", interrupted)
    assert one_line(gatepass("token", "list")) == "gatepass: stopped"


@pytest.mark.processes
def test_a_closed_pipe_ends_the_output_quietly(installed: Any) -> None:
    read, write = os.pipe()
    os.close(read)
    said = run("verifier", "list", stdout=write, stderr=subprocess.PIPE, capture_output=False)
    os.close(write)
    assert (said.returncode, said.stderr) == (1, b"")


@pytest.mark.processes
def test_output_to_a_full_disk_is_reported(installed: Any) -> None:
    with open("/dev/full", "wb") as full:
        said = run(
            "verifier", "list", "--json", stdout=full, stderr=subprocess.PIPE, capture_output=False
        )
    assert said.returncode == 1
    assert "No space left" in one_line(said)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("catalogue check /dev/null <&-", 0),
        ("catalogue check /dev/null >&-", 0),
        ("catalogue check /nowhere 2>&-", 1),
        ("init --company B --email b@b.example <&-", 1),
        ("init --company B --email b@b.example --password-stdin <&-", 1),
    ],
)
def test_closed_standard_streams_cause_no_traceback(
    installed: Any, command: str, code: int
) -> None:
    line = f'"{sys.executable}" -m gatepass.cli {command}'
    said = subprocess.run(["setsid", "-w", "sh", "-c", line], capture_output=True, timeout=LIMIT_S)
    assert said.returncode == code
    if code and "2>&-" not in command:
        assert "password" in one_line(said)
    else:
        assert said.stderr == b""


@pytest.mark.processes
def test_the_password_is_prompted_twice_without_echo(installed: Any) -> None:
    assert _typed("correct horse battery staple", "correct house battery staple") == 1
    assert _typed("correct house battery staple", "correct house battery staple") == 0


def _typed(first: str, second: str) -> int:
    """Type two answers at a terminal, which must not echo them; the exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(
            sys.executable, [*COMMAND, "init", "--company", "Borealis", "--email", "c@c.example"]
        )
    shown = b""
    for answer, prompt in ((first, b"characters): "), (second, b"again: ")):
        while prompt not in shown:
            shown += os.read(terminal, 1024)
        os.write(terminal, answer.encode() + b"\n")
    while True:
        try:
            more = os.read(terminal, 1024)
        except OSError:
            break
        if not more:
            break
        shown += more
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    asked = shown.split(b"is set up")[0]
    assert first.encode() not in asked
    assert second.encode() not in asked.replace(b"The two differ", b"")
    return os.waitstatus_to_exitcode(status)


@pytest.mark.processes
def test_serve_names_the_taken_port(installed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        monkeypatch.setenv("GATEPASS_PORT", port)
        monkeypatch.setenv("GATEPASS_VERIFY_WORKERS", "1")
        said = run("serve")
    assert said.returncode == 1
    in_vain = (
        b"GATEPASS_VERIFY_WORKERS has no effect without "
        b"GATEPASS_VERIFY_PORT or GATEPASS_VERIFY_SOCKET or GATEPASS_GRPC_PORT"
    )
    assert said.stderr.count(in_vain) == 1
    last = said.stderr.decode().splitlines()[-1]
    assert last.startswith("gatepass: GATEPASS_PORT")
    assert port in last


@pytest.mark.processes
def test_ctrl_c_ends_a_waiting_command(installed: Any) -> None:
    process = subprocess.Popen(
        [*COMMAND, "init", "--company", "B", "--email", "b@b.example", "--password-stdin"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Background processes of a shell ignore SIGINT, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # After reading the beginning, it waits for the rest.
    assert process.stdin is not None
    process.stdin.write(b"correct horse")
    process.stdin.flush()
    until(lambda: not _unread(process.stdin))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, err) == (1, b"gatepass: stopped\n")


def _unread(pipe: IO[bytes]) -> int:
    """The number of unread bytes."""
    return int.from_bytes(fcntl.ioctl(pipe.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.processes
def test_names_are_escaped_where_the_terminal_cannot_show_them(
    installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cron and older encodings: unsupported characters are escaped, and JSON is ASCII."""
    label, encoding = "Złoty 🜲 é", "cp1252"
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    made = run("verifier", "create", "--label", label)
    assert (made.returncode, made.stdout[:5]) == (0, b"gpvk_")
    listed = run("verifier", "list")
    assert (listed.returncode, listed.stderr) == (0, b"")
    shown = label.encode(encoding, "backslashreplace").replace(b"\xa0", b" ")
    assert shown in listed.stdout
    as_json = run("verifier", "list", "--json")
    assert json.loads(as_json.stdout.decode("utf-8"))["items"][0]["label"] == label
    missing = run("allowlist", "show", "--company", label)
    assert missing.returncode == 1
    assert b"unexpected error" not in missing.stderr
    assert run("--help").returncode == run("verifier", "create", "--help").returncode == 0
