"""``/authentications`` without scripts."""

import pytest

from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

PATH = "/authentications"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"


def sign_in(installation: Installation, email: str = "ada@example.com") -> Visit:
    visit = Visit(installation.client(peer="198.51.100.1"))
    visit.client.headers["User-Agent"] = FIREFOX
    visit.sign_in(email)
    return visit


def ends(page: Page) -> list[str]:
    """The forms that deactivate one sign-in."""
    return [
        form.action
        for form in page.forms
        if form.action.endswith("/deactivate") and form.action.startswith(PATH)
    ]


def test_every_sign_in_is_listed_and_can_be_deactivated(
    installation: Installation, ada: Visit
) -> None:
    other = sign_in(installation)
    page = ada.get(PATH)
    assert "Recent Authentications" in page.links
    assert page.text.count("Current") == 1
    page.shows("Firefox on Linux gplt_", "198.51.100.1 just now", "in 3 h")
    assert "/sign-out" in [form.action for form in page.forms[1:]]
    [end] = ends(page)
    ended = ada.send(end, page.form(end).fields)
    assert ended.answer.headers["location"] == f"{PATH}?done=deactivated"
    assert other.get(PATH).answer.status_code == 303
    page = ada.get(f"{PATH}?done=deactivated")
    page.shows("Sign-in deactivated.", "Deactivated")
    assert ends(page) == []
    assert "Deactivate all others…" not in page.links


def test_all_other_sign_ins_are_deactivated_at_once(installation: Installation, ada: Visit) -> None:
    others = [sign_in(installation) for _ in range(2)]
    page = ada.get(ada.get(PATH).links["Deactivate all others…"])
    assert "This ends your 2 other sign-ins" in page.text
    done = ada.send(page.form(f"{PATH}/deactivate-others").action, [])
    assert done.answer.headers["location"] == f"{PATH}?done=others"
    assert "All other sign-ins are deactivated" in ada.get(f"{PATH}?done=others").text
    for other in others:
        assert other.get(PATH).answer.status_code == 303
    assert "This is your only sign-in" in ada.get(f"{PATH}/deactivate-others").text


def test_listing_all_users_needs_users_manage(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    page = ada.get(ada.get(PATH).links["Everyone's"])
    assert "Rita Reporting" in page.text
    [end] = ends(page)
    page = ada.get(page.links["Rita Reporting"])
    assert ends(page) == [end]
    back = ada.send(end, page.form(end).fields).answer.headers["location"]
    assert back.startswith(f"{PATH}?user=usr_")
    assert rita.get(PATH).answer.status_code == 303

    rita.sign_in("rita@example.com")
    page = rita.get(PATH)
    assert "Everyone's" not in page.links
    assert "Ada Lovelace" not in page.text
    assert rita.get(f"{PATH}?user=all").answer.status_code == 403
    [mine] = [one for one in ada_ids(installation) if one]
    assert rita.send(f"{PATH}/{mine}/deactivate", []).answer.status_code == 404


def ada_ids(installation: Installation) -> list[str]:
    answer = installation.signed_in().get("/v1/authentications").json()
    return [one["id"] for one in answer["items"] if not one["current"]]


def test_the_list_is_paged(installation: Installation, ada: Visit) -> None:
    for _ in range(50):
        installation.sign_in()
    page = ada.get(PATH)
    assert page.text.count("gplt_") == 50
    page = ada.get(page.links["Next"])
    assert page.text.count("gplt_") == 1
    assert "Next" not in page.links
    assert page.links["Newest"] == PATH
    assert "no longer exists" in ada.get(f"{PATH}?cursor=x").text


@pytest.mark.parametrize("user", ["usr_nobody", "%00", "ü"])
def test_an_unknown_user_gets_a_page(ada: Visit, user: str) -> None:
    assert ada.get(f"{PATH}?user={user}").answer.status_code == 404


def test_user_agents_are_escaped(installation: Installation, ada: Visit) -> None:
    visit = Visit(installation.client())
    visit.client.headers["User-Agent"] = "Mozilla/5.0 (<b>Windows) Evil<script>/1"
    visit.sign_in()
    page = ada.get(PATH)
    assert "A browser on Windows" in page.text
    assert "<b>" not in page.html


def test_an_access_token_cannot_list_sign_ins(installation: Installation) -> None:
    token = Visit(installation.client(installation.access_token("users:*")))
    for page in (
        token.get(PATH),
        token.get(f"{PATH}/deactivate-others"),
        token.send(f"{PATH}/deactivate-others", []),
    ):
        assert page.answer.status_code == 403
