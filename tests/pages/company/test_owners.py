"""/company/service-accounts and /company/external-owners: lists, form, deactivation, tokens."""

import pytest

from gatepass.registry.actor import Actor
from gatepass.registry.directory import owners
from tests.support.apps.installation import Installation
from tests.support.apps.used_tokens import use
from tests.support.browser.page_reader import Visit

PATH = "/company/service-accounts"
EXTERNAL = "/company/external-owners"
TOKEN = {"label": "Deploy", "kind": "api", "permissions": ["charges:get"]}


@pytest.fixture
def account(installation: Installation) -> str:
    made = installation.signed_in().post(
        "/v1/service-accounts", json={"name": "Deploys", "role": "customer-service"}
    )
    id: str = made.json()["id"]
    return id


@pytest.fixture
def external(installation: Installation) -> str:
    node = installation.node
    with node.database.write(node.clock.now()) as change:
        owner, _ = owners.put(
            change,
            Actor.command_line(),
            installation.ada.company,
            "cus_7",
            catalogue=node.catalogue,
            type="external",
            name="Harbour Cycles",
            role="customer-service",
        )
    return owner.id


def test_one_is_created_and_edited(installation: Installation, ada: Visit) -> None:
    page = ada.get(PATH)
    page.shows("No active service accounts")
    form = ada.get(f"{PATH}/new").form(f"{PATH}/new")
    assert form.offered["role"] == ["customer-service"]
    filled = form.filled(name="Deploys", role="customer-service")
    ada.send(f"{PATH}/new", [*filled, ("do", "sentence")]).shows(
        "Access tokens of Deploys can at most do everything in your product"
    )
    page = ada.send(f"{PATH}/new", [*filled, ("do", "save")], follow=True)
    page.shows("Service account created.", "Deploys", "Customer Service", "1 service account")
    edit = page.links["Edit"]
    form = ada.get(edit).form(edit)
    page = ada.send(edit, [*form.filled(name="Nightly"), ("do", "save")], follow=True)
    page.shows("Saved.", "Nightly")
    late = ada.send(edit, [*form.filled(name="Late"), ("do", "save")])
    assert late.answer.status_code == 409
    late.shows("Nightly", "Late")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "Must have 1 to 100 characters."),
        ({"role": "admin"}, "Must not include *"),
        ({"role": ""}, "Must be the id of a role."),
    ],
)
def test_what_is_refused_is_shown_beside_its_field(
    ada: Visit, changes: dict[str, str], message: str
) -> None:
    sent = {"name": "Deploys", "role": "customer-service", "do": "save"} | changes
    page = ada.send(f"{PATH}/new", list(sent.items()))
    assert page.answer.status_code == 422
    page.shows(message)


def test_the_lists_are_searched_and_lead_to_tokens(
    installation: Installation, ada: Visit, account: str, external: str
) -> None:
    client = installation.signed_in()
    client.post("/v1/access-tokens", json={**TOKEN, "owner": {"id": account}})
    client.post(
        "/v1/access-tokens",
        json={**TOKEN, "label": "Shop", "owner": {"external_id": "cus_7"}},
    )
    page = ada.get(PATH)
    assert "Harbour Cycles" not in page.text
    others = ada.get(page.links["external owners"])
    others.shows("Harbour Cycles", "cus_7", "1 external owner")
    assert "Edit" not in others.links
    for path, q, found in (
        (PATH, "deplo", True), (PATH, "cus_7", False), (PATH, account, True),
        (EXTERNAL, "cus_7", True), (EXTERNAL, "harbour", True), (EXTERNAL, "CUS_7", False),
    ):  # fmt: skip
        shown = ada.get(f"{path}?q={q}").text
        assert ("1 service account" in shown or "1 external owner" in shown) is found, (path, q)
    tokens = ada.get(f"/access-tokens?owner={external}&status=any")
    tokens.shows("Only access tokens of", "Harbour Cycles", "External owner", "Shop", "1 token")
    assert "Deploy" not in tokens.text.replace("Deploys", "")
    assert tokens.links["Show everyone's"] == "/access-tokens?status=any&kind=any"
    ada.get("/access-tokens?owner=svc_none").shows("No user, service account or external owner")
    ada.get("/audit-log").shows("created the service account Deploys as Customer Service")


def test_tokens_are_created_for_an_owner(
    installation: Installation, ada: Visit, rita: Visit, account: str, external: str
) -> None:
    form = ada.get("/access-tokens/new").form("/access-tokens/new")
    assert form.offered["owner"] == ["", account]
    form = ada.get(f"/access-tokens/new?owner={external}").form("/access-tokens/new")
    assert form.offered["owner"] == ["", account, external]
    assert form.one("owner") == external
    filled = form.filled(label="Deploy", permissions=["charges:get"], owner=account)
    page = ada.send("/access-tokens/new", [*filled, ("do", "create")])
    assert page.answer.status_code == 200
    (token,) = installation.signed_in().get("/v1/access-tokens").json()["items"]
    assert token["owner"]["id"] == account
    page = ada.get(f"/access-tokens/{token['id']}")
    page.shows("Owner", "Deploys", "Service account", "by Ada Lovelace")
    again = ada.get(f"/access-tokens/new?replace={token['id']}").form("/access-tokens/new")
    assert again.one("owner") == account
    filled = form.filled(label="Deploy", permissions=["users:get"], owner=account)
    page = ada.send(
        "/access-tokens/new",
        [(n, v) for n, v in filled if n != "form_id"]
        + [("form_id", again.one("form_id")), ("do", "create")],
    )
    assert page.answer.status_code == 403
    page.shows("You can't add users:get: its owner's role doesn't include it.")


def test_one_is_deactivated_with_its_tokens(
    installation: Installation, ada: Visit, account: str, external: str
) -> None:
    client = installation.signed_in()
    text = client.post("/v1/access-tokens", json={**TOKEN, "owner": {"id": account}}).json()
    for path, id, button in ((PATH, account, "1 access token"), (EXTERNAL, external, "cus_7")):
        where = f"{path}/{id}/deactivate"
        ada.get(where).shows("Deactivate ", "This can't be undone.", button)
        page = ada.send(where, [], follow=True)
        page.shows("Deactivated. Its access tokens are refused from now on.")
        assert ada.get(where).answer.status_code == 303
        ada.get(f"{path}?status=deactivated").shows("by Ada Lovelace")
    assert installation.client(text["token"]).get("/v1/me").status_code == 401


def test_a_token_in_use_asks_for_the_name(
    installation: Installation, ada: Visit, account: str
) -> None:
    client = installation.signed_in()
    text = client.post("/v1/access-tokens", json={**TOKEN, "owner": {"id": account}}).json()
    use(installation.node, text["token"], 60_000)
    where = f"{PATH}/{account}/deactivate"
    page = ada.send(where, [("name", "deploy")])
    assert page.answer.status_code == 422
    page.shows("used within the last hour")
    assert ada.send(where, [("name", "Deploys")]).answer.status_code == 303


def test_who_may_open_the_pages(rita: Visit, account: str, external: str) -> None:
    assert PATH not in rita.get("/company/users").html
    for path in (
        PATH, EXTERNAL, f"{PATH}/new", f"{PATH}/{account}/edit", f"{PATH}/{account}/deactivate",
        f"{EXTERNAL}/{external}/deactivate",
    ):  # fmt: skip
        assert rita.get(path).answer.status_code == 403, path
