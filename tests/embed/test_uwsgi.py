"""uWSGI: workers that are forked without a word to Python, recycled, or loaded one by one."""

import os
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatepass import Misconfigured, Unavailable, Verifier, open_verifier
from gatepass.verify import forks
from tests.support.feed.scripted_feed import KEY, ScriptedFeed
from tests.support.grants.grant_file_fixture import Grants, new_grant_file
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.children import finished, in_child
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving
from tests.support.waiting import until

pytestmark = pytest.mark.processes

UWSGI = Path(sys.executable).with_name("uwsgi")
APPLICATION = """
import os

from gatepass import Unavailable, Verifier, open_verifier
from gatepass.embed.wsgi import GatepassMiddleware

if "GRANTS" in os.environ:
    verifier = open_verifier(os.environ["GRANTS"])
else:
    verifier = Verifier.follow(
        os.environ["URL"], key=os.environ["KEY"], directory=os.environ["DIRECTORY"]
    )
try:
    verifier.check(os.environ["TOKEN"], permission="charges:get")
    loading = "decided"
except Unavailable as error:
    loading = error.reason
{more}

def api(environ, start_response):
    start_response("200 OK", [("x-worker", str(os.getpid())), ("x-loading", loading)])
    return []

application = GatepassMiddleware(api, verifier, permissions={{"GET /charges": "charges:get"}})
"""
# It is imported after Gatepass, and overwrites the hook that Gatepass has set.
OVERWRITING = """
from uwsgidecorators import postfork

@postfork
def nothing(): pass
"""


@contextmanager
def served(directory: Path, *options: str, more: str = "", **environ: str) -> Iterator[Any]:
    """An application under uWSGI; calls it with a token."""
    program = directory / "application.py"
    program.write_text(APPLICATION.format(more=more))
    port = free_port()
    command = [str(UWSGI), "--http-socket", f"127.0.0.1:{port}", "--wsgi-file", str(program)]
    command += ["--die-on-term", "--need-app", "--worker-reload-mercy", "5", *options]
    each_its_own = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", limits=each_its_own) as client:

        def call(token: str) -> httpx.Response:
            return client.get("/charges", headers={"x-access-token": token})

        with serving(command, lambda: call(""), directory, **environ):
            yield call


RECYCLED = ("--master", "--processes", "2", "--max-requests", "5", "--min-worker-lifetime", "1")


@pytest.mark.parametrize(
    ("options", "more", "workers"),
    [
        (RECYCLED, "", 4),
        (RECYCLED, OVERWRITING, 4),
        ((*RECYCLED, "--py-call-osafterfork"), "", 4),
        ((*RECYCLED, "--py-call-uwsgi-fork-hooks", "--threads", "2"), "", 4),
        ((*RECYCLED, "--lazy-apps"), "", 4),
        (("--processes", "2"), "", 2),
        ((), "", 1),
    ],
    ids=["preforked", "hook overwritten", "after fork", "fork hooks", "lazy", "no master", "one"],
)
def test_workers_decide_count_and_are_recycled(
    options: tuple[str, ...],
    more: str,
    workers: int,
    samples: Samples,
    feed: ScriptedFeed,
    tmp_path: Path,
) -> None:
    """Every worker, the first and those that replace it: none hangs, none misses a deactivation."""
    place = {
        "URL": feed.url,
        "KEY": KEY.text,
        "DIRECTORY": str(tmp_path / "copy"),
        "TOKEN": samples.texts["good"],
    }
    text = samples.texts["good"]
    seen: set[str] = set()
    with served(tmp_path, *options, more=more, **place) as call:

        def seen_and_counted() -> bool:
            answer = call(text)
            assert answer.status_code == 200, answer.text
            seen.add(answer.headers["x-worker"])
            if "--lazy-apps" not in options:
                # Nothing is read before the fork.
                assert answer.headers["x-loading"] == "unavailable"
            return len(seen) >= workers and used(feed, text[:21])

        until(seen_and_counted, lambda: seen)
        feed.commit(samples.changed("good", deactivated=True))
        # Each call may be another worker's.
        until(lambda: all(call(text).status_code == 401 for _ in range(12)))
        assert call(text).json()["reason"] == "token_deactivated"


def used(feed: ScriptedFeed, token: str) -> bool:
    """Whether the use of a token was told."""
    return any(
        token in batch["tokens"]
        for what, said in feed.told
        if what == "use"
        for batch in said["batches"]
    )


def test_on_gatepass_own_machine_too(tmp_path: Path) -> None:
    grants = new_grant_file(tmp_path / "gatepass.db")
    token = grants.token()
    with served(tmp_path, *RECYCLED, GRANTS=str(grants.path), TOKEN=token) as call:
        workers = set()

        def answered_by_four() -> bool:
            answer = call(token)
            assert answer.status_code == 200, answer.text
            workers.add(answer.headers["x-worker"])
            return len(workers) >= 4

        until(answered_by_four, lambda: workers)
    # Their counts were spooled when they ended.
    spooled = [path.read_text() for path in (tmp_path / "gatepass.db-use").glob("*.spool")]
    assert any(token[:21] in text for text in spooled)


def test_without_threads_it_is_refused_in_one_sentence(
    grants: Grants, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older uWSGIs run no thread of Python's unless told to: nothing would ever be current."""
    module = types.ModuleType("uwsgi")
    module.__dict__.update(
        worker_id=lambda: 1, mule_id=lambda: 0, i_am_the_spooler=lambda: False, has_threads=0
    )
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    with pytest.raises(Misconfigured, match="enable-threads"):
        open_verifier(grants.path)
    module.__dict__["has_threads"] = 1
    open_verifier(grants.path).close()


def test_a_child_that_was_forked_without_pythons_knowledge_never_reads(grants: Grants) -> None:
    """It would rely on its parent's locks, and go on reading what others have replaced: a
    deactivated token would be allowed for ever."""
    verifier = open_verifier(grants.path)
    token = grants.token()

    def parent() -> None:
        import ctypes

        assert verifier.check(token, permission="charges:get").allowed
        child = ctypes.PyDLL(None).fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            assert verifier.check(token, permission="charges:get").allowed
            return
        code = 1
        with suppress(BaseException):
            for text in (grants.token(), grants.token()):
                with pytest.raises(Unavailable):
                    verifier.check(text, permission="charges:get")
            code = 0
        os._exit(code)

    assert finished(in_child(parent))
    verifier.close()


def test_outside_of_uwsgi_everything_starts_at_once(feed: ScriptedFeed, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    assert forks.may_start()
    verifier = Verifier.follow(feed.url, key=KEY.text, directory=tmp_path / "copy")
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert {"gatepass_maintenance", "gatepass_following"} <= names
    verifier.close()
