"""A flow that begins in one process and ends in another; on one node, and on two."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from starlette.testclient import TestClient

from gatepass.core.catalogue import parse_catalogue
from gatepass.node.node import Node, open_node
from gatepass.registry.storage.database import Database
from gatepass.web.app import create_app
from tests.support.apps.installation import CATALOGUE, Installation, Open
from tests.support.browser.page_reader import Visit
from tests.support.database.exports import export, import_
from tests.support.oidc.provider_double import SETTINGS, ProviderDouble
from tests.support.waiting import until

T = TypeVar("T")


OpenProcess = Callable[..., Visit]


@pytest.fixture
def provider() -> ProviderDouble:
    return ProviderDouble()


@pytest.fixture
def open_process(provider: ProviderDouble) -> Iterator[OpenProcess]:
    """Opens another process for a node's installation; a browser of it, without cookies."""
    opened: list[Node] = []

    def open_(node: Node, **settings: Any) -> Visit:
        node = open_node(replace(node.settings, **settings), parse_catalogue(CATALOGUE))
        opened.append(node)
        node.start()
        provider.serve(node.provider)
        app, peer = create_app(node), ("127.0.0.1", 50_000)
        return Visit(TestClient(app, base_url="http://127.0.0.1:8787", client=peer))

    yield open_
    for node in opened:
        node.stop()


@pytest.fixture
def first(open_installation: Open, database_url: str, provider: ProviderDouble) -> Installation:
    """The installation as its first process opens it."""
    installation = open_installation(database_url, **SETTINGS)
    provider.now = lambda: installation.node.clock.now() / 1000
    provider.serve(installation.node.provider)
    return installation


@pytest.fixture
def second(first: Installation, open_process: OpenProcess, tmp_path: Path) -> Visit:
    """Another process: on SQLite of the same node, on PostgreSQL of another one."""
    settings = {} if first.node.settings.is_sqlite else {"data_dir": tmp_path / "second"}
    return open_process(first.node, **settings)


def begun(browser: Visit, provider: ProviderDouble) -> str:
    return provider.authorize(browser.get("/sign-in/oidc").answer.headers["location"])


def log_out(browser: Visit, token: str) -> int:
    form = {"logout_token": token}
    return browser.client.post("/v1/oidc/back-channel-logout", data=form).status_code


def at_once(act: Callable[[Visit], T], *browsers: Visit) -> list[T]:
    with ThreadPoolExecutor(len(browsers)) as pool:
        return list(pool.map(act, browsers))


def test_an_answer_may_reach_another_process_and_counts_once(
    first: Installation, second: Visit, provider: ProviderDouble
) -> None:
    one = Visit(first.client())
    path = begun(one, provider)
    second.client.cookies.update(one.client.cookies)
    answers = at_once(lambda browser: browser.get(path).answer.status_code, one, second)
    assert sorted(answers) == [303, 401]
    signed_in, other = (one, second) if answers[0] == 303 else (second, one)
    other.client.cookies.update(signed_in.client.cookies)
    until(lambda: other.get("/account").answer.status_code == 200)


def test_a_new_user_is_made_once(
    first: Installation, second: Visit, provider: ProviderDouble
) -> None:
    one = Visit(first.client())
    paths = {browser: begun(browser, provider) for browser in (one, second)}
    answers = at_once(lambda browser: browser.get(paths[browser]).answer.status_code, one, second)
    assert answers == [303, 303]
    listed = first.signed_in().get("/v1/users").json()["items"]
    assert sorted(user["email"] for user in listed) == ["ada@example.com", "grace@example.com"]


def test_a_logout_counts_once_in_all_processes(
    first: Installation, second: Visit, provider: ProviderDouble
) -> None:
    one = Visit(first.client())
    for browser in (one, second):
        assert browser.get(begun(browser, provider)).answer.status_code == 303
    token = provider.logout_token()
    assert sorted(at_once(lambda browser: log_out(browser, token), one, second)) == [200, 400]
    for browser in (one, second):
        until(lambda browser=browser: browser.get("/account").answer.status_code == 303)


def test_a_link_outlives_a_move_to_another_database(
    first: Installation, open_process: OpenProcess, provider: ProviderDouble, tmp_path: Path
) -> None:
    one = Visit(first.client())
    assert one.get(begun(one, provider)).answer.status_code == 303
    token = provider.logout_token()
    assert log_out(one, token) == 200
    exported = export(first.node.database, tmp_path / "exported")
    url = f"sqlite:///{tmp_path / 'moved.db'}"
    database = Database(url)
    import_(database, exported)
    database.close()
    moved = open_process(first.node, database_url=url, data_dir=tmp_path / "moved")
    # Found by its subject alone: by its address, it would be another user.
    provider.claims["email"] = "other@example.com"
    assert moved.get(begun(moved, provider)).answer.status_code == 303
    moved.get("/account").shows("grace@example.com")
    # A logout token that was used before the move ends nothing after it.
    assert log_out(moved, token) == 400
    assert moved.get("/account").answer.status_code == 200
