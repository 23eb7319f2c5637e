"""My Company > Roles: the permission grid, and the company's own roles."""

from typing import Any

import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.web.pages.company.role_grid import role_grid
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.browser.page_reader import Visit


@pytest.fixture
def desk(installation: Installation) -> str:
    made = installation.signed_in().post(
        "/v1/roles", json={"name": "Desk", "permissions": ["charges:get", "refunds:*"]}
    )
    role: str = made.json()["id"]
    return role


def saved(installation: Installation, role: str) -> Any:
    return installation.signed_in().get(f"/v1/roles/{role}").json()


def test_the_list_shows_permissions_and_users(
    installation: Installation, ada: Visit, desk: str
) -> None:
    installation.new_user("dora@example.com", "Dora", role=desk)
    page = ada.get("/company/roles")
    page.shows("Admin", "Do everything", "Desk", "Read charges; do everything with refunds")
    assert page.links["Desk"] == f"/company/roles/{desk}"
    assert page.links["Create a role"] == "/company/roles/new"
    assert page.links["Delete…"] == f"/company/roles/{desk}/delete", "of Desk alone"


def test_a_role_is_shown_as_a_grid(ada: Visit, desk: str) -> None:
    page = ada.get(f"/company/roles/{desk}")
    assert "People with this role can read charges; do everything with refunds." in page.text
    assert "Charges yes no" in page.text, "get is held, create is not"
    assert "Refunds all, now and later yes" in page.text
    assert "No one has this role." in page.text
    assert "Ada Lovelace created the role Desk" in page.text
    built_in = ada.get("/company/roles/admin")
    assert "Built in" in built_in.text
    assert "Edit" not in built_in.links


def test_the_grid_has_a_column_per_common_action() -> None:
    catalogue = parse_catalogue(CATALOGUE)
    grid = role_grid(catalogue, ("charges:create", "users:*", "gone:for-good"))
    assert grid.actions == ("get", "create", "modify", "manage")
    (product, lines), (account, own) = grid.parts
    assert (product, account) == ("Your product", "This Gatepass account")
    charges = lines[0]
    held = {cell.name: cell.held for cell in charges.cells if cell}
    assert held == {"charges:create": True, "charges:get": False}
    tokens = next(line for line in own if line.resource == "access tokens")
    assert "access-tokens:deactivate" in [cell.name for cell in tokens.others]
    users = next(line for line in own if line.resource == "users")
    assert users.whole
    assert all(cell.held for cell in users.cells if cell)
    assert grid.forgotten == ("gone:for-good",)
    everything = role_grid(catalogue, ("*",))
    for _, lines in everything.parts:
        for line in lines:
            assert line.whole
            assert all(cell.held for cell in (*line.cells, *line.others) if cell)
    assert everything.forgotten == ()


def test_a_role_is_created_with_its_permissions_explained(
    installation: Installation, ada: Visit
) -> None:
    path = "/company/roles/new"
    form = ada.get(path).form(path)
    assert {"*", "charges:*", "charges:get", "users:manage"} <= set(form.offered["permissions"])
    shown = ada.send(path, form.filled(permissions=["charges:get"], do="sentence"))
    assert "People with this role can read charges. Assign it to users" in shown.text
    wrong = ada.send(path, form.filled(name="", do="save"))
    assert wrong.answer.status_code == 422
    assert "Not saved: 2 fields need your attention" in wrong.text
    chosen = ["charges:*", "charges:get", "users:get"]
    made = ada.send(path, form.filled(name="Desk", permissions=chosen, do="save"))
    assert made.answer.status_code == 303
    role = made.answer.headers["location"].partition("?")[0].rpartition("/")[2]
    assert saved(installation, role)["permissions"] == ["charges:*", "users:get"]
    taken = ada.send(path, form.filled(name="DESK", permissions=chosen, do="save"))
    assert taken.answer.status_code == 409
    assert "must not look like another's, and Desk exists." in taken.text
    assert taken.form(path).one("name") == "DESK", "what was typed is kept"
    fields = form.filled(name="All", permissions=["*", "charges:get"], do="save")
    everything = ada.send(path, fields)
    role = everything.answer.headers["location"].partition("?")[0].rpartition("/")[2]
    assert saved(installation, role)["permissions"] == ["*"]


def test_editing_a_role_reports_a_conflict(
    installation: Installation, ada: Visit, desk: str
) -> None:
    installation.new_user("dora@example.com", "Dora", role=desk)
    path = f"/company/roles/{desk}/edit"
    page = ada.get(path)
    form = page.form(path)
    assert form.one("name") == "Desk"
    assert set(form.all("permissions")) == {"charges:get", "refunds:*"}
    assert "1 person has it. The change applies from their next request" in page.text
    first = ada.send(path, form.filled(name="Front desk", do="save"), follow=True)
    assert "Saved. The change applies from the next request" in first.text
    late = ada.send(path, form.filled(permissions=["charges:get"], do="save"))
    assert late.answer.status_code == 409
    late.shows("You saved changes", "Front desk", "charges:get, refunds:*")
    assert saved(installation, desk)["permissions"] == ["charges:get", "refunds:*"]
    ada.send(path, late.form(path).filled(do="save"))
    assert saved(installation, desk) == {
        "id": desk,
        "name": "Desk",
        "permissions": ["charges:get"],
        "built_in": False,
    }


def test_a_role_without_users_can_be_deleted(
    installation: Installation, ada: Visit, desk: str
) -> None:
    dora = installation.new_user("dora@example.com", "Dora", role=desk)
    path = f"/company/roles/{desk}/delete"
    page = ada.get(path)
    assert "1 person has this role." in page.text
    refused = ada.send(path, page.form(path).filled())
    assert refused.answer.status_code == 409
    assert "Desk is in use" in refused.text
    installation.signed_in().patch(f"/v1/users/{dora.id}", json={"role": "reporting"})
    form = ada.get(path).form(path)
    installation.signed_in().patch(f"/v1/roles/{desk}", json={"name": "Front desk"})
    late = ada.send(path, form.filled())
    assert late.answer.status_code == 409
    assert "You saved changes" in late.text
    done = ada.send(path, late.form(path).filled(), follow=True)
    assert "Role deleted." in done.text
    assert ada.get(f"/company/roles/{desk}").answer.status_code == 404


def test_who_may_what(installation: Installation, rita: Visit, desk: str) -> None:
    page = rita.get("/company/roles")
    assert "Desk" in page.text
    assert not {"Create a role", "Edit", "Delete…"} & set(page.links)
    assert not {"Edit", "Delete…"} & set(rita.get(f"/company/roles/{desk}").links)
    for path in ("new", f"{desk}/edit", f"{desk}/delete"):
        assert rita.get(f"/company/roles/{path}").answer.status_code == 403
        assert rita.send(f"/company/roles/{path}", {"do": "save"}).answer.status_code == 403
    installation.new_user("sam@example.com", "Sam", role="customer-service")
    sam = Visit.signed_in(installation.client(), "sam@example.com")
    for path in ("/company/roles", f"/company/roles/{desk}", "/company/users", "/company"):
        assert sam.get(path).answer.status_code == 403, path


def test_only_permissions_of_the_user_are_offered(installation: Installation, desk: str) -> None:
    ada = installation.signed_in()
    keeper = ada.post(
        "/v1/roles", json={"name": "Keeper", "permissions": ["roles:*", "refunds:get"]}
    ).json()["id"]
    installation.new_user("kim@example.com", "Kim", role=keeper)
    kim = Visit.signed_in(installation.client(), "kim@example.com")
    path = "/company/roles/new"
    form = kim.get(path).form(path)
    assert set(form.offered["permissions"]) == {
        "refunds:get",
        "roles:*",
        "roles:get",
        "roles:manage",
    }
    forged = kim.send(path, form.filled(name="Mine", permissions=["*"], do="save"))
    assert forged.answer.status_code == 403
    assert "that you don't hold: *." in forged.text
    for end in ("edit", "delete"):
        assert kim.send(f"/company/roles/{desk}/{end}", {"do": "save"}).answer.status_code in (
            403,
            409,
        )
    assert saved(installation, desk)["name"] == "Desk"
    assert kim.get(f"/company/roles/{desk}/edit").answer.status_code == 403
    assert kim.get("/company/roles/admin/edit").answer.status_code == 409


def test_another_companys_roles_are_404(installation: Installation, ada: Visit) -> None:
    other = installation.new_company("Difference Engines")
    installation.new_user("carl@example.com", "Carl", company=other)
    theirs = installation.signed_in("carl@example.com").post(
        "/v1/roles", json={"name": "Theirs", "permissions": ["charges:get"]}
    )
    for role in (theirs.json()["id"], "rol_nobody", "%00"):
        for end in ("", "/edit", "/delete"):
            assert ada.get(f"/company/roles/{role}{end}").answer.status_code == 404
        for end in ("/edit", "/delete"):
            answer = ada.send(f"/company/roles/{role}{end}", {"do": "save", "name": "Mine"})
            assert answer.answer.status_code == 404
    assert "Theirs" not in ada.get("/company/roles").text
