"""``/.well-known``: what people's tools look for."""

from datetime import datetime

from tests.support.apps.installation import Installation, Open


def test_there_is_no_security_txt_without_a_contact(installation: Installation) -> None:
    assert installation.client().get("/.well-known/security.txt").status_code == 404


def test_security_txt_names_the_contact(open_installation: Open, sqlite_url: str) -> None:
    installation = open_installation(sqlite_url, security_contact="mailto:security@example.com")
    answer = installation.client().get("/.well-known/security.txt")
    assert (answer.status_code, answer.headers["content-type"]) == (
        200,
        "text/plain; charset=utf-8",
    )
    fields = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert fields["Contact"] == "mailto:security@example.com"
    assert fields["Canonical"] == "http://127.0.0.1:8787/.well-known/security.txt"
    left = (
        datetime.fromisoformat(fields["Expires"]).timestamp() - installation.node.clock.now() / 1000
    )
    assert 80 * 86_400 < left < 100 * 86_400


def test_password_managers_find_the_page(installation: Installation) -> None:
    answer = installation.client().get("/.well-known/change-password", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/password")


def test_programs_find_the_endpoints(installation: Installation) -> None:
    client, url = installation.client(), "http://127.0.0.1:8787"
    authzen = client.get("/.well-known/authzen-configuration").json()
    assert authzen["policy_decision_point"] == url
    assert authzen["access_evaluation_endpoint"] == f"{url}/access/v1/evaluation"
    assert authzen["access_evaluations_endpoint"] == f"{url}/access/v1/evaluations"
    resource = client.get("/.well-known/oauth-protected-resource").json()
    assert (resource["resource"], resource["bearer_methods_supported"]) == (url, ["header"])
