"""Users' text on every page: isolated from its sentence, and never invisible.

Hostile names of older releases are written to the database, and every page is searched for them.
"""

import re
from html.parser import HTMLParser

import pytest
from sqlalchemy import insert, select, update

from gatepass.registry.actor import Actor
from gatepass.registry.membership import email_change_links, invitation_links, password_resets
from gatepass.registry.storage import tables
from tests.support.apps.every_page import every_page, one_of_everything
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Page, Visit

MARK = "אבג"
#: Overrides the direction, and closes the isolate around it.
HOSTILE = f"\u202e{MARK}\u2069!"
#: Form fields show a user's own input unchanged.
_KEPT = ("value",)
_controls = re.compile("[\u202a-\u202e\u2066-\u2069]")
_isolated = re.compile("\u2068[^\u2066-\u2069\u202a-\u202e]*\u2069")


class Reader(HTMLParser):
    """Finds hostile text outside of an isolate."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.seen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("input", "meta", "link", "br", "hr", "img"):
            self.open.append(tag)
        for name, value in attrs:
            if name not in _KEPT and not name.startswith("data-"):
                self._plain(f"<{tag} {name}>", value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if "textarea" in self.open:
            return
        if "bdi" in self.open:
            self.seen += MARK in data
            if _controls.search(data):
                self.wrong.append(f"a control in <bdi>: {data!a}")
        else:
            self._plain("/".join(self.open[-3:]), data)

    def _plain(self, where: str, text: str) -> None:
        rest = _isolated.sub("", text)
        self.seen += MARK in text
        if MARK in rest or _controls.search(rest):
            self.wrong.append(f"{where}: {text.strip()!a}")


def test_every_page_isolates_names(installation: Installation, ada: Visit) -> None:
    ids = one_of_everything(installation, HOSTILE)
    wrong, seen = {}, 0
    for path in every_page(ids, search=HOSTILE):
        page = ada.get(path)
        assert page.answer.status_code < 500, path
        reader = Reader()
        reader.feed(page.html)
        seen += reader.seen
        if reader.wrong:
            wrong[path] = sorted(set(reader.wrong))
    assert not wrong, "\n".join(f"{path}: {each}" for path, each in wrong.items())
    assert seen > 150


def read(page: Page) -> Reader:
    reader = Reader()
    reader.feed(page.html)
    return reader


def test_every_page_behind_a_link_isolates_names(installation: Installation) -> None:
    """Valid and broken links; the page of a broken one names the contact."""
    ada = installation.signed_in()
    body = {"email": "new@example.com", "role": "reporting"}
    invited = ada.post("/v1/invitations", json=body).json()["id"]
    asked = ada.post("/v1/me/email", json={"email": "ada2@example.com", "password": PASSWORD})
    assert asked.status_code == 202
    now = installation.node.clock.now()
    with installation.node.database.auxiliary_write(now) as write:
        letter = invitation_links.make_link(write, invited)
        change = write.session.scalars(select(tables.email_changes.c.id)).one()
        to_new_address = email_change_links.make_link(write, change)
        reset, _ = password_resets.take_link(write, Actor.command_line(), installation.ada)
    assert letter
    assert to_new_address
    one_of_everything(installation, HOSTILE)
    anybody = Visit(installation.client())
    links = [
        f"/invitations/{letter.token}",
        f"/email-changes/{to_new_address.token}",
        f"/password-resets/{reset}",
    ]
    for status in (200, 410):
        for path in links:
            page = anybody.get(path)
            assert page.answer.status_code == status, path
            found = read(page)
            assert not found.wrong, (path, found.wrong)
            assert found.seen or status == 410
        ada.post(f"/v1/invitations/{invited}/deactivate", json={})
        ada.post("/v1/me/email/cancel", json={})
        with installation.node.database.auxiliary_write(now) as write:
            password_resets.end_links(write, Actor.command_line(), installation.ada.id)
    assert read(anybody.get(links[0])).seen == 2


def test_names_of_roles_that_cannot_be_granted_are_isolated(installation: Installation) -> None:
    role = {"name": "Till", "permissions": ["company:modify"]}
    assert installation.signed_in().post("/v1/roles", json=role).status_code == 201
    installation.new_user("mia@example.com", "Mia", role="manager")
    with installation.write() as change:
        change.session.execute(update(tables.roles).values(name=HOSTILE))
    mia = Visit(installation.client(installation.sign_in("mia@example.com")))
    found = read(mia.get("/company/users/invite"))
    assert not found.wrong
    assert found.seen == 1


@pytest.mark.parametrize("name", ["\u3164", "\u200b", " "], ids=ascii)
def test_a_record_with_an_invisible_name_has_a_visible_link(
    installation: Installation, ada: Visit, name: str
) -> None:
    ids = one_of_everything(installation, name)
    for path, text, address in (
        ("/access-tokens", "(no label)", f"/access-tokens/{ids['access-tokens']}"),
        ("/company/roles", "(no name)", f"/company/roles/{ids['roles']}"),
        (f"/access-tokens/{ids['access-tokens']}/edit", "(no label)", ""),
    ):
        page = ada.get(path)
        assert page.answer.status_code == 200
        assert text in page.text
        links = {href for label, href in page.links.items() if text in label}
        assert not address or any(href.endswith(address.rpartition("/")[2]) for href in links)
    for path in every_page(ids, search=HOSTILE):
        page = ada.get(path)
        blank = [href for label, href in page.links.items() if not label.strip("\u3164\u200b ")]
        assert not blank, (path, blank)


def test_a_token_in_use_without_a_visible_label_is_deactivated_by_its_id(
    installation: Installation, ada: Visit
) -> None:
    ids = one_of_everything(installation, HOSTILE)
    token = ids["access-tokens"]
    now = installation.node.clock.now()
    with installation.node.database.write(now) as change:
        change.session.execute(
            insert(tables.token_use),
            {"token_id": token, "last_at": now, "last_address": "127.0.0.1", "total": 1},
        )
    path = f"/access-tokens/{token}/deactivate"
    page = ada.get(path)
    assert f"type the id: {token}" in page.text
    assert ada.send(path, {"label": "x"}).answer.status_code == 422
    assert ada.send(path, {"label": f" {token} "}).answer.status_code == 303
