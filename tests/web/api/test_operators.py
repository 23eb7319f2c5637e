"""Operators' accounts over REST: changed by operators only, and the last one stays."""

from typing import Any

from tests.support.apps.installation import Installation
from tests.support.apps.problems import reasons


def test_an_administrator_cannot_change_an_operators_account(
    any_installation: Installation,
) -> None:
    ada, login = any_installation.ada.id, any_installation.sign_in()
    bob = any_installation.joined("bob@example.com", "Bob Admin")
    tries: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", f"/v1/users/{ada}", {"role": "reporting"}),
        ("POST", f"/v1/users/{ada}/deactivate", {}),
        ("POST", f"/v1/users/{ada}/second-factor/deactivate", {}),
        ("POST", f"/v1/users/{ada}/email", {"email": "new@example.com"}),
        ("POST", f"/v1/authentications/{login[:21]}/deactivate", {}),
    ]
    for method, path, body in tries:
        refusal = bob.request(method, path, json=body)
        assert reasons(refusal) == (403, "operator_required"), path
        assert "Ada Lovelace is an operator" in refusal.json()["detail"]
    assert any_installation.client(login).get("/v1/me").status_code == 200
    # Another operator can, except for the address.
    olga = any_installation.joined("olga@example.com", "Olga Operator", operator=True)
    for method, path, body in sorted(tries, key=lambda each: "deactivate" in each[1]):
        answer = olga.request(method, path, json=body)
        assert answer.status_code == (403 if path.endswith("email") else 200), answer.text


def test_the_last_operator_cannot_be_deactivated(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    any_installation.new_user("bob@example.com", "Bob Admin")
    path = f"/v1/users/{any_installation.ada.id}/deactivate"
    assert reasons(ada.post(path, json={})) == (409, "last_operator")
    any_installation.new_user(
        "carl@example.com", "Carl", company=any_installation.new_company("Contoso"), operator=True
    )
    assert ada.post(path, json={}).status_code == 200
