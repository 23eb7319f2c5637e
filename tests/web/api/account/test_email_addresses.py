"""E-mail address changes over REST, and the link in the mail."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from gatepass.core.errors import Unavailable
from gatepass.registry.membership import email_changes
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import fields, reasons
from tests.support.mail.mailbox import Mailbox, link_in

ADA = "ada@example.com"
BOB = "bob@example.com"
NEW = "new@example.com"


@pytest.fixture
def more_settings(mailbox: Mailbox) -> dict[str, Any]:
    return {"smtp_url": mailbox.url}


def request_own(client: httpx.Client, email: str = NEW, password: str = PASSWORD) -> httpx.Response:
    return client.post("/v1/me/email", json={"email": email, "password": password})


def mails(installation: Installation, mailbox: Mailbox, number: int) -> dict[str, str]:
    """Send the mail that is due; the latest text by recipient."""
    installation.node.mailing.send_due()
    mailbox.wait(number)
    found = {}
    for message in mailbox.messages:
        part = message.get_body(("plain",))
        assert part is not None
        found[str(message["To"])] = " ".join(part.get_content().split())
    return found


def path_of_link(mailbox: Mailbox) -> str:
    message = next(one for one in mailbox.messages if "Confirm" in one["Subject"])
    return httpx.URL(link_in(message)).path


def signs_in(installation: Installation, email: str) -> bool:
    body = {"email": email, "password": PASSWORD}
    return installation.client().post("/v1/authentications", json=body).status_code == 201


def test_users_change_their_own_address(any_installation: Installation, mailbox: Mailbox) -> None:
    ada = any_installation.signed_in()
    assert ada.get("/v1/me/email").json() == {
        "user": any_installation.ada.id,
        "email": ADA,
        "pending": None,
    }
    answer = request_own(ada)
    assert answer.status_code == 202, answer.text
    said = answer.json()
    assert (said["email"], said["pending"]["email"]) == (ADA, NEW)
    assert said["pending"]["requested_by"] == any_installation.ada.id
    assert ada.get("/v1/me/email").json() == said
    told = mails(any_installation, mailbox, 2)
    assert set(told) == {ADA, NEW}
    assert "Otherwise, reset your password, which cancels the change" in told[ADA]
    assert NEW in told[ADA]
    assert ADA not in told[NEW], "a mistyped address is a stranger's"
    path = path_of_link(mailbox)
    assert path.startswith("/email-changes/gpec_")
    stranger = any_installation.client()
    for _ in range(2):
        page = stranger.get(path)
        assert page.status_code == 200
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
    assert signs_in(any_installation, ADA)
    done = stranger.post(path, follow_redirects=False)
    assert done.status_code == 303
    assert done.headers["referrer-policy"] == "no-referrer"
    assert path.rpartition("/")[2] not in done.headers["location"]
    assert (signs_in(any_installation, ADA), signs_in(any_installation, NEW)) == (False, True)
    assert ada.get("/v1/me").json()["user"]["email"] == NEW, "who is signed in stays so"
    assert "was changed" in mails(any_installation, mailbox, 3)[ADA]
    for method in ("GET", "POST"):
        broken = stranger.request(method, path)
        assert broken.status_code == 410
        assert "This e-mail address link is broken" in broken.text
        assert broken.headers["referrer-policy"] == "no-referrer"
    events = ada.get("/v1/audit-events", params={"kind": "users"}).json()["items"]
    assert [event["action"] for event in events[:2]] == [
        "user.email_changed",
        "user.email_change_requested",
    ]


def test_fifty_concurrent_confirmations_change_it_once(
    any_installation: Installation, mailbox: Mailbox
) -> None:
    request_own(any_installation.signed_in())
    mails(any_installation, mailbox, 2)
    path = path_of_link(mailbox)

    def follow(_: int) -> int:
        return any_installation.client().post(path, follow_redirects=False).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(follow, range(50)))
    assert statuses == [303] + [410] * 49


@pytest.mark.parametrize("token", ["", "x", "gpec_", "gpiv_" + "a" * 54, "%00", "..%2f", "é"])
def test_an_invalid_link_is_broken(installation: Installation, token: str) -> None:
    for method in ("GET", "POST"):
        answer = installation.client().request(method, f"/email-changes/{token}")
        assert answer.status_code in (404, 410), answer.text


def test_a_committed_request_is_answered_without_the_database(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is committed and mail goes out, so 503 would be wrong."""

    def away(*_: object) -> None:
        raise Unavailable("The database can't be used right now.")

    def request_own_and_lose_the_database(*args: Any, **named: Any) -> Any:
        made = asked(*args, **named)
        monkeypatch.setattr(installation.node.database, "read", away)
        return made

    asked = email_changes.request_own
    ada = installation.signed_in()
    with monkeypatch.context() as patched:
        patched.setattr(email_changes, "request_own", request_own_and_lose_the_database)
        answer = request_own(ada)
    assert answer.status_code == 202
    assert answer.json()["email"] == ADA
    assert answer.json()["pending"]["email"] == NEW


def test_a_wrong_password_is_422_and_throttled(ada: httpx.Client) -> None:
    answer = request_own(ada, password="not the password at all")
    assert (answer.status_code, fields(answer)) == (422, ["password"])
    assert reasons(request_own(ada, "ada@example.com")) == (422, "invalid")
    for body, field in (
        ({"email": NEW}, "password"),
        ({"email": "x", "password": PASSWORD}, "email"),
        ({"email": NEW, "password": PASSWORD, "user": "x"}, "user"),
    ):
        answer = ada.post("/v1/me/email", json=body)
        assert (answer.status_code, fields(answer)) == (422, [field])
    for _ in range(10):
        request_own(ada, password="not the password at all")
    throttled = request_own(ada)
    assert (throttled.status_code, throttled.json()["reason"]) == (429, "too_many_attempts")
    assert int(throttled.headers["retry-after"]) > 0


def test_an_administrator_changes_a_colleagues_address(
    installation: Installation, ada: httpx.Client, mailbox: Mailbox
) -> None:
    bob = installation.new_user(BOB, "Bob Manager", role="manager")
    path = f"/v1/users/{bob.id}/email"
    tag = ada.get(f"/v1/users/{bob.id}").headers["etag"]
    answer = ada.post(path, json={"email": NEW}, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["pending"]["email"]) == (202, NEW)
    assert ada.get(path).json() == answer.json()
    told = mails(installation, mailbox, 2)
    assert "Ada Lovelace asked to change" in told[BOB]
    link = path_of_link(mailbox)
    assert installation.client().post(link, follow_redirects=False).status_code == 303
    assert ada.get(f"/v1/users/{bob.id}").json()["email"] == NEW
    late = ada.post(path, json={"email": BOB}, headers={"If-Match": tag})
    assert reasons(late) == (409, "changed_meanwhile")
    assert late.json()["current"]["email"] == NEW


def test_the_user_and_an_administrator_can_cancel(
    installation: Installation, mailbox: Mailbox
) -> None:
    ada = installation.signed_in()
    bob = installation.new_user(BOB, "Bob Manager", role="manager")
    path = f"/v1/users/{bob.id}/email"
    theirs = installation.signed_in(BOB)
    for cancel in (
        lambda: theirs.post("/v1/me/email/cancel"),
        lambda: ada.post(f"{path}/cancel", json={}),
    ):
        mailbox.messages.clear()
        ada.post(path, json={"email": NEW})
        mails(installation, mailbox, 2)
        link = path_of_link(mailbox)
        for _ in range(2):
            answer = cancel()
            assert (answer.status_code, answer.json()["pending"]) == (200, None)
        assert installation.client().get(link).status_code == 410


def test_each_operation_needs_its_permission(installation: Installation, ada: httpx.Client) -> None:
    other = installation.new_user(BOB, "Bob Admin")
    manager = installation.new_user("mona@example.com", "Mona", role="manager")
    program = installation.client(installation.access_token("users:*"))
    stranger = installation.client()
    bob, mona = installation.signed_in(BOB), installation.signed_in(manager.email)
    theirs, operators = f"/v1/users/{other.id}/email", f"/v1/users/{installation.ada.id}/email"
    asked: list[tuple[httpx.Client, str, tuple[int, str]]] = [
        (stranger, theirs, (401, "token_missing")),
        (program, theirs, (403, "signed_in_user_required")),
        (mona, theirs, (403, "permission_missing")),
        (bob, operators, (403, "operator_required")),
        (ada, operators, (409, "own_email")),
        (ada, "/v1/users/usr_0000000000000000/email", (404, "not_found")),
    ]
    for client, path, refusal in asked:
        assert reasons(client.post(path, json={"email": NEW})) == refusal
    assert reasons(bob.post(f"{operators}/cancel", json={})) == (403, "operator_required")
    assert reasons(program.get("/v1/me/email")) == (403, "signed_in_user_required")
    own = {"email": NEW, "password": PASSWORD}
    assert reasons(program.post("/v1/me/email", json=own)) == (403, "signed_in_user_required")


def test_taken_addresses_are_refused(installation: Installation, ada: httpx.Client) -> None:
    installation.new_user(BOB, "Bob")
    installation.new_user("carl@example.com", company=installation.new_company("Contoso"))
    body = {"email": "asked@example.com", "role": "reporting"}
    assert ada.post("/v1/invitations", json=body).status_code == 201
    assert reasons(request_own(ada, BOB.upper())) == (409, "email_taken")
    assert reasons(request_own(ada, "asked@example.com")) == (409, "invitation_pending")
    # A wrong password comes first: no account is disclosed.
    assert fields(request_own(ada, BOB, "not the password at all")) == ["password"]


def test_another_companys_address_is_disclosed_only_to_its_mailbox(
    installation: Installation, ada: httpx.Client, mailbox: Mailbox
) -> None:
    installation.new_user("carl@example.com", company=installation.new_company("Contoso"))
    answer = request_own(ada, "carl@example.com")
    assert answer.status_code == 202
    told = mails(installation, mailbox, 2)
    assert "Choose another address" in told["carl@example.com"]
    (message,) = (one for one in mailbox.messages if one["To"] == "carl@example.com")
    path = httpx.URL(link_in(message)).path
    page = installation.client().get(path)
    assert page.status_code == 410
    assert "another company" in page.text
    assert "Contoso" not in page.text + told["carl@example.com"]
    assert ada.get("/v1/me/email").json() == answer.json()


def test_requests_are_limited_per_hour(ada: httpx.Client) -> None:
    statuses = [request_own(ada, f"n{number}@example.com").status_code for number in range(6)]
    assert statuses == [202] * 5 + [429]
    refused = request_own(ada)
    assert int(refused.headers["retry-after"]) > 3000
    assert "failed" not in refused.json()["detail"]


def test_the_link_is_never_logged(
    installation: Installation, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG"):
        request_own(installation.signed_in())
        mails(installation, mailbox, 2)
        path = path_of_link(mailbox)
        for _ in range(2):
            installation.client().get(path)
            installation.client().post(path)
    secret: Any = path.rpartition("_")[2][16:]
    ours = [one for one in caplog.records if one.name.startswith("gatepass")]
    assert not any(secret in one.getMessage() for one in ours)
