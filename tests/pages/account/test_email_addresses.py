"""E-mail address changes and operators' accounts on pages without scripts."""

import httpx
from sqlalchemy import select

from gatepass.registry.directory.users import User
from gatepass.registry.membership import email_change_links
from gatepass.registry.storage.tables import authentications, email_changes, outgoing_mail
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Page, Visit

NEW = "new@example.com"
BOB = "bob@example.com"
OWN = "/account/email"


def link(installation: Installation) -> str:
    """The path in the latest mail to a new address, sent now."""
    now = installation.node.clock.now()
    with installation.node.database.auxiliary_write(now) as write:
        latest = select(email_changes.c.id).order_by(email_changes.c.created_at.desc()).limit(1)
        letter = email_change_links.make_link(write, write.session.scalars(latest).one())
    assert letter is not None
    return f"/email-changes/{letter.token}"


def ask_own(visit: Visit, email: str = NEW, password: str = PASSWORD) -> Page:
    form = visit.get(OWN).form(OWN)
    return visit.send(
        OWN, form.filled(email=email, current_password=password, do="save"), follow=True
    )


def test_ones_own(installation: Installation, ada: Visit, stranger: Visit) -> None:
    assert ada.get("/account").links["Change"] == OWN
    page = ask_own(ada)
    assert page.answer.url.path == "/account"
    page.shows(f"{NEW} isn't confirmed yet", "Until then, you sign in with ada@example.com")
    assert f"{NEW} isn't confirmed yet" in ada.get(OWN).text
    path = link(installation)
    page = stranger.get(path)
    assert page.answer.status_code == 200
    page.shows("Confirm your new e-mail address", "Ada Lovelace", "Analytical Engines")
    page = stranger.send(path, {}, follow=True)
    assert page.answer.url.path == "/email-changes/done"
    assert page.links["Sign in"] == "/sign-in"
    page = ada.get("/account")
    assert NEW in page.text
    assert "isn't confirmed" not in page.text
    broken = stranger.get(path)
    assert broken.answer.status_code == 410
    assert "was replaced by a newer one, or is older than a day" in broken.text


def test_errors_are_shown_at_their_fields(installation: Installation, ada: Visit) -> None:
    page = ask_own(ada, "nonsense")
    assert page.answer.status_code == 422
    assert "Must be an e-mail address" in page.text
    assert page.form(OWN).one("email") == "nonsense"
    page = ask_own(ada, NEW, "not the password at all")
    assert page.answer.status_code == 422
    assert "isn't your current password" in page.text
    assert page.form(OWN).one("current_password") == ""
    installation.new_user(BOB, "Bob Manager", role="manager")
    page = ask_own(ada, BOB)
    assert page.answer.status_code == 409
    assert f"{BOB} already has an account" in page.text
    for number in range(5):
        ask_own(ada, f"n{number}@example.com")
    page = ask_own(ada)
    assert page.answer.status_code == 429
    assert (
        "Too many changes were requested for this user. Nothing was changed. Try again in"
        in page.text
    )
    assert int(page.answer.headers["retry-after"]) > 0


def test_a_pending_change_can_be_cancelled(
    installation: Installation, ada: Visit, stranger: Visit
) -> None:
    ask_own(ada)
    path = link(installation)
    page = ada.send("/account/email/cancel", {}, follow=True)
    assert "Change cancelled" in page.text
    assert "isn't confirmed" not in page.text
    assert stranger.get(path).answer.status_code == 410
    assert ada.send("/account/email/cancel", {}).answer.status_code == 303


def test_a_colleagues(installation: Installation, ada: Visit, bob: User, stranger: Visit) -> None:
    path = f"/company/users/{bob.id}/email"
    hrefs = [attributes.get("href") for _, attributes in ada.get("/company/users").elements]
    assert path in hrefs
    page = ada.get(path)
    assert "We also notify them at the current address" in page.text
    page = ada.send(path, page.form(path).filled(email=NEW, do="save"), follow=True)
    assert "The address changes when the link in the e-mail to the new address is used" in page.text
    page = ada.get(path)
    assert f"{NEW} isn't confirmed yet" in page.text
    assert f"{path}/cancel" in [form.action for form in page.forms]
    theirs = Visit.signed_in(installation.client(), BOB)
    assert "Ada Lovelace asked to change your address" in theirs.get("/account").text
    assert "requested by Ada Lovelace" in stranger.get(link(installation)).text
    page = ada.send(f"{path}/cancel", {}, follow=True)
    assert "Change cancelled" in page.text


def test_an_outdated_form_is_a_conflict(installation: Installation, ada: Visit, bob: User) -> None:
    path = f"/company/users/{bob.id}/email"
    form = ada.get(path).form(path)
    installation.signed_in().patch(f"/v1/users/{bob.id}", json={"role": "reporting"})
    page = ada.send(path, form.filled(email=NEW, do="save"))
    assert page.answer.status_code == 409
    assert page.form(path).one("email") == NEW
    assert page.form(path).one("etag") != form.one("etag")
    page = ada.send(path, page.form(path).filled(do="save"))
    assert page.answer.status_code == 303


def test_the_current_address_is_notified(installation: Installation, ada: Visit) -> None:
    ask_own(ada)
    ada.send("/account/email/cancel", {})
    with installation.node.database.read(installation.node.clock.now()) as reading:
        rows = reading.session.execute(select(outgoing_mail.c.kind, outgoing_mail.c.state)).all()
    assert {tuple(row) for row in rows} == {
        ("email_change", "dropped"),
        ("email_change_requested", "waiting"),
    }


def test_changing_an_operators_account_is_offered_to_operators_only(
    installation: Installation, admin: Visit, ada: Visit
) -> None:
    page = admin.get("/company/users")
    page.shows("Ada Lovelace Operator", "Only operators can change an operator's account")
    mine = installation.ada.id
    assert f"/company/users/{mine}/" not in page.html
    for what in ("role", "email", "deactivate", "second-factor"):
        path = f"/company/users/{mine}/{what}"
        for refused in (admin.get(path), admin.send(path, {"role": "reporting", "do": "save"})):
            assert refused.answer.status_code == 403, path
            refused.shows("operator_required", "Ada Lovelace is an operator")
            # The explanation doesn't name operators where they may not either.
            assert ("make you an operator" in refused.text) == (what != "email")
            assert ("gatepass user email" in refused.text) == (what == "email")
    sign_ins = admin.get("/authentications?user=all")
    assert "Only operators can end an operator's sign-ins" in sign_ins.text
    with installation.node.database.read(installation.node.clock.now()) as reading:
        theirs = reading.session.scalars(
            select(authentications.c.id).where(authentications.c.user_id == mine)
        ).all()
    assert theirs
    for each in theirs:
        path = f"/authentications/{each}/deactivate"
        assert path not in sign_ins.html
        assert admin.send(path, {}).answer.status_code == 403
    page = ada.get("/company/users")
    assert f"/company/users/{mine}/role" in page.html
    assert "Only operators" not in page.text


def test_the_last_operator_is_warned(installation: Installation, ada: Visit, admin: Visit) -> None:
    path = f"/company/users/{installation.ada.id}/deactivate"
    page = ada.get(path)
    page.shows("Ada Lovelace can't be deactivated", "gatepass user operator")
    assert not [form for form in page.forms if form.action == path]
    refused = ada.send(path, {"name": "Ada Lovelace"})
    assert refused.answer.status_code == 409
    assert "last operator" in refused.text


def test_a_link_to_another_companys_address_is_broken(
    installation: Installation, ada: Visit, stranger: Visit
) -> None:
    installation.new_user("carl@example.com", company=installation.new_company("Contoso"))
    page = ask_own(ada, "carl@example.com")
    assert "carl@example.com isn't confirmed yet" in page.text
    broken = stranger.get(link(installation))
    assert broken.answer.status_code == 410
    assert "Choose another address for Analytical Engines" in broken.text
    assert "Contoso" not in broken.html


def test_a_link_is_refused_outside_the_allowlist(installation: Installation, ada: Visit) -> None:
    ask_own(ada)
    path = link(installation)
    entries = [{"network": "127.0.0.0/8", "note": ""}]
    answer = installation.signed_in().put("/v1/company/allowlist", json={"entries": entries})
    assert answer.status_code == 200
    outside: httpx.Client = installation.client(peer="192.0.2.9")
    page = Visit(outside).send(path, {})
    assert page.answer.status_code == 403
    assert "Your link is valid" in page.text
    assert Visit(installation.client()).send(path, {}).answer.status_code == 303


def test_without_a_mail_server_the_page_says_where_the_link_is(
    installation: Installation, ada: Visit, bob: User
) -> None:
    path = f"/company/users/{bob.id}/email"
    for page in (ada.get(OWN), ada.get(path)):
        assert "No mail server is set up. The link is written" in page.text
    page = ask_own(ada)
    assert "the link is in the server's log" in page.text
    assert "in the e-mail to that address" not in page.text
