"""``/v1/webhooks``: managing webhooks, and what was sent to them."""

from typing import Any

import httpx
import pytest

from gatepass.core.networks import parse_network
from gatepass.node.webhook_requests import Requests
from gatepass.registry.audit.kinds import KINDS
from gatepass.registry.audit.webhook_events import EVENTS
from tests.support.apps.installation import Installation, Open
from tests.support.apps.problems import fields, reasons
from tests.support.apps.stored import everything
from tests.support.waiting import until
from tests.support.webhooks.certificates import Certificates
from tests.support.webhooks.receiver import Receiver, status

HOOK = {"url": "https://hooks.example.com/gatepass", "events": ["access_token.*", "user.created"]}
PATH = "/v1/webhooks"


@pytest.fixture
def boss(installation: Installation) -> httpx.Client:
    """An administrator who is no operator."""
    return installation.joined("boss@example.com", "Boss")


def test_a_webhook_from_creation_to_deletion(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    made = ada.post(PATH, json=HOOK)
    assert made.status_code == 201, made.text
    webhook = made.json()
    assert webhook.pop("secret").startswith("whsec_")
    assert webhook["url"] == HOOK["url"]
    assert webhook["events"] == HOOK["events"]
    assert (webhook["status"], webhook["paused_because"]) == ("active", None)
    path = f"{PATH}/{webhook['id']}"
    assert made.headers["location"] == path
    got = ada.get(path)
    assert (got.json(), got.headers["etag"]) == (webhook, made.headers["etag"])
    assert ada.get(PATH).json() == {"items": [webhook], "next": None}

    match = {"If-Match": got.headers["etag"]}
    paused = ada.patch(path, json={"paused": True}, headers=match)
    assert (paused.json()["status"], paused.json()["paused_because"]) == ("paused", "requested")
    for late in (
        ada.patch(path, json={"events": ["user.*"]}, headers=match),
        ada.delete(path, headers=match),
    ):
        assert reasons(late) == (409, "changed_meanwhile")
        assert late.json()["current"] == paused.json()
    resumed = ada.patch(path, json={"paused": False})
    assert resumed.json() == webhook
    rotated = ada.post(f"{path}/rotate-secret").json()
    assert rotated.pop("secret") != made.json()["secret"]
    assert rotated.pop("former_secret_until") is not None
    assert ada.delete(path).status_code == 204
    assert ada.get(path).status_code == ada.delete(path).status_code == 404
    events = ada.get("/v1/audit-events?kind=webhooks").json()["items"]
    assert [event["action"] for event in reversed(events)] == [
        "webhook.created",
        *["webhook.modified"] * 2,
        "webhook.secret_rotated",
        "webhook.deleted",
    ]


def test_the_secret_is_stored_encrypted_and_the_url_is_in_no_log(
    installation: Installation,
) -> None:
    ada = installation.signed_in()
    url = "https://hooks.example.com/services/very-secret"
    made = ada.post(PATH, json={**HOOK, "url": url}).json()
    stored = str(everything(installation))
    assert made["secret"].removeprefix("whsec_") not in stored
    audited = ada.get("/v1/audit-events").text
    assert "hooks.example.com" in audited
    assert "very-secret" not in audited


def test_the_key_is_created_once_for_secrets_of_all_kinds(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.post(PATH, json=HOOK)
    key = installation.node.encryption_key.path
    kept = key.read_bytes()
    key.unlink()
    installation.node.encryption_key._key = None
    refused = ada.post(PATH, json=HOOK)
    assert reasons(refused) == (503, "unavailable")
    key.write_bytes(kept)
    assert ada.post(PATH, json=HOOK).status_code == 201


def test_only_administrators_manage_webhooks(
    installation: Installation, boss: httpx.Client
) -> None:
    path = f"{PATH}/{boss.post(PATH, json=HOOK).json()['id']}"
    manager = installation.joined("grace@example.com", role="manager")
    token = installation.client(installation.access_token("company:*", "users:*"))
    for client in (manager, token):
        assert reasons(client.get(PATH)) == (403, "permission_missing")
        assert reasons(client.get(path)) == (403, "permission_missing")
        assert reasons(client.get(f"{path}/deliveries")) == (403, "permission_missing")
    for action in ("rotate-secret", "test"):
        assert reasons(manager.post(f"{path}/{action}")) == (403, "permission_missing")
        assert reasons(token.post(f"{path}/{action}")) == (403, "signed_in_user_required")
    assert reasons(manager.post(PATH, json=HOOK)) == (403, "permission_missing")
    assert reasons(manager.patch(path, json={"paused": True})) == (403, "permission_missing")
    assert reasons(manager.delete(path)) == (403, "permission_missing")
    named = installation.signed_in().post(
        "/v1/access-tokens",
        json={"label": "x", "kind": "api", "permissions": ["company:webhooks"]},
    )
    assert fields(named) == ["permissions.0"]


def test_another_companys_webhook_does_not_exist(
    installation: Installation, boss: httpx.Client
) -> None:
    path = f"{PATH}/{boss.post(PATH, json=HOOK).json()['id']}"
    delivery = boss.post(f"{path}/test").json()["id"]
    other = installation.of_another_company()
    own = f"{PATH}/{other.post(PATH, json=HOOK).json()['id']}"
    assert len(other.get(PATH).json()["items"]) == 1
    for method, where in (
        ("GET", path),
        ("PATCH", path),
        ("DELETE", path),
        ("POST", f"{path}/rotate-secret"),
        ("POST", f"{path}/test"),
        ("GET", f"{path}/deliveries"),
        ("POST", f"{path}/deliveries/{delivery}/resend"),
        ("POST", f"{own}/deliveries/{delivery}/resend"),
    ):
        json = {} if method in ("PATCH", "POST") else None
        assert reasons(other.request(method, where, json=json)) == (404, "not_found"), where


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example.com", "http://hooks.example.com/", "ftp://hooks.example.com/"),
        *("https://", "https:///path", "https://user@hooks.example.com/", "https://u:p@h.example/"),
        *("https://hooks.example.com:22/", "https://hooks.example.com:80/"),
        *("https://hooks.example.com:65536/", "https://hooks.example.com:0443/"),
        *("https://hooks.example.com/#here", "https://hooks.example.com/a b"),
        *("https://hooks.example.com/\u00e4", "https://hooks.example.com\\@evil.example/"),
        *(
            "https://hooks.example.com/\n",
            "https://hooks .example.com/",
            "https://hooks_x.example/",
        ),
        "https://hooks.example.com/" + "x" * 2_000,
        # Addresses that aren't globally reachable, in each spelling.
        *("https://127.0.0.1/", "https://127.0.0.1:8443/", "https://10.1.2.3/"),
        *("https://169.254.169.254/latest", "https://[::1]/", "https://[::ffff:127.0.0.1]/"),
        *("https://[::ffff:7f00:1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/"),
        *("https://[fd00:ec2::254]/", "https://[fe80::1%25eth0]/", "https://0.0.0.0/"),
        *("https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/"),
        *("https://127.0.0.1./", "https://[2001:0:a00:1:8000:63bf:3f58:ffd2]/"),
        "https://\uff11\uff12\uff17.0.0.1/",
    ],
)
def test_urls_that_no_webhook_may_have(boss: httpx.Client, url: str) -> None:
    refused = boss.post(PATH, json={**HOOK, "url": url})
    assert fields(refused) == ["url"], refused.text


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://Hooks.Example.com", "https://hooks.example.com/"),
        ("HTTPS://hooks.example.com:443/x", "https://hooks.example.com/x"),
        ("https://hooks.example.com:1024/?a=b", "https://hooks.example.com:1024/?a=b"),
        ("https://hooks.example.com?a=b", "https://hooks.example.com/?a=b"),
        ("https://b\u00fccher.example/", "https://xn--bcher-kva.example/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700::1111]:65535/", "https://[2606:4700::1111]:65535/"),
    ],
)
def test_urls_in_their_canonical_spelling(boss: httpx.Client, url: str, stored: str) -> None:
    assert boss.post(PATH, json={**HOOK, "url": url}).json()["url"] == stored


def test_events_that_are_offered(boss: httpx.Client) -> None:
    for events in ([], ["nothing.known"], ["*"], ["access_token.rotated_away"], ["USER.CREATED"]):
        refused = boss.post(PATH, json={**HOOK, "events": events})
        assert fields(refused) in (["events"], ["events.0"]), events
    every = boss.post(PATH, json={**HOOK, "events": [*EVENTS, *EVENTS[:3], "user.*"]})
    assert every.json()["events"] == ["user.*", *EVENTS]
    audited = {action for kind in KINDS.values() for action in kind.actions}
    # The log says how it was decided.
    assert set(EVENTS) - {"access_request.decided"} <= audited
    wanted = {"access_token.created", "user.deactivated", "invitation.accepted"}
    assert wanted | {"allowlist.changed", "authentication.created"} <= set(EVENTS)


def test_a_company_has_twenty(boss: httpx.Client) -> None:
    for _ in range(20):
        assert boss.post(PATH, json=HOOK).status_code == 201
    assert reasons(boss.post(PATH, json=HOOK)) == (409, "too_many_webhooks")


def test_a_repeated_creation_answers_with_the_same_secret(boss: httpx.Client) -> None:
    key = {"Idempotency-Key": "one-0123456789abcdef"}
    first, second = (boss.post(PATH, json=HOOK, headers=key).json() for _ in range(2))
    assert first == second
    assert len(boss.get(PATH).json()["items"]) == 1


def test_nothing_is_written_for_companies_without_webhooks(
    installation: Installation, boss: httpx.Client
) -> None:
    webhook = boss.post(PATH, json={**HOOK, "events": ["access_token.created"]}).json()
    stranger = installation.of_another_company()
    label = {"label": "x", "kind": "api", "permissions": ["charges:get"]}
    stranger.post("/v1/access-tokens", json=label)
    assert boss.get(f"{PATH}/{webhook['id']}/deliveries").json()["items"] == []
    made = boss.post("/v1/access-tokens", json=label).json()
    boss.patch(f"/v1/access-tokens/{made['id']}", json={"label": "y"})
    (delivery,) = boss.get(f"{PATH}/{webhook['id']}/deliveries").json()["items"]
    assert (delivery["event"], delivery["subject"]) == ("access_token.created", made["id"])
    assert delivery["status"] == "waiting"


def test_a_paused_webhook_is_not_tested(boss: httpx.Client) -> None:
    path = f"{PATH}/{boss.post(PATH, json=HOOK).json()['id']}"
    delivery = boss.post(f"{path}/test").json()
    # One that still waits is sent again, and no second one is written.
    assert boss.post(f"{path}/test").json()["id"] == delivery["id"]
    boss.patch(path, json={"paused": True})
    assert boss.get(f"{path}/deliveries").json()["items"][0]["next_attempt_at"] is None
    for action in ("test", f"deliveries/{delivery['id']}/resend"):
        assert reasons(boss.post(f"{path}/{action}")) == (409, "webhook_paused")


def test_an_operators_webhook_may_be_on_a_network_of_the_settings(
    open_installation: Open, sqlite_url: str, certificates: Certificates
) -> None:
    networks = (parse_network("127.0.0.0/8"),)
    installation = open_installation(sqlite_url, webhook_networks=networks)
    node = installation.node
    ada, boss = installation.signed_in(), installation.joined("boss@example.com")
    with Receiver(certificates) as receiver:
        local = {**HOOK, "url": receiver.url, "events": ["user.*"]}
        assert fields(boss.post(PATH, json=local)) == ["url"]
        assert fields(ada.post(PATH, json={**local, "url": "https://10.0.0.1/"})) == ["url"]
        path = f"{PATH}/{ada.post(PATH, json=local).json()['id']}"
        node.webhooks._requests = Requests(node.webhooks._networks, certificates.trusting())

        def settled(client: httpx.Client) -> Any:
            def step() -> Any:
                node.webhooks.send_due()
                (newest, *_) = client.get(f"{path}/deliveries").json()["items"]
                return newest if newest["attempts"] and newest["attempted_at"] else None

            return until(step)

        receiver.answer = status(202)
        ada.post(f"{path}/test")
        delivery = settled(ada)
        assert (delivery["status"], delivery["response_status"]) == ("delivered", 202)
        assert delivery["error"] is None
        assert receiver.received[0].event["type"] == "webhook.test"
        assert "body" not in delivery

        again = ada.post(f"{path}/deliveries/{delivery['id']}/resend").json()
        assert again["status"] == "waiting"
        # Received, and recorded: a test that still waits would be sent again instead of a new one.
        until(lambda: settled(ada)["status"] == "delivered" and len(receiver.received) == 2)
        first, second = receiver.received
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert first.body == second.body

        # A colleague who is no operator may change its events, and not where it is.
        assert boss.patch(path, json={"events": ["invitation.*"]}).status_code == 200
        assert fields(boss.patch(path, json={"url": receiver.url + "x"})) == ["url"]
        named = f"https://localhost:{receiver.port}/"
        assert boss.patch(path, json={"url": named}).status_code == 200
        boss.post(f"{path}/test")
        delivery = settled(boss)
        assert (delivery["status"], delivery["error"]) == ("failing", "address_not_allowed")
        assert delivery["response_status"] is None
        assert len(receiver.received) == 2
    node.webhooks.close()
