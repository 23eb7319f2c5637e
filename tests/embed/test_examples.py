"""The examples that the documentation shows do what they say, served by real servers and kept
current by a feed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.feed.scripted_feed import KEY, ScriptedFeed
from tests.support.grants.grant_file_fixture import Grants
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving
from tests.support.waiting import until

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGES = sorted((ROOT / "docs" / "how-to" / "embed").glob("*.md"))
SERVERS = {
    "asgi_app:app": ("uvicorn", "--log-level", "warning"),
    "fastapi_app:app": ("uvicorn", "--log-level", "warning"),
    "django_app:create_app": ("granian", "--factory", "--interface", "wsgi"),
    "flask_app:app": ("granian", "--interface", "wsgi", "--log-level", "warning"),
}
NAMES = [target.partition(":")[0] for target in SERVERS]


@pytest.fixture(params=SERVERS)
def served(
    request: pytest.FixtureRequest, feed: ScriptedFeed, tmp_path: Path
) -> Iterator[httpx.Client]:
    """An example's address, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", *SERVERS[request.param], request.param]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
        serving(
            command,
            lambda: client.get("/"),
            tmp_path,
            cwd=EXAMPLES,
            GATEPASS_URL=feed.url,
            GATEPASS_KEY=KEY.text,
            GATEPASS_DIRECTORY=str(tmp_path / "copy"),
        ),
    ):
        yield client


def test_an_example_guards_its_route(
    served: httpx.Client, samples: Samples, feed: ScriptedFeed
) -> None:
    token = {"authorization": f"Bearer {samples.texts['good']}"}
    answer = served.get("/charges/ch_1", headers=token)
    label = samples.grants["good"].label
    assert (answer.status_code, answer.json()) == (200, {"id": "ch_1", "asked_by": label})
    for headers, reason in (
        ({}, "token_missing"),
        ({"x-access-token": "gpat_wrong"}, "token_invalid"),
        ({"x-access-token": "gpat_wrong", **token}, "token_invalid"),
    ):
        refused = served.get("/charges/ch_1", headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (401, reason)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["www-authenticate"].startswith("Bearer ")
    assert served.head("/charges/ch_1").content == b""
    assert served.get("/charges//ch_1", headers=token).status_code in (403, 404)

    feed.commit(samples.changed("good", deactivated=True))
    until(lambda: served.get("/charges/ch_1", headers=token).status_code != 200)
    assert served.get("/charges/ch_1", headers=token).json()["reason"] == "token_deactivated"


def test_an_example_is_short() -> None:
    """What it takes to guard an application fits on a slide."""
    for name in NAMES:
        lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
        assert len([line for line in lines if line.strip()]) <= 30


@pytest.mark.parametrize("name", NAMES)
def test_an_examples_own_tests_need_no_server(name: str, tmp_path: Path) -> None:
    """Nor its variables: they run as a reader of the page runs them."""
    environ = {key: text for key, text in os.environ.items() if not key.startswith("GATEPASS_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", str(tmp_path), str(EXAMPLES / f"test_{name}.py")]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search("^[2-9] passed", done.stdout, re.M)
    assert list(tmp_path.iterdir()) == []


def test_the_examples_type_check_where_gatepass_is_installed(tmp_path: Path) -> None:
    """By their users' strictest settings, and with the frameworks' own types."""
    strict = [sys.executable, "-m", "mypy", "--strict", "--config-file=", EXAMPLES]
    for command, directory in (
        ([*strict, "--cache-dir", tmp_path / "cache"], tmp_path),
        ([sys.executable, "-m", "pyright"], ROOT),
    ):
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_shows_the_examples_as_they_are_and_its_other_lines_run(
    grants: Grants, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody copies something from the pages that isn't tested here."""
    token = grants.token(permissions=frozenset({"charges:get"}))
    pages = "\n".join(page.read_text() for page in PAGES)
    shown = re.findall(r"```python\n(.*?)```", pages, re.S)
    examples = [path.read_text() for path in EXAMPLES.glob("*.py")]
    assert len(examples) == 2 * len(NAMES)  # each with its tests
    for code in examples:
        shown.remove(code)
    with ScriptedFeed() as feed:
        feed.publish(grants.path)
        places = {
            "/var/lib/gatepass/gatepass.db": str(grants.path),
            "https://gatepass.internal": feed.url,
            "gpvk_…": KEY.text,
            "/var/lib/charges/gatepass": str(tmp_path / "copy"),
        }
        for code in shown:
            for place, here in places.items():
                code = code.replace(place, here)
            names: dict[str, Any] = {"text": token}
            exec(code, names)
            names["verifier"].close()
    assert capsys.readouterr().out == "403 permission_missing\n"


def test_nothing_of_a_framework_is_imported_unless_asked_for() -> None:
    """Plain gatepass works where none is installed."""
    program = (
        "import sys, gatepass, gatepass.embed.wsgi\n"
        "names = 'fastapi starlette django asgiref flask werkzeug pydantic sqlalchemy'.split()\n"
        "sys.exit(' '.join(name for name in names if name in sys.modules) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
