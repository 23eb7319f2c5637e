"""My Company > Users: the list, changing a role, deactivating a user."""

import json

import pytest

from gatepass.registry.authentication import totp
from gatepass.registry.directory.users import User
from gatepass.web.pages.people import deactivate
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit

BOB = "bob@example.com"


@pytest.fixture
def manager(installation: Installation, bob: User) -> Visit:
    return Visit.signed_in(installation.client(), BOB)


def role_of(installation: Installation, user: User) -> str:
    role: str = installation.signed_in().get(f"/v1/users/{user.id}").json()["role"]
    return role


def test_a_row_shows_the_user(installation: Installation, ada: Visit, bob: User) -> None:
    page = ada.get("/company/users")
    page.shows("Bob Manager", BOB, "Manager", "Active", "Never", "2 users", "(you)")
    assert page.links["Bob Manager"] == f"/company/users/{bob.id}"
    assert page.links["Change role"].endswith("/role")
    hrefs = [attributes.get("href") for tag, attributes in page.elements if tag == "a"]
    assert f"/company/users/{bob.id}/role" in hrefs
    assert f"/company/users/{bob.id}/deactivate" in hrefs


def test_people_and_invitations_are_tabs_with_their_numbers(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    assert ada.get("/company/users").links["Invite someone"] == "/company/users/invite"
    client = installation.signed_in()
    for email in ("new@example.com", "newer@example.com"):
        invited = client.post("/v1/invitations", json={"email": email, "role": "reporting"})
        assert invited.status_code == 201
    client.post(f"/v1/invitations/{invited.json()['id']}/deactivate", json={})
    for path in ("/company/users", "/company/users/invitations"):
        page = ada.get(path)
        assert page.links["People 2 active"] == "/company/users"
        assert page.links["Invitations 1 pending"] == "/company/users/invitations"
    assert "new@example.com" in page.text
    others = rita.get("/company/users")
    assert "Invitations" not in others.text
    assert "Invite someone" not in others.links


def test_the_list_is_searched_filtered_and_paged(installation: Installation, ada: Visit) -> None:
    for number in range(60):
        installation.new_user(f"user{number}@example.com", f"User {number}", role="reporting")
    page = ada.get("/company/users")
    assert "User 59" in page.text
    assert "user9@example.com" not in page.text
    assert "user9@example.com" in ada.get(page.links["Next"]).text
    assert "User 42" in ada.get("/company/users?q=user42%40").text
    found = ada.get("/company/users?q=nobody&status=active")
    assert "No active user has “nobody” in their name or e-mail address." in found.text
    assert ada.get("/company/users?status=deactivated").links["Show all users"] == "/company/users"
    gone = ada.get("/company/users?cursor=nonsense")
    assert gone.answer.status_code == 422
    assert "no longer exists" in gone.text


def test_names_are_text(installation: Installation, ada: Visit) -> None:
    nasty = """<script>alert(1)</script>"' onmouseover=x {{ 7777*7 }}"""
    user = installation.new_user("nasty@example.com", nasty)
    for path in ("", f"/{user.id}", f"/{user.id}/role", f"/{user.id}/deactivate"):
        page = ada.get(f"/company/users{path}")
        assert page.answer.status_code == 200
        assert nasty in page.text
        assert "<script>alert" not in page.html


def test_changes_are_offered_to_users_with_the_permission_only(
    installation: Installation, ada: Visit, rita: Visit, manager: Visit, bob: User
) -> None:
    page = rita.get("/company/users")
    assert "Bob Manager" in page.text
    assert "Change role" not in page.links
    # A Manager can't change an Admin.
    html = manager.get("/company/users").html
    assert f"/company/users/{bob.id}/role" in html
    assert f"/company/users/{installation.ada.id}/role" not in html
    installation.new_user("grace@example.com", "Grace")
    for path in ("role", "deactivate"):
        for visit, target in ((rita, bob.id), (manager, installation.ada.id)):
            page = visit.get(f"/company/users/{target}/{path}")
            assert page.answer.status_code == 403
            assert "Your role doesn't allow this" in page.text


def test_a_role_is_changed_with_its_permissions_explained(
    installation: Installation, ada: Visit, bob: User
) -> None:
    installation.access_token("charges:get", maker=BOB)
    path = f"/company/users/{bob.id}/role"
    form = ada.get(path).form(path)
    assert form.one("role") == "manager"
    assert form.offered["role"] == ["admin", "manager", "customer-service", "reporting"]
    shown = ada.send(path, form.filled(role="reporting", do="sentence"))
    assert "From their next request, Bob Manager can read everything." in shown.text
    assert "This also limits their 1 access token." in shown.text
    assert role_of(installation, bob) == "manager", "the sentence saves nothing"
    saved = ada.send(path, form.filled(role="reporting", do="save"), follow=True)
    assert "Role changed." in saved.text
    assert role_of(installation, bob) == "reporting"


def test_only_roles_that_can_be_granted_are_offered(
    manager: Visit, installation: Installation
) -> None:
    rob = installation.new_user("rob@example.com", "Rob", role="reporting")
    path = f"/company/users/{rob.id}/role"
    page = manager.get(path)
    form = page.form(path)
    assert form.offered["role"] == ["manager", "customer-service", "reporting"]
    assert "doesn't include aren't available" in page.text
    refused = manager.send(path, form.filled(role="admin", do="save"))
    assert refused.answer.status_code == 403
    assert "that you don't hold: *." in refused.text
    wrong = manager.send(path, form.filled(role="emperor", do="save"))
    assert wrong.answer.status_code == 422
    assert role_of(installation, rob) == "reporting"


def test_a_conflict_overwrites_nothing(installation: Installation, ada: Visit, bob: User) -> None:
    path = f"/company/users/{bob.id}/role"
    form = ada.get(path).form(path)
    installation.signed_in().patch(f"/v1/users/{bob.id}", json={"role": "customer-service"})
    late = ada.send(path, form.filled(role="reporting", do="save"))
    assert late.answer.status_code == 409
    late.shows("You saved changes", "just now", "Customer Service", "Reporting")
    assert role_of(installation, bob) == "customer-service"
    again = late.form(path)
    assert again.one("role") == "reporting"
    ada.send(path, again.filled(do="save"))
    assert role_of(installation, bob) == "reporting"


def test_deactivating_a_user_has_the_chosen_effect(
    installation: Installation, ada: Visit, bob: User
) -> None:
    text = installation.access_token("charges:get", label="Bob's own", maker=BOB)
    path = f"/company/users/{bob.id}/deactivate"
    page = ada.get(path)
    page.shows(
        "will be signed out everywhere and can't sign in again",
        "This can't be undone.",
        "Their 1 access token",
        "Bob's own",
        "Their calls are refused anyway, with account_deactivated",
    )
    form = page.form(path)
    assert form.one("access_tokens") == "deactivate"
    ended = ada.send(path, form.filled(access_tokens="keep"), follow=True)
    ended.shows("Account deactivated.", "by Ada Lovelace, just now")
    assert f"/company/users/{bob.id}/role" not in ended.html
    verified = installation.verify(text, permission="charges:get")
    assert verified["reason"] == "account_deactivated"
    # Deactivating again changes nothing.
    assert ada.get(path).answer.status_code == 303
    ada.send(path, form.filled(access_tokens="deactivate"))
    verified = installation.verify(text, permission="charges:get")
    assert verified["reason"] == "account_deactivated"
    refused = ada.get(f"/company/users/{bob.id}/role")
    assert (refused.answer.status_code, "is deactivated" in refused.text) == (409, True)


def test_a_users_tokens_are_deactivated_by_default(
    installation: Installation, ada: Visit, bob: User
) -> None:
    text = installation.access_token("charges:get", maker=BOB)
    path = f"/company/users/{bob.id}/deactivate"
    ada.send(path, ada.get(path).form(path).filled())
    verified = installation.verify(text, permission="charges:get")
    assert verified["reason"] == "token_deactivated"


def test_deactivating_a_user_with_tokens_in_use_needs_the_name(
    installation: Installation, ada: Visit, bob: User
) -> None:
    text = installation.access_token("charges:get", maker=BOB)
    node = installation.node
    at = node.clock.now() - 60_000
    node.file.use_directory.mkdir(exist_ok=True)
    line = {"tokens": {text[:21]: [7, at, "203.0.113.9", "charges:get"]}, "decisions": {}}
    (node.file.use_directory / f"{at}.spool").write_bytes(json.dumps(line).encode() + b"\n")
    node.fold()
    path = f"/company/users/{bob.id}/deactivate"
    page = ada.get(path)
    page.shows("1 min ago", "To confirm, type their name: Bob Manager")
    for typed in ("", "Bob"):
        refused = ada.send(path, page.form(path).filled(name=typed, access_tokens="keep"))
        assert refused.answer.status_code == 422
        assert refused.form(path).one("access_tokens") == "keep"
    assert installation.verify(text, permission="charges:get")["reason"] == "allowed"
    ada.send(path, page.form(path).filled(name="Bob Manager"))
    assert installation.verify(text, permission="charges:get")["reason"] == "token_deactivated"


def test_a_leavers_tokens_are_handed_over_and_offered_for_rotation(
    installation: Installation, ada: Visit, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, other = (
        installation.access_token("charges:create", label=label, maker=BOB)
        for label in ("Settlement", "Trial")
    )
    account = {"name": "Deploys", "role": "customer-service"}
    assert installation.signed_in().post("/v1/service-accounts", json=account).is_success
    installation.new_user("rita@example.com", "Rita", role="reporting")
    path = f"/company/users/{bob.id}/deactivate"
    page = ada.get(path)
    page.shows("2 access tokens are deactivated permanently", "Deploys · Customer Service")
    assert "Rita" not in page.text, "her role is too small"
    with monkeypatch.context() as of_many:
        of_many.setattr(deactivate, "_MOST_CHOICES", 1)
        of_many.setattr(deactivate, "_SHOWN_OF_MORE", 1)
        many = ada.get(path)
    assert f"token-{other[:21]}" not in many.html
    active = ada.get(many.links["Their active ones in the list"])
    active.shows("Settlement", "Trial", "2 tokens")
    form, single = page.form(path), {f"token-{other[:21]}": "deactivate"}
    chosen = {"access_tokens": "hand_over", **single}
    for to, why in (
        ("", "Enter who gets the access tokens."),
        ("nobody@example.com", "Enter the e-mail address of an active user"),
        (BOB, "Must be another one"),
        ("rita@example.com", "The new owner's role doesn't grant all permissions of Settlement."),
    ):
        refused = ada.send(path, form.filled(**chosen, to=to))
        assert refused.answer.status_code == 422, to
        refused.shows("Nothing was changed.", why)
        assert refused.form(path).one("to") == to
    sentence = ada.send(path, form.filled(**chosen, to="Deploys", do="sentence"))
    sentence.shows(
        "1 access token works on and belongs to Deploys. 1 more access token is deactivated "
        "permanently: every call with it is refused."
    )
    ended = ada.send(path, form.filled(**chosen, to="Deploys"), follow=True)
    ended.shows("Bob Manager is deactivated", "1 access token was handed over", "Settlement")
    assert ended.links["Rotate"] == f"/access-tokens/{text[:21]}/rotate"
    assert "Trial" not in ended.text
    reasons = [
        installation.verify(each, permission="charges:create")["reason"] for each in (text, other)
    ]
    assert reasons == ["allowed", "token_deactivated"]


def test_the_last_administrator_gets_an_explanation(
    installation: Installation, ada: Visit, manager: Visit
) -> None:
    for visit in (ada, manager):
        for path in ("role", "deactivate"):
            page = visit.get(f"/company/users/{installation.ada.id}/{path}")
            assert page.answer.status_code == 200
            assert "Ada Lovelace is the last administrator." in page.text
            assert "Make someone else an Admin first" in page.text
    for path, fields in (
        ("role", {"role": "reporting", "do": "save"}),
        ("deactivate", {"access_tokens": "keep"}),
    ):
        refused = ada.send(f"/company/users/{installation.ada.id}/{path}", fields)
        assert refused.answer.status_code == 409
    assert ada.get("/company/users").answer.status_code == 200


def test_another_companys_users_are_404(installation: Installation, ada: Visit) -> None:
    other = installation.new_company("Difference Engines")
    carl = installation.new_user("carl@example.com", "Carl", company=other)
    for path in (f"{carl.id}/role", f"{carl.id}/deactivate", "usr_nobody/role", "%00/role"):
        assert ada.get(f"/company/users/{path}").answer.status_code == 404, path
        fields = {"role": "reporting", "do": "save"}
        assert ada.send(f"/company/users/{path}", fields).answer.status_code == 404, path
    assert "Carl" not in ada.get("/company/users").text


def test_an_access_token_is_offered_no_changes(installation: Installation, bob: User) -> None:
    visit = Visit(installation.client(installation.access_token("users:*")))
    page = visit.get("/company/users")
    assert "Bob Manager" in page.text
    assert "Change role" not in page.links
    for path in ("role", "deactivate"):
        assert visit.get(f"/company/users/{bob.id}/{path}").answer.status_code == 403
        answer = visit.send(f"/company/users/{bob.id}/{path}", {"role": "reporting", "do": "save"})
        assert answer.answer.status_code == 403
    assert role_of(installation, bob) == "manager"


def test_an_administrator_disables_a_lost_second_factor(
    installation: Installation, ada: Visit, manager: Visit, bob: User
) -> None:
    path = f"/company/users/{bob.id}/second-factor"
    assert path not in ada.get("/company/users").html
    assert ada.get(path).answer.status_code == 303
    node = installation.node
    node.encryption_key.create()
    with node.database.write(node.clock.now()) as change:
        for user in (bob.id, installation.ada.id):
            totp.enable(change, user, totp.new_secret(), 0, node.encryption_key)
    html = ada.get("/company/users").html
    assert path in html
    assert f"/company/users/{installation.ada.id}/second-factor" not in html
    page = ada.get(path)
    page.shows(
        "Turn off Bob Manager's second factor?",
        "Verify that Bob Manager asked for this.",
        "Do this if Bob Manager (bob@example.com) has lost",
        "they next sign in with their password alone",
    )
    own = ada.get(f"/company/users/{installation.ada.id}/second-factor")
    assert (own.answer.status_code, "in My account" in own.text) == (409, True)
    above = manager.get(f"/company/users/{installation.ada.id}/second-factor")
    assert above.answer.status_code == 403
    done = ada.send(path, page.form(path).filled(), follow=True)
    assert "Second factor turned off" in done.text
    assert path not in done.html
    assert manager.get("/company/users").answer.status_code == 303
    manager.sign_in(BOB)
    assert manager.get("/company/users").answer.status_code == 200
