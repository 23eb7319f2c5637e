"""Invitations and forgotten passwords on pages."""

from email.message import EmailMessage

import pytest

from gatepass.mail.delivery import Outcome, PostKind, Write
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Page, Visit
from tests.support.mail.mailbox import link_in

NEW = "new@example.com"
BACK = "/company/users/invitations"


class Kept:
    """A post that stores mail instead of sending it."""

    kind: PostKind = "server"
    name = "kept"

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        message = write()
        if message is None:
            return Outcome("withdrawn")
        self.messages.append(message)
        return Outcome("delivered")


@pytest.fixture
def mail(installation: Installation) -> Kept:
    kept = Kept()
    installation.node.mailing.post = kept
    return kept


def path_in_mail(installation: Installation, mail: Kept) -> str:
    """The path of the link in the mail that is sent now."""
    installation.node.mailing.send_due()
    link = link_in(mail.messages[-1])
    assert link.startswith(installation.node.settings.public_url)
    return link.removeprefix(installation.node.settings.public_url)


def invite(ada: Visit, email: str = NEW, role: str = "reporting") -> Page:
    return ada.send("/company/users/invite", {"email": email, "role": role})


def test_an_invited_user_accepts_and_signs_in(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept
) -> None:
    form = ada.get("/company/users/invite")
    assert "works once, for 72 hours" in form.text
    done = invite(ada)
    assert done.answer.status_code == 303
    assert "Invitation created." in ada.get(done.answer.headers["location"]).text
    assert "Queued" in ada.get(BACK).text
    path = path_in_mail(installation, mail)
    assert "Queued" not in ada.get(BACK).text
    for _ in range(2):
        page = stranger.get(path)
        assert page.answer.status_code == 200
        assert page.answer.headers["referrer-policy"] == "no-referrer"
        assert page.answer.headers["cache-control"] == "no-store"
        assert stranger.client.head(path).status_code == 200
    assert "Ada Lovelace invited you with the role Reporting" in page.text
    wrong = stranger.send(path, {"name": "", "password": "short"})
    assert wrong.answer.status_code == 422
    assert "Must have 15 to 256 characters." in wrong.text
    assert 'value="short"' not in wrong.html
    accepted = stranger.send(path, {"name": "Nell", "password": PASSWORD}, follow=True)
    accepted.shows("Welcome to Analytical Engines, Nell", "You are signed in.")
    accepted.shows("Your role: Reporting")
    assert stranger.get("/access-tokens").answer.status_code == 200
    assert "Accepted" in ada.get(BACK).text
    again = stranger.get(path)
    assert again.answer.status_code == 410
    assert "This invitation link is broken" in again.text
    # The secret is right, so the page names the user.
    assert "Ada Lovelace of Analytical Engines" in again.text


def test_a_broken_link_discloses_no_name(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept
) -> None:
    invite(ada)
    path = path_in_mail(installation, mail)
    for tampered in (path[:-1], path + "x", "/invitations/gpiv_", "/invitations/%00"):
        for page in (stranger.get(tampered), stranger.send(tampered, {"name": ""})):
            assert page.answer.status_code == 410
            assert page.answer.headers["referrer-policy"] == "no-referrer"
            assert "This invitation link is broken" in page.text
            assert "Ada" not in page.html
            assert "Analytical" not in page.html


def test_forms_behind_links_accept_a_null_origin(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept
) -> None:
    """Browsers send ``Origin: null`` from a page without Referer."""
    invite(ada)
    path = path_in_mail(installation, mail)
    answer = stranger.client.post(
        path, data={"name": "Nell", "password": PASSWORD}, headers={"Origin": "null"},
        follow_redirects=False,
    )  # fmt: skip
    assert answer.headers["location"] == "/invitations/accepted"
    refused = stranger.client.post(
        "/password-resets", data={"email": NEW}, headers={"Origin": "null"}
    )
    assert refused.status_code == 403


def test_resending_and_deactivating(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept
) -> None:
    invite(ada)
    old = path_in_mail(installation, mail)
    resend = next(form.action for form in ada.get(BACK).forms if form.action.endswith("/resend"))
    assert "The e-mail is queued" in ada.send(resend, {}, follow=True).text
    assert stranger.get(old).answer.status_code == 410
    new = path_in_mail(installation, mail)
    assert stranger.get(new).answer.status_code == 200
    end = resend.replace("/resend", "/deactivate")
    assert "This can't be undone" in ada.get(end).text
    assert "Invitation deactivated" in ada.send(end, {}, follow=True).text
    assert stranger.get(new).answer.status_code == 410
    assert ada.send(resend, {}).answer.status_code == 409
    assert not any(form.action.endswith("/resend") for form in ada.get(BACK).forms)


def test_an_invitation_whose_inviter_lost_the_right_says_so(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept
) -> None:
    grace = installation.new_user("grace@example.com", "Grace Hopper", role="manager")
    visit = Visit.signed_in(installation.client(), "grace@example.com")
    invite(visit)
    link = path_in_mail(installation, mail)
    ada.get(BACK).shows("Grace Hopper", "Accepted by the mail server")
    path = f"/company/users/{grace.id}/role"
    demoted = ada.send(path, ada.get(path).form(path).filled(role="customer-service", do="save"))
    assert demoted.answer.status_code == 303
    assert stranger.get(link).answer.status_code == 410
    page = ada.get(BACK)
    page.shows("Link broken", "may no longer give this role. Resend it.")
    resend = next(form.action for form in page.forms if form.action.endswith("/resend"))
    ada.send(resend, {})
    assert "Link broken" not in ada.get(BACK).text
    assert stranger.get(path_in_mail(installation, mail)).answer.status_code == 200


def test_errors_are_shown_at_their_fields_and_input_is_kept(ada: Visit) -> None:
    for email, role, status, problem in (
        ("nobody", "reporting", 422, "Must be an e-mail address such as"),
        (NEW, "", 422, "Must be the id of a role."),
        ("ADA@example.com", "reporting", 409, "ADA@example.com already has an account."),
    ):
        page = invite(ada, email, role)
        assert page.answer.status_code == status
        assert problem in page.text
        assert page.form("/company/users/invite").one("email") == email
    invite(ada)
    assert "is invited already" in invite(ada).text


def test_only_roles_that_can_be_granted_are_offered(installation: Installation) -> None:
    installation.new_user("mona@example.com", "Mona Manager", role="manager")
    mona = Visit.signed_in(installation.client(), "mona@example.com")
    page = mona.get("/company/users/invite")
    assert "admin" not in page.form("/company/users/invite").offered["role"]
    assert "Admin" in page.text
    page = invite(mona, role="admin")
    assert page.answer.status_code == 403
    assert "which you don't have" in page.text


def test_inviting_needs_the_permission(rita: Visit, ada: Visit) -> None:
    for path in ("/company/users/invite", BACK):
        assert rita.get(path).answer.status_code == 403
    assert invite(rita).answer.status_code == 403


def test_another_companys_invitation_is_404(installation: Installation, ada: Visit) -> None:
    invite(ada)
    take = next(form.action for form in ada.get(BACK).forms if form.action.endswith("/link"))
    resend, end = take.replace("/link", "/resend"), take.replace("/link", "/deactivate")
    installation.new_user("carl@example.com", company=installation.new_company("Contoso"))
    carl = Visit.signed_in(installation.client(), "carl@example.com")
    assert "No invitations" in carl.get(BACK).text
    pages = (carl.send(take, {}), carl.send(resend, {}), carl.get(end), carl.send(end, {}))
    assert [page.answer.status_code for page in pages] == [404] * 4


def test_while_many_sign_in_the_form_behind_a_link_asks_to_try_again(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept, busy: None
) -> None:
    invite(ada)
    accept = path_in_mail(installation, mail)
    stranger.send("/password-resets", {"email": "ada@example.com"})
    installation.node.reset_requests.handle()
    reset = path_in_mail(installation, mail)
    for path in (accept, reset):
        page = stranger.send(path, {"name": "Nell", "password": PASSWORD})
        assert (page.answer.status_code, page.answer.headers["retry-after"]) == (503, "5")
        page.shows("Many people are signing in right now. Try again in a few seconds.")
        assert PASSWORD not in page.html
    assert stranger.send(accept, {"name": "Nell"}).form(accept).one("name") == "Nell"


def test_a_valid_link_is_refused_outside_the_allowlist(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept
) -> None:
    invite(ada)
    stranger.send("/password-resets", {"email": "ada@example.com"})
    installation.node.reset_requests.handle()
    installation.node.mailing.send_due()
    paths = [link_in(one).removeprefix("http://127.0.0.1:8787") for one in mail.messages]
    assert len(paths) == 2
    installation.allow_only("203.0.113.0/24")
    fields = {"name": "Nell", "password": "a wholly new phrase"}
    for path in paths:
        for page in (stranger.get(path), stranger.send(path, fields)):
            assert page.answer.status_code == 403
            page.shows("company_address_not_allowed", "Your link is valid and keeps working")
        inside = {"X-Forwarded-For": "203.0.113.9"}
        assert stranger.get(path, headers=inside).answer.status_code == 200
        assert stranger.get(path[:-1]).answer.status_code == 410


def test_a_forgotten_password_is_reset(
    installation: Installation, ada: Visit, stranger: Visit, mail: Kept
) -> None:
    assert stranger.get("/sign-in").links["Forgot your password?"] == "/password-resets"
    asked = stranger.send("/password-resets", {"email": "Ada@example.com"})
    installation.node.reset_requests.handle()
    path = path_in_mail(installation, mail)
    unknown = stranger.send("/password-resets", {"email": "Eve@example.com"})
    installation.node.reset_requests.handle()
    assert asked.answer.status_code == unknown.answer.status_code == 200
    assert asked.html == unknown.html.replace("Eve@", "Ada@")
    installation.node.mailing.send_due()
    assert len(mail.messages) == 1
    page = stranger.get(path)
    assert page.answer.status_code == 200
    assert page.answer.headers["referrer-policy"] == "no-referrer"
    assert "ada@example.com" in page.html
    assert stranger.send(path, {"password": "short"}).answer.status_code == 422
    done = stranger.send(path, {"password": "a wholly new phrase"}, follow=True)
    assert "Your new password is set" in done.text
    assert ada.get("/access-tokens").answer.status_code == 303
    stranger.sign_in(password="a wholly new phrase")
    broken = stranger.get(path)
    assert broken.answer.status_code == 410
    assert "This password reset link is broken" in broken.text
    assert stranger.send(path, {"password": "another phrase again"}).answer.status_code == 410


def test_a_stop_handles_pending_requests(
    installation: Installation, stranger: Visit, mail: Kept
) -> None:
    stranger.send("/password-resets", {"email": "ada@example.com"})
    installation.node.stop()
    assert path_in_mail(installation, mail).startswith("/password-resets/gprs_")


def test_tokens_in_paths_are_not_logged(
    installation: Installation,
    ada: Visit,
    stranger: Visit,
    mail: Kept,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", "gatepass")
    invite(ada)
    path = path_in_mail(installation, mail)
    stranger.get(path)
    stranger.send(path, {"name": "", "password": ""})
    stranger.send(path, {"name": "Nell", "password": PASSWORD})
    stranger.get(path)
    secret = path[-38:]
    ours = [one.getMessage() for one in caplog.records if one.name.startswith("gatepass")]
    assert not any(secret in said for said in ours)


def test_another_signed_in_user_is_named(ada: Visit) -> None:
    page = ada.get("/invitations/accepted")
    assert "Sign out Ada Lovelace" in page.text
    assert ada.send("/sign-out", {}).answer.status_code == 303
    assert "Sign in" in ada.get("/invitations/accepted").links


def test_without_a_mail_server_the_link_is_shown_once(
    installation: Installation, ada: Visit, stranger: Visit
) -> None:
    form = ada.get("/company/users/invite")
    assert "No mail server is set up." in form.text
    assert "mail them" not in form.text
    done = ada.get(invite(ada).answer.headers["location"])
    assert "No mail server is set up: copy the link and send it yourself." in done.text
    installation.node.mailing.send_due()
    page = ada.get(BACK)
    page.shows("Not sent", "No mail server is set up. Copy the link.", "Copy link…")
    assert "elivered" not in page.text
    assert "Resend" not in page.text
    take = next(form.action for form in page.forms if form.action.endswith("/link"))
    links = []
    for _ in range(2):
        shown = ada.send(take, {})
        assert shown.answer.status_code == 200
        assert shown.answer.headers["cache-control"] == "no-store"
        link = next(word for word in shown.text.split() if "/invitations/gpiv_" in word)
        links.append(link.removeprefix(installation.node.settings.public_url))
    ada.get(BACK).shows("Pending", "Link copied just now", "New link…")
    assert "gpiv_" not in ada.get(BACK).html
    assert stranger.get(links[0]).answer.status_code == 410
    assert stranger.get(links[1]).answer.status_code == 200
    log = ada.get("/audit-log").text
    assert "Ada Lovelace copied the link of the invitation to new@example.com" in log
    assert "No mail server is set up, so the invitation to new@example.com wasn't mailed" in log
    assert "mail server accepted" not in log


def test_with_a_mail_server_no_link_is_shown(
    installation: Installation, ada: Visit, mail: Kept
) -> None:
    invite(ada)
    resend = next(form.action for form in ada.get(BACK).forms if form.action.endswith("/resend"))
    refused = ada.send(resend.replace("/resend", "/link"), {})
    assert refused.answer.status_code == 409
    assert "by mail" in refused.text
    assert "gpiv_" not in refused.html


def test_taking_a_link_needs_the_permission_and_the_same_site(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    invite(ada)
    take = next(form.action for form in ada.get(BACK).forms if form.action.endswith("/link"))
    assert rita.send(take, {}).answer.status_code == 403
    forged = ada.client.post(take, headers={"Origin": "https://elsewhere.example"})
    assert forged.status_code == 403
    assert ada.client.get(take).status_code == 405


@pytest.mark.parametrize(
    ("outcome", "words", "trouble"),
    [
        (
            Outcome("later", "The mail server refuses connections."),
            "Not sent yet",
            "The mail server refuses connections. Next attempt",
        ),
        (
            Outcome("never", "The mail server rejected the address (550)."),
            "Not sent",
            "The mail server rejected the address (550). Resend it to try again.",
        ),
        (
            Outcome("unknown", "It may or may not have accepted the mail."),
            "Unconfirmed",
            "It may or may not have accepted the mail.",
        ),
        (Outcome("delivered"), "Pending", "Accepted by the mail server just now"),
    ],
)
def test_the_state_of_the_mail_is_shown(
    installation: Installation, ada: Visit, outcome: Outcome, words: str, trouble: str
) -> None:
    class Post(Kept):
        def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
            if outcome.fate in ("delivered", "unknown"):
                write()
            return outcome

    installation.node.mailing.post = Post()
    invite(ada)
    assert "Queued" in ada.get(BACK).text
    installation.node.mailing.send_due()
    page = ada.get(BACK)
    state = page.html.partition('data-name="State">')[2].partition("</td>")[0]
    assert state.count('class="badge') == 1, "one state"
    assert f">{words}</span>" in state
    assert trouble in page.text
    (log,) = {"The mail server accepted the mail" in ada.get("/audit-log").text}
    assert log == (outcome.fate == "delivered")


def test_in_a_demo_the_mail_is_on_the_demos_page(installation: Installation, ada: Visit) -> None:
    post = Kept()
    post.kind = "page"
    installation.node.mailing.post = post
    assert "The e-mail appears on the demo's mail page" in ada.get("/company/users/invite").text
    done = ada.get(invite(ada).answer.headers["location"])
    assert "appears on the demo's mail page" in done.text
    installation.node.mailing.send_due()
    page = ada.get(BACK)
    assert page.links["On the demo's mail page"] == "/demo/mail"
    assert "elivered" not in page.text
    log = ada.get("/audit-log").text
    assert "The invitation to new@example.com appeared on the demo's mail page" in log


def test_without_a_mail_server_the_reset_link_is_logged(
    installation: Installation, stranger: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    """The page is the same for every address, and says that nothing is sent."""
    assert "No e-mail is sent" in stranger.get("/password-resets").text
    asked, unknown = (
        stranger.send("/password-resets", {"email": f"{name}@example.com"})
        for name in ("Ada", "Eve")
    )
    assert asked.html == unknown.html.replace("Eve@", "Ada@")
    assert "a link is written to the server's log" in asked.text
    assert "being sent" not in asked.text
    installation.node.reset_requests.handle()
    installation.node.mailing.send_due()
    (logged,) = (one.getMessage() for one in caplog.records if one.name == "gatepass.mail")
    assert logged.startswith("GATEPASS_SMTP_URL isn't set; mail to ada@example.com not sent:")
    path = "/password-resets/" + logged.partition("/password-resets/")[2].split()[0]
    assert stranger.get(path).answer.status_code == 200
