"""``/v1/verifier-keys``: for operators."""

from tests.support.apps.installation import Installation
from tests.support.apps.problems import reasons


def test_operators_list_and_deactivate_verifier_keys(any_installation: Installation) -> None:
    text = any_installation.verifier_key("nginx")
    ada = any_installation.signed_in()
    (key,) = ada.get("/v1/verifier-keys").json()["items"]
    assert key["id"] == text[:21]
    assert (key["label"], key["status"]) == ("nginx", "active")
    assert (key["created_by"], key["created_by_name"]) == (None, "the command line")
    assert text[21:] not in ada.get("/v1/verifier-keys").text
    client = any_installation.client(text)
    question = {"token": "x", "permission": "charges:get"}
    assert client.post("/v1/verify", json=question).status_code == 200
    ended = ada.post(f"/v1/verifier-keys/{key['id']}/deactivate")
    assert ended.json()["status"] == "deactivated"
    assert ended.json()["deactivated_by"] == any_installation.ada.id
    assert reasons(client.post("/v1/verify", json=question)) == (401, "token_deactivated")
    again = ada.post(f"/v1/verifier-keys/{key['id']}/deactivate")
    assert (again.status_code, again.json()) == (200, ended.json())
    assert again.headers["etag"] == ended.headers["etag"]
    missing = ada.post("/v1/verifier-keys/gpvk_0000000000000000/deactivate")
    assert missing.status_code == 404


def test_only_operators_may(installation: Installation) -> None:
    id = installation.verifier_key()[:21]
    bob = installation.joined("bob@example.com", role="admin")
    token = installation.client(installation.access_token("users:*", "company:get"))
    for client, reason in ((bob, "operator_required"), (token, "signed_in_user_required")):
        for method, path in (
            ("GET", "/v1/verifier-keys"),
            ("POST", f"/v1/verifier-keys/{id}/deactivate"),
        ):
            refused = client.request(method, path)
            assert reasons(refused) == (403, reason)
            assert "www-authenticate" not in refused.headers
