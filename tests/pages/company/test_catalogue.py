"""/company/catalogue: for operators; nothing is published that wasn't checked."""

import html
import re

import httpx

from tests.support.apps.installation import CATALOGUE, Installation

HEADERS = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
PATH = "/company/catalogue"
LESS = CATALOGUE.replace("charges:create:", "payments:create:")


def words(page: httpx.Response) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def hidden(page: httpx.Response, name: str) -> str:
    found = re.search(f'name="{name}" value="([^"]*)"', page.text)
    assert found is not None
    return html.unescape(found[1])


def typed(page: httpx.Response, text: str, **more: str) -> dict[str, str]:
    """The form of *page* with another text; a browser's line ends."""
    carried = {name: hidden(page, name) for name in ("etag", "checked")}
    return {**carried, "text": text.replace("\n", "\r\n"), "note": "", **more}


def test_a_version_is_checked_published_shown_and_restored(
    any_installation: Installation,
) -> None:
    ada = any_installation.signed_in()
    ada.headers.update(HEADERS)
    opened = ada.get(PATH)
    assert "No versions yet" in opened.text
    checked = ada.post(PATH, data=typed(opened, CATALOGUE, do="check"))
    assert checked.status_code == 200
    assert "Publish" in checked.text
    form = typed(checked, CATALOGUE, note="The first", do="publish")
    done = ada.post(PATH, data=form, follow_redirects=True)
    assert "Published. Every node" in done.text
    any_installation.access_token("charges:create", label="Nightly")
    checked = ada.post(PATH, data=typed(done, LESS, do="check"))
    said = words(checked)
    assert "Drops 1 permission" in said
    assert "Adds 1 permission" in said
    assert "Moves 1 route to another permission" in said
    assert "charges:create 1 active token" in said
    assert "Nightly" in said
    done = ada.post(PATH, data=typed(checked, LESS, do="publish"), follow_redirects=True)
    assert ada.get("/v1/catalogue").json()["text"] == LESS
    shown = ada.get(f"{PATH}/1")
    assert "The first" in shown.text
    assert ada.get(f"{PATH}/2").status_code == 200
    assert ada.get(f"{PATH}/3").status_code == 404
    restoring = ada.get(f"{PATH}?restore=1")
    assert "Restores version 1" in restoring.text
    done = ada.post(PATH, data=typed(restoring, CATALOGUE, do="publish"), follow_redirects=True)
    assert "Version 3" in done.text
    assert ada.get("/v1/catalogue").json()["text"] == CATALOGUE


def test_what_was_not_checked_is_not_published(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    checked = ada.post(PATH, data=typed(ada.get(PATH), CATALOGUE, do="check"))
    answer = ada.post(PATH, data=typed(checked, LESS, do="publish"))
    assert answer.status_code == 409
    assert "The text has changed since it was checked." in words(answer)
    assert ada.get("/v1/catalogue").json()["number"] == 0
    done = ada.post(PATH, data=typed(answer, LESS, do="publish"), follow_redirects=True)
    assert "Published." in done.text


def test_mistakes_are_shown_with_their_lines(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    wrong = "permissions:\n  a:b: {title: 3}\n  users:get: {}\n"
    for do in ("check", "publish"):
        answer = ada.post(PATH, data=typed(ada.get(PATH), wrong, do=do))
        assert answer.status_code == 422
        assert "Line 2: the title of a:b must be text" in words(answer)
        assert "Line 3: users:get must not be" in words(answer)
    assert "title: 3" in answer.text


def test_somebody_elses_version_is_told_and_checked_against(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    checked = ada.post(PATH, data=typed(ada.get(PATH), CATALOGUE, do="check"))
    ada.put("/v1/catalogue", json={"text": LESS})
    answer = ada.post(PATH, data=typed(checked, CATALOGUE, do="publish"))
    assert answer.status_code == 409
    assert "changed this" in words(answer)
    assert hidden(answer, "checked") == ""
    again = ada.post(PATH, data=typed(answer, CATALOGUE, do="publish"))
    assert again.status_code == 409
    assert "Drops 1 permission" in words(again)
    done = ada.post(PATH, data=typed(again, CATALOGUE, do="publish"), follow_redirects=True)
    assert "Published." in done.text


def test_only_operators_see_it(installation: Installation) -> None:
    bob = installation.joined("bob@example.com")
    bob.headers.update(HEADERS)
    for path in (PATH, f"{PATH}/1"):
        assert bob.get(path).status_code == 403
    assert bob.post(PATH, data={"do": "publish", "text": ""}).status_code == 403
    assert PATH not in bob.get("/company").text
