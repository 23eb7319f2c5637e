"""Two nodes on one PostgreSQL behind nginx, as in docs/how-to/many-nodes.md.

Both have every change, and either may stop.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.apps.installation import PASSWORD
from tests.support.browser.page_reader import Visit
from tests.support.database.postgresql import Cluster
from tests.support.processes.nginx import Nginx, documented
from tests.support.processes.ports import free_port
from tests.support.processes.served_installation import EMAIL, ServedInstallation, new_token
from tests.support.waiting import LIMIT_S, until

pytestmark = pytest.mark.nginx


class Nodes:
    """Two nodes and the addresses of the nginx in front of them.

    Attributes:
        dashboard, decisions: nginx's URLs.
    """

    def __init__(
        self, first: ServedInstallation, second: ServedInstallation, dashboard: str, decisions: str
    ) -> None:
        self.first, self.second = first, second
        self.dashboard, self.decisions = dashboard, decisions

    def client(self, url: str) -> httpx.Client:
        """A client of *url*, signed in through the first node."""
        client = self.first.sign_in()
        client.base_url = httpx.URL(url)
        return client


@pytest.fixture(scope="module")
def nodes(postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    directory = tmp_path_factory.mktemp("many")
    front, decisions = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings = {"GATEPASS_VERIFY_WORKERS": "2", "GATEPASS_PUBLIC_URL": f"http://{front}"}
    first = ServedInstallation(directory / "a", database_url=postgresql.create("many"), **settings)
    second = ServedInstallation(directory / "b", join=first, **settings)
    with first, second:
        addresses = {
            "10.0.0.11:8788": f"127.0.0.1:{first.verify_port}",
            "10.0.0.12:8788": f"127.0.0.1:{second.verify_port}",
            "10.0.0.11:8787": f"127.0.0.1:{first.port}",
            "10.0.0.12:8787": f"127.0.0.1:{second.port}",
            "127.0.0.1:8090": decisions,
            "127.0.0.1:8091": front,
        }
        with Nginx(directory, documented("how-to/many-nodes.md", addresses), front):
            yield Nodes(first, second, f"http://{front}", f"http://{decisions}")


def test_a_sign_in_at_one_node_works_at_once_at_the_other(nodes: Nodes) -> None:
    for one, other in ((nodes.first, nodes.second), (nodes.second, nodes.first)):
        signed_in = one.sign_in()
        me = httpx.get(
            f"{other.url}/v1/me", headers={"Authorization": signed_in.headers["Authorization"]}
        )
        assert me.status_code == 200
        signed_in.post("/v1/sign-out").raise_for_status()


def test_pages_and_forms_need_no_sticky_sessions(nodes: Nodes) -> None:
    """nginx alternates between the nodes; cookies and forms work on both."""
    with httpx.Client(base_url=nodes.dashboard) as browser:
        visit = Visit(browser)
        visit.sign_in(EMAIL, PASSWORD)
        for n in range(2):
            page = visit.get("/access-tokens/new")
            assert page.answer.status_code == 200
            form = page.form("/access-tokens/new")
            made = visit.send(
                "/access-tokens/new",
                form.filled(label=f"page {n}", permissions=["charges:get"], do="create"),
                follow=True,
            )
            assert made.answer.status_code == 200, made.text
            assert f"Created: page {n}" in made.text
            listed = visit.get("/access-tokens")
            assert f"page {n}" in listed.text


def test_a_deactivation_on_one_node_is_applied_by_the_other(nodes: Nodes) -> None:
    client = nodes.first.sign_in()
    for _ in range(5):
        made = new_token(client)
        _until(nodes.second, made["token"], "allowed")
        client.post(f"/v1/access-tokens/{made['id']}/deactivate").raise_for_status()
        # The same node refuses it from now on.
        asked = nodes.first.verify(made["token"], permission="charges:get")
        assert asked["reason"] == "token_deactivated"
        _until(nodes.second, made["token"], "token_deactivated")


def test_a_catalogue_that_is_published_on_one_node_counts_on_both(nodes: Nodes) -> None:
    with nodes.first.sign_in() as ada:
        before = ada.get("/v1/catalogue")
        text = before.json()["text"]
        assert "charges:get" in text
        token, call = new_token(ada)["token"], {"method": "GET", "path": "/v1/reports/1"}

        def second(reason: str) -> None:
            until(lambda: nodes.second.verify(token, **call)["reason"] == reason)

        second("route_unknown")
        service = (
            'reports: {prefix: /v1, permissions: {reports:get: {routes: ["GET /reports/{id}"]}}}'
        )
        more = f"{text}\nservices: {{{service}}}\n"
        made = ada.put(
            "/v1/catalogue", json={"text": more}, headers={"If-Match": before.headers["ETag"]}
        )
        assert made.status_code == 200
        # The same node decides by it from the answer on.
        assert nodes.first.verify(token, **call)["reason"] == "permission_missing"
        second("permission_missing")
        with nodes.second.sign_in() as other:
            assert other.get("/v1/catalogue").json() == made.json()
        restored = ada.put("/v1/catalogue", json={"text": text})
        assert restored.json()["number"] == made.json()["number"] + 1
        second("route_unknown")


def test_an_admin_key_and_its_answers_are_known_on_both_nodes(nodes: Nodes) -> None:
    with nodes.first.sign_in() as ada:
        made = ada.post("/v1/admin-keys", json={"label": "Shop"}).json()
        authorization = {"Authorization": f"Bearer {made['key']}"}
        first, second = (
            httpx.Client(base_url=f"http://127.0.0.1:{each.port}", headers=authorization)
            for each in (nodes.first, nodes.second)
        )
        with first, second:
            # The other node's copy may lack it yet.
            put = second.put("/v1/companies/by-external-id/1", json={"name": "Customer"})
            assert put.status_code == 201
            body, keyed = {"label": "gateway"}, {"Idempotency-Key": "order-4711-attempt"}
            answers = [
                client.post("/v1/verifier-keys", json=body, headers=keyed)
                for client in (first, second, first)
            ]
            assert {answer.status_code for answer in answers} == {201}
            assert len({answer.content for answer in answers}) == 1
            ended = ada.post(f"/v1/admin-keys/{made['id']}/deactivate")
            assert ended.json()["status"] == "deactivated"
            assert first.get("/v1/companies").status_code == 401
            until(lambda: second.get("/v1/companies").status_code == 401)


def test_a_portal_session_is_known_and_ends_on_both_nodes(nodes: Nodes) -> None:
    page = {"Origin": "https://shop.example"}
    with nodes.first.sign_in() as ada:
        account = {"name": "Jobs", "role": "customer-service"}
        key = ada.post("/v1/admin-keys", json={"label": "Portal"}).json()
        opened = ada.post(
            "/v1/portal-sessions",
            json={
                "company": ada.get("/v1/me").json()["company"]["id"],
                "owner": {"id": ada.post("/v1/service-accounts", json=account).json()["id"]},
                "origins": list(page.values()),
                "expires_in": 600,
            },
            headers={"Authorization": f"Bearer {key['key']}"},
        ).json()
        first, second = (
            httpx.Client(base_url=f"http://127.0.0.1:{each.port}", headers=page)
            for each in (nodes.first, nodes.second)
        )
        with first, second:
            code = {"code": opened["code"]}
            redeemed = second.post("/v1/portal-sessions/redeem", json=code)
            assert redeemed.status_code == 201, redeemed.text
            assert first.post("/v1/portal-sessions/redeem", json=code).status_code == 410
            for client in (first, second):
                client.headers["Authorization"] = f"Bearer {redeemed.json()['token']}"
                # Whichever node's copy lacks it yet.
                assert client.get("/v1/me").json()["kind"] == "portal"
            ada.post(f"/v1/admin-keys/{key['id']}/deactivate").raise_for_status()
            assert first.get("/v1/me").json()["reason"] == "token_deactivated"
            until(lambda: second.get("/v1/me").status_code == 401)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_node_may_stop_under_load(nodes: Nodes, how: signal.Signals) -> None:
    """No acknowledged change is lost, every request is answered, and no answer is wrong."""
    client = nodes.client(nodes.dashboard)
    lasting = new_token(client, "lasting")
    _until(nodes.first, lasting["token"], "allowed")
    _until(nodes.second, lasting["token"], "allowed")
    load = _Load(nodes, client, lasting["token"])
    with load:
        load.until(ended=4)
        if how is signal.SIGTERM:
            assert nodes.second.stop() == 0
        else:
            nodes.second.kill()
        load.until(ended=len(load.ended) + 4)
        nodes.second.start()
        load.until(ended=len(load.ended) + 2)
    assert load.wrong == []
    # A node that is back has every change.
    for node in (nodes.first, nodes.second):
        for token in load.ended:
            assert node.verify(token, permission="charges:get")["reason"] == "token_deactivated"


class _Load:
    """Creates and deactivates tokens, and asks about an active one, through nginx.

    Attributes:
        ended: the texts whose end was acknowledged.
        wrong: answers that should not have been given.
    """

    def __init__(self, nodes: Nodes, client: httpx.Client, lasting: str) -> None:
        self._nodes = nodes
        self._client = client
        self._lasting = lasting
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=work) for work in (self._end, self._ask, self._ask)
        ]
        self.ended: list[str] = []
        self.wrong: list[object] = []

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()

    def until(self, *, ended: int) -> None:
        until(lambda: len(self.ended) >= ended)

    def _end(self) -> None:
        while not self._stopped.is_set():
            # A request to a node that stopped has no answer, so nothing was acknowledged.
            with contextlib.suppress(httpx.HTTPError):
                body = {"label": "short-lived", "kind": "api", "permissions": ["charges:*"]}
                made = self._client.post("/v1/access-tokens", json=body).raise_for_status().json()
                end = f"/v1/access-tokens/{made['id']}/deactivate"
                self._client.post(end).raise_for_status()
                self.ended.append(made["token"])

    def _ask(self) -> None:
        key = {"Authorization": f"Bearer {self._nodes.first.verifier_key}"}
        with httpx.Client(base_url=self._nodes.decisions, headers=key) as asking:
            while not self._stopped.is_set():
                body = {"token": self._lasting, "permission": "charges:get"}
                answer = asking.post("/v1/verify", json=body)
                if answer.status_code != 200 or not answer.json()["allowed"]:
                    self.wrong.append((answer.status_code, answer.text))
                time.sleep(0.002)


def _until(node: ServedInstallation, token: str, reason: str) -> None:
    until(lambda: node.verify(token, permission="charges:get")["reason"] == reason)
