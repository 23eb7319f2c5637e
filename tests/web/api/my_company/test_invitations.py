"""``/v1/invitations``, mail included."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.apps.installation import PASSWORD, Installation, Open
from tests.support.apps.problems import reasons
from tests.support.mail.mailbox import Mailbox

NEW = "new@example.com"
LIFETIME = 259_200_000


@pytest.fixture
def more_settings(mailbox: Mailbox) -> dict[str, Any]:
    return {"smtp_url": mailbox.url}


def invite(client: httpx.Client, email: str = NEW, role: str = "reporting") -> Any:
    answer = client.post("/v1/invitations", json={"email": email, "role": role})
    assert answer.status_code == 201, answer.text
    return answer.json()


def accept(installation: Installation, token: str, **fields: Any) -> httpx.Response:
    ordinary = {"token": token, "name": "Nell", "password": PASSWORD}
    return installation.client().post("/v1/invitations/accept", json=ordinary | fields)


def sent(installation: Installation, mailbox: Mailbox) -> str:
    """The token of the latest mail, sent now or by the running node."""
    installation.node.mailing.send_due()
    mailbox.wait()
    return mailbox.token()


def test_an_invited_user_accepts_and_signs_in(installation: Installation, mailbox: Mailbox) -> None:
    ada = installation.signed_in()
    made = invite(ada)
    assert set(made) == {
        "id", "email", "role", "status", "created_at", "expires_at", "invited_by",
        "invited_by_name", "delivered_at", "delivery_trouble",
    }  # fmt: skip
    assert (made["status"], made["delivered_at"]) == ("pending", None)
    assert made["invited_by"] == installation.ada.id
    token = sent(installation, mailbox)
    assert mailbox.link() == f"http://127.0.0.1:8787/invitations/{token}"
    (listed,) = ada.get("/v1/invitations").json()["items"]
    assert listed["delivered_at"] is not None
    answer = accept(installation, token)
    assert answer.status_code == 201
    user = answer.json()
    assert {key: user[key] for key in ("name", "email", "role", "status")} == {
        "name": "Nell",
        "email": NEW,
        "role": "reporting",
        "status": "active",
    }
    assert installation.signed_in(NEW).get("/v1/me").json()["user"]["id"] == user["id"]
    (listed,) = ada.get("/v1/invitations").json()["items"]
    assert listed["status"] == "accepted"


def test_every_broken_link_is_410(installation: Installation, mailbox: Mailbox) -> None:
    ada = installation.signed_in()
    made = invite(ada)
    token = sent(installation, mailbox)
    assert ada.post(f"/v1/invitations/{made['id']}/resend", json={}).status_code == 200
    for broken in (token, token[:-1], "", "gpiv_", "\u0000", token + "\n"):
        # Checked before the other fields.
        answer = accept(installation, broken, name="", password="")
        assert answer.status_code == 410
        assert answer.json()["reason"] == "invitation_broken"
        assert answer.json()["detail"] == "This invitation link is broken"
        assert answer.headers["content-type"] == "application/problem+json"
    again = sent(installation, mailbox)
    assert accept(installation, again, name="").json()["errors"][0]["field"] == "name"
    assert ada.post(f"/v1/invitations/{made['id']}/deactivate").json()["status"] == "deactivated"
    assert accept(installation, again).status_code == 410


def test_a_link_expires_after_72_hours(
    installation: Installation, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = installation.node.clock
    started = clock.now()
    monkeypatch.setattr(clock, "now", lambda: started)
    invite(installation.signed_in())
    token = sent(installation, mailbox)
    monkeypatch.setattr(clock, "now", lambda: started + LIFETIME)
    assert accept(installation, token).status_code == 410
    monkeypatch.setattr(clock, "now", lambda: started + LIFETIME - 1)
    assert accept(installation, token).status_code == 201


def test_fifty_concurrent_acceptances_create_one_user(
    any_installation: Installation, mailbox: Mailbox
) -> None:
    invite(any_installation.signed_in())
    token = sent(any_installation, mailbox)
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: accept(any_installation, token), range(50)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201] + [410] * 49
    events = any_installation.signed_in().get("/v1/audit-events?action=user.created").json()
    assert len([one for one in events["items"] if one["subject"]["name"] == "Nell"]) == 1


def test_a_taken_address_is_409(ada: httpx.Client) -> None:
    invite(ada)
    for email, reason in ((NEW, "invitation_pending"), ("ADA@example.com", "email_taken")):
        answer = ada.post("/v1/invitations", json={"email": email, "role": "reporting"})
        assert reasons(answer) == (409, reason)


def test_a_deactivated_user_can_be_invited_again(
    any_installation: Installation, mailbox: Mailbox
) -> None:
    ada = any_installation.signed_in()
    invite(ada)
    first = accept(any_installation, sent(any_installation, mailbox)).json()
    assert invite_again(ada, "email_taken") == 409
    ended = ada.post(f"/v1/users/{first['id']}/deactivate", json={})
    assert ended.status_code == 200
    mailbox.messages.clear()
    invite(ada)
    token = sent(any_installation, mailbox)
    with ThreadPoolExecutor(10) as pool:
        statuses = [
            answer.status_code
            for answer in pool.map(lambda _: accept(any_installation, token), range(50))
        ]
    assert sorted(statuses) == [201] + [410] * 49
    found = ada.get("/v1/users", params={"q": NEW}).json()["items"]
    assert [user["status"] for user in found] == ["active", "deactivated"]
    assert any_installation.signed_in(NEW).get("/v1/me").json()["user"]["id"] == found[0]["id"]
    assert found[1]["id"] == first["id"]


def invite_again(client: httpx.Client, reason: str) -> int:
    answer = client.post("/v1/invitations", json={"email": NEW, "role": "reporting"})
    assert answer.json()["reason"] == reason
    return answer.status_code


def test_another_companys_user_is_disclosed_only_to_their_mailbox(
    installation: Installation, ada: httpx.Client, mailbox: Mailbox
) -> None:
    installation.new_user("carl@example.com", company=installation.new_company("Contoso"))
    answers = {}
    for email in ("carl@example.com", "nobody@example.com"):
        mailbox.messages.clear()
        mailbox.recipients.clear()
        made = invite(ada, email)
        path = f"/v1/invitations/{made['id']}"
        sent(installation, mailbox)
        assert mailbox.recipients == [email]
        mailbox.messages.clear()
        again = ada.post(f"{path}/resend", json={})
        assert again.status_code == 200
        seen = [made, again.json(), *ada.get("/v1/invitations").json()["items"][:1]]
        answers[email] = [
            {key: type(value) for key, value in one.items()} | {"status": one["status"]}
            for one in seen
        ]
        link = f"/invitations/{sent(installation, mailbox)}"
        text = " ".join(str(mailbox.messages[-1].get_body(("plain",))).split())
        opened = installation.client().get(link)
        taken = email == "carl@example.com"
        assert ("invite you at another address" in text) is taken
        assert opened.status_code == (410 if taken else 200)
        assert ("This invitation link is broken" in opened.text) is taken
        token = link.rpartition("/")[2]
        accepted = accept(installation, token)
        assert accepted.status_code == (410 if taken else 201)
        if taken:
            assert accepted.json()["detail"] == "This invitation link is broken"
            assert "Contoso" not in opened.text + text
    assert answers["carl@example.com"] == answers["nobody@example.com"]


def test_each_operation_needs_its_permission(installation: Installation) -> None:
    made = invite(installation.signed_in())
    rita = installation.joined("rita@example.com", role="reporting")
    program = installation.client(installation.access_token("users:*"))
    stranger = installation.client()
    ask: list[tuple[str, str, Any]] = [
        ("POST", "/v1/invitations", {"email": "x@example.com", "role": "reporting"}),
        ("POST", f"/v1/invitations/{made['id']}/resend", {}),
        ("POST", f"/v1/invitations/{made['id']}/deactivate", {}),
    ]
    for method, path, body in ask:
        assert stranger.request(method, path, json=body).status_code == 401
        assert reasons(rita.request(method, path, json=body)) == (403, "permission_missing")
        assert reasons(program.request(method, path, json=body)) == (403, "signed_in_user_required")
    for client in (program, rita):
        assert reasons(client.get("/v1/invitations")) == (403, "permission_missing")
    manager = installation.new_user("mona@example.com", role="manager")
    answer = installation.signed_in(manager.email).post(
        "/v1/invitations", json={"email": "x@example.com", "role": "admin"}
    )
    assert reasons(answer) == (403, "permission_missing")


def test_another_companys_invitation_is_404(installation: Installation) -> None:
    made = invite(installation.signed_in())
    carl = installation.of_another_company()
    for action in ("resend", "deactivate"):
        assert carl.post(f"/v1/invitations/{made['id']}/{action}", json={}).status_code == 404
    assert carl.get("/v1/invitations").json()["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "x", "role": "reporting"}, "email"),
        ({"email": NEW, "role": "emperor"}, "role"),
        ({"email": NEW}, "role"),
        ({"email": [NEW], "role": "reporting"}, "email"),
        ({"email": NEW, "role": "reporting", "operator": True}, "operator"),
    ],
)
def test_an_invalid_field_is_named(installation: Installation, body: Any, field: str) -> None:
    answer = installation.signed_in().post("/v1/invitations", json=body)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_accepting_is_not_throttled_by_address(
    installation: Installation, mailbox: Mailbox
) -> None:
    invite(installation.signed_in())
    token = sent(installation, mailbox)
    with ThreadPoolExecutor(8) as pool:
        tried = list(pool.map(lambda _: accept(installation, "gpiv_").status_code, range(150)))
    assert set(tried) == {410}
    assert accept(installation, token).status_code == 201


def test_accepting_from_outside_the_allowlist_is_refused(
    installation: Installation, mailbox: Mailbox
) -> None:
    invite(installation.signed_in())
    token = sent(installation, mailbox)
    installation.allow_only("203.0.113.0/24")
    assert reasons(accept(installation, token)) == (403, "company_address_not_allowed")
    assert accept(installation, token[:-1]).status_code == 410
    from_there = installation.client()
    from_there.headers["X-Forwarded-For"] = "garbage"
    fields = {"token": token, "name": "Nell", "password": PASSWORD}
    assert from_there.post("/v1/invitations/accept", json=fields).status_code == 403
    from_there.headers["X-Forwarded-For"] = "203.0.113.9"
    assert from_there.post("/v1/invitations/accept", json=fields).status_code == 201


def test_an_unreachable_mail_server_fails_no_request(
    open_installation: Open, sqlite_url: str
) -> None:
    installation = open_installation(sqlite_url, smtp_url="smtp://127.0.0.1:1")
    ada = installation.signed_in()
    made = invite(ada)
    installation.node.mailing.send_due()
    (listed,) = ada.get("/v1/invitations").json()["items"]
    assert (listed["id"], listed["status"], listed["delivered_at"]) == (made["id"], "pending", None)
    assert listed["delivery_trouble"] == "The mail server refuses connections."


def test_a_running_node_sends_the_mail(
    open_installation: Open, sqlite_url: str, mailbox: Mailbox
) -> None:
    installation = open_installation(sqlite_url, smtp_url=mailbox.url)
    installation.node.start()
    invite(installation.signed_in())
    mailbox.wait()


def test_without_a_mail_server_the_inviter_can_take_the_link(
    open_installation: Open, database_url: str
) -> None:
    installation = open_installation(database_url)
    ada = installation.signed_in()
    made = invite(ada)
    installation.node.mailing.send_due()
    (listed,) = ada.get("/v1/invitations").json()["items"]
    assert listed["delivered_at"] is None
    assert listed["delivery_trouble"] in (None, "No mail server was configured to send it.")
    tokens = []
    for _ in range(2):
        answer = ada.post(f"/v1/invitations/{made['id']}/link", json={})
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        taken = answer.json()
        assert set(taken) == set(made) | {"url"}
        assert (taken["id"], taken["delivered_at"]) == (made["id"], None)
        start, _, token = taken["url"].rpartition("/")
        assert start == "http://127.0.0.1:8787/invitations"
        tokens.append(token)
    assert "url" not in ada.get("/v1/invitations").json()["items"][0]
    first, second = tokens
    # A new link invalidates the previous one.
    assert accept(installation, first).status_code == 410
    assert accept(installation, second).status_code == 201
    events = ada.get("/v1/audit-events?kind=invitations").json()["items"]
    assert [one["action"] for one in events] == [
        "invitation.accepted", "invitation.link_taken", "invitation.link_taken",
        "invitation.not_mailed", "invitation.created",
    ]  # fmt: skip
    answer = ada.post(f"/v1/invitations/{made['id']}/link", json={})
    assert reasons(answer) == (409, "invitation_ended")


def test_with_a_mail_server_only_the_invited_mailbox_gets_a_link(
    installation: Installation, ada: httpx.Client, mailbox: Mailbox
) -> None:
    """Otherwise an inviter could take over an account with another person's address."""
    made = invite(ada)
    token = sent(installation, mailbox)
    answer = ada.post(f"/v1/invitations/{made['id']}/link", json={})
    assert reasons(answer) == (409, "link_goes_by_mail")
    assert "gpiv_" not in answer.text
    # The link in the mail stays valid.
    assert accept(installation, token).status_code == 201


def test_taking_a_link_needs_the_permission(open_installation: Open, sqlite_url: str) -> None:
    installation = open_installation(sqlite_url)
    made = invite(installation.signed_in(), role="admin")
    path = f"/v1/invitations/{made['id']}/link"
    installation.new_user("rita@example.com", role="reporting")
    installation.new_user("mona@example.com", role="manager")
    program = installation.client(installation.access_token("users:*"))
    for client, status, reason in (
        (installation.client(), 401, "token_missing"),
        (program, 403, "signed_in_user_required"),
        (installation.signed_in("rita@example.com"), 403, "permission_missing"),
        # She doesn't hold what the role grants.
        (installation.signed_in("mona@example.com"), 403, "permission_missing"),
        (installation.of_another_company(), 404, "not_found"),
    ):
        assert reasons(client.post(path, json={})) == (status, reason)
