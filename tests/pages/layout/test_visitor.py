"""Who visits a page."""

from tests.support.apps.installation import Installation


def test_a_service_accounts_token_has_no_pages(installation: Installation) -> None:
    ada = installation.signed_in()
    body = {"name": "Robot", "role": "customer-service"}
    account = ada.post("/v1/service-accounts", json=body).json()["id"]
    made = {"label": "x", "kind": "api", "permissions": ["charges:get"], "owner": {"id": account}}
    text = ada.post("/v1/access-tokens", json=made).json()["token"]
    for path in ("/access-tokens", "/decisions/dec_0000000000000000000000", "/search?q=x"):
        answer = installation.client(text).get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 403, path
