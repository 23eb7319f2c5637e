"""A second factor over REST: signing in with a code, and companies that require one."""

from typing import Any

import httpx
import pyotp
import pytest
from sqlalchemy import update

from gatepass.registry.actor import Actor
from gatepass.registry.authentication import totp, totp_enrolment
from gatepass.registry.storage.tables import companies
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import reasons


def enrol(installation: Installation, client: httpx.Client) -> tuple[str, list[str]]:
    """Set up a second factor for the user of *client*; its secret and recovery codes."""
    me = client.get("/v1/me").json()["user"]
    credential = client.headers["Authorization"].removeprefix("Bearer ")[:21]
    company = installation.company.id
    actor = Actor("user", company, me["id"], me["name"], frozenset({"*"}), credential, "127.0.0.1")
    reauthentication = installation.node.reauthentication
    secret, setup = totp_enrolment.begin(reauthentication, actor)
    code = pyotp.TOTP(secret).at(installation.node.clock.now() // 1000)
    enabled = totp_enrolment.enable(
        reauthentication, actor, setup=setup, password=PASSWORD, code=code
    )
    return secret, enabled.made


def attempt(installation: Installation, **body: Any) -> httpx.Response:
    given = {"email": "ada@example.com", "password": PASSWORD} | body
    return installation.client().post("/v1/authentications", json=given)


def require(installation: Installation, wanted: bool = True) -> None:
    with installation.write() as change:
        change.session.execute(update(companies).values(second_factor_required=wanted))


def test_every_wrong_code_gets_the_same_answer(any_installation: Installation) -> None:
    secret, recovery = enrol(any_installation, any_installation.signed_in())
    nobody = attempt(any_installation, email="nobody@example.com")
    for code in (None, "", "000000", "x" * 3000, "\u0661\u0662\u0663\u0664\u0665\u0666"):
        answer = attempt(any_installation, code=code)
        assert answer.status_code == 401
        assert answer.content == nobody.content
        assert answer.headers["www-authenticate"] == nobody.headers["www-authenticate"]
    # The current step's was used. The next one is valid already.
    good = pyotp.TOTP(secret).at((any_installation.node.clock.now() + totp.STEP_MS) // 1000)
    assert attempt(any_installation, code=good).status_code == 201
    assert attempt(any_installation, code=good).content == nobody.content
    assert attempt(any_installation, code=recovery[0]).status_code == 201
    assert attempt(any_installation, code=recovery[0]).status_code == 401
    for wrong in (7, ["000000"], {}):
        assert attempt(any_installation, code=wrong).status_code == 422


def test_without_a_second_factor_a_code_is_ignored(installation: Installation) -> None:
    assert attempt(installation, code="rubbish").status_code == 201


def test_wrong_codes_are_throttled(installation: Installation) -> None:
    _, recovery = enrol(installation, installation.signed_in())
    statuses = [attempt(installation, code="000000").status_code for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    assert attempt(installation, code=recovery[0]).status_code == 429


def test_a_node_with_another_encryption_key_answers_503(installation: Installation) -> None:
    enrol(installation, installation.signed_in())
    installation.node.encryption_key.path.write_text("ab" * 32)
    installation.node.encryption_key.__init__(installation.node.encryption_key.path)  # type: ignore[misc]
    answer = attempt(installation, code="000000")
    assert reasons(answer) == (503, "unavailable")
    assert str(installation.node.encryption_key.path) not in answer.text
    assert attempt(installation, password="wrong", code="000000").status_code == 401


def test_a_new_requirement_applies_to_existing_sign_ins_at_once(
    any_installation: Installation,
) -> None:
    ada = any_installation.signed_in()
    access_token = any_installation.access_token("charges:get", "access-tokens:search")
    assert ada.get("/v1/access-tokens").status_code == 200
    require(any_installation)
    for client in (ada, any_installation.signed_in()):
        for method, path, body in (
            ("GET", "/v1/access-tokens", None),
            ("GET", "/v1/authentications", None),
            ("GET", "/v1/permissions", None),
            ("POST", "/v1/access-tokens", {"label": "x", "kind": "api", "permissions": ["*"]}),
            ("POST", f"/v1/access-tokens/{access_token[:21]}/deactivate", {}),
        ):
            answer = client.request(method, path, json=body)
            assert answer.status_code == 403, path
            assert answer.json()["reason"] == "second_factor_required"
            assert "www-authenticate" not in answer.headers
        assert client.get("/v1/me").status_code == 200
    # Access tokens and decisions are unaffected.
    token = any_installation.client(access_token)
    assert token.get("/v1/access-tokens").status_code == 200
    assert any_installation.verify(access_token, permission="charges:get")["allowed"]
    login = ada.headers["Authorization"].removeprefix("Bearer ")
    assert any_installation.verify(login, permission="charges:get")["allowed"]
    assert ada.post("/v1/sign-out").status_code == 204


def test_users_with_a_second_factor_meet_the_requirement(
    installation: Installation, ada: httpx.Client
) -> None:
    enrol(installation, ada)
    require(installation)
    assert ada.get("/v1/access-tokens").status_code == 200
    require(installation, wanted=False)
    bob = installation.new_user("bob@example.com")
    client = installation.signed_in("bob@example.com")
    assert client.get("/v1/access-tokens").status_code == 200
    assert bob.role == "admin"


@pytest.mark.parametrize("path", ["/v1/me/", "/v1//me", "/account/two-factor/", "/v1/me/x"])
def test_other_spellings_of_exempt_paths_are_refused(
    installation: Installation, ada: httpx.Client, path: str
) -> None:
    require(installation)
    assert ada.get(path).status_code in (403, 404)


def test_an_administrator_sets_the_requirement(installation: Installation) -> None:
    ada = installation.signed_in()
    access_token = installation.access_token("company:*")
    missing = ada.patch("/v1/company", json={"second_factor_required": True})
    assert reasons(missing) == (409, "second_factor_missing")
    enrol(installation, ada)
    before = ada.get("/v1/company")
    assert before.json()["second_factor_required"] is False
    tag = {"If-Match": before.headers["etag"]}
    both = {"name": "Engines", "second_factor_required": True}
    changed = ada.patch("/v1/company", json=both, headers=tag)
    assert changed.json() == {**before.json(), **both}
    late = ada.patch("/v1/company", json={"second_factor_required": False}, headers=tag)
    assert reasons(late) == (409, "changed_meanwhile")
    assert late.json()["current"] == changed.json()
    bob = installation.joined("bob@example.com")
    refused = bob.patch("/v1/company", json={"second_factor_required": False})
    assert refused.json()["reason"] == "second_factor_required"
    tag = {"If-Match": changed.headers["etag"]}
    lifted = ada.patch("/v1/company", json={"second_factor_required": False}, headers=tag)
    assert lifted.json()["second_factor_required"] is False
    assert lifted.json()["name"] == "Engines"
    assert bob.get("/v1/company").status_code == 200
    token = installation.client(access_token)
    attempted = token.patch("/v1/company", json={"second_factor_required": False})
    assert attempted.json()["reason"] == "signed_in_user_required"
    for wrong in ("yes", 1, None):
        answer = ada.patch("/v1/company", json={"second_factor_required": wrong})
        assert answer.status_code == 422


def test_a_refused_requirement_leaves_the_name_unchanged(ada: httpx.Client) -> None:
    both = {"name": "Engines", "second_factor_required": True}
    assert ada.patch("/v1/company", json=both).status_code == 409
    assert ada.get("/v1/company").json()["name"] == "Analytical Engines"


def test_an_administrator_disables_a_lost_second_factor(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    bob = any_installation.new_user("bob@example.com")
    bobs = any_installation.signed_in("bob@example.com")
    enrol(any_installation, bobs)
    path = f"/v1/users/{bob.id}/second-factor/deactivate"
    assert attempt(any_installation, email="bob@example.com").status_code == 401
    assert bobs.post(path).json()["reason"] == "own_second_factor"
    token = any_installation.client(any_installation.access_token("users:*"))
    assert reasons(token.post(path)) == (403, "signed_in_user_required")
    assert ada.post(path, json={"user": bob.id}).status_code == 422
    done = ada.post(path)
    assert (done.status_code, done.json()["second_factor"]) == (200, False)
    assert done.json() == ada.get(f"/v1/users/{bob.id}").json()
    assert ada.post(path, json={}).json() == done.json()
    assert bobs.get("/v1/me").status_code == 401
    assert attempt(any_installation, email="bob@example.com").status_code == 201
