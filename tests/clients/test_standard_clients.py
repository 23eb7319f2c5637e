"""Clients of others that ask by a standard: Authlib, oauth4webapi, Apache and an AuthZEN client."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import decern
import httpx
import pytest
from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from flask import Flask

from tests.clients.programs import NODE_TOOLS, ROOT, run
from tests.support.processes.apache import Apache, documented
from tests.support.processes.ports import free_port
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.waiting import until

pytestmark = pytest.mark.processes

PAGE = ROOT / "docs/how-to/ask-by-standards.md"
READS = ["charges:get"]


@pytest.fixture(scope="module")
def person(shared_served: ServedInstallation) -> Iterator[httpx.Client]:
    with shared_served.sign_in() as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_authlibs_resource_protector(
    shared_served: ServedInstallation, person: httpx.Client
) -> None:
    """A Flask application whose tokens Authlib introspects."""

    class Introspected(IntrospectTokenValidator):
        def introspect_token(self, token_string: str) -> Any:
            key = ("orders", shared_served.verifier_key)
            answer = httpx.post(
                f"{shared_served.verify_url}/v1/introspect",
                data={"token": token_string, "token_type_hint": "access_token"},
                auth=key,
            )
            answer.raise_for_status()
            return answer.json()

    app, protected = Flask(__name__), ResourceProtector()
    protected.register_token_validator(Introspected())

    @app.get("/charges")
    @protected("charges:get")
    def charges() -> str:
        return str(current_token["client_id"])

    @app.get("/refunds")
    @protected("charges:create")
    def refunds() -> str:
        return "never"

    expiring = {"expires_at": "2099-01-01T00:00:00Z"}
    for more in ({}, expiring):
        token = new_token(person, "Authlib", permissions=READS, **more)
        client = app.test_client()
        answer = client.get("/charges", headers=bearer(token["token"]))
        assert (answer.status_code, answer.text) == (200, token["id"])
        lacking = client.get("/refunds", headers=bearer(token["token"]))
        assert (lacking.status_code, lacking.json["error"]) == (403, "insufficient_scope")
    limited = new_token(person, "elsewhere", permissions=READS, networks=["192.0.2.0/24"])
    for text in (limited["token"], "gpat_wrong", "x"):
        answer = client.get("/charges", headers=bearer(text))
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_token")
    assert client.get("/charges").status_code == 401


def test_authlibs_client_introspects_and_revokes(
    shared_served: ServedInstallation, person: httpx.Client
) -> None:
    token = new_token(person, "revoked", permissions=READS)["token"]
    client = OAuth2Client("gateway", shared_served.verifier_key)
    introspect = f"{shared_served.verify_url}/v1/introspect"
    told = client.introspect_token(introspect, token=token, token_type_hint="access_token")
    assert (told.status_code, told.json()["active"]) == (200, True)
    revoke = f"{shared_served.url}/v1/revoke"
    for text in (token, token, "gpat_wrong"):
        answer = client.revoke_token(revoke, token=text, token_type_hint="access_token")
        assert answer.status_code == 200
    until(lambda: client.introspect_token(introspect, token=token).json() == {"active": False})


def test_oauth4webapi(shared_served: ServedInstallation, person: httpx.Client, work: Path) -> None:
    token = new_token(person, "certified", permissions=READS)
    environ = {
        "GATEPASS_URL": shared_served.url,
        "GATEPASS_VERIFIER_KEY": shared_served.verifier_key,
        "GATEPASS_TOKEN": token["token"],
    }
    (work / "client.mjs").write_text((Path(__file__).parent / "oauth_client.mjs").read_text())
    assert run(f"{NODE_TOOLS}/node client.mjs", work, environ) == "done\n"
    record = person.get(f"/v1/access-tokens/{token['id']}").json()
    assert (record["status"], record["deactivated_by"]) == ("deactivated", "reported")


@pytest.mark.apache
def test_apache_as_the_page_shows(
    shared_served: ServedInstallation, person: httpx.Client, tmp_path: Path
) -> None:
    """Apache httpd with mod_auth_openidc as the resource server."""
    files = tmp_path / "htdocs/v1"
    files.mkdir(parents=True)
    (files / "charges").write_text("charges\n")
    (files / "refunds").write_text("refunds\n")
    for each in (tmp_path, *tmp_path.parents[:3]):
        each.chmod(0o755)
    port = free_port()
    configuration = documented(PAGE, {"https://tokens.example.com": f"https://127.0.0.1:{port}"})
    environ = {"GATEPASS_VERIFIER_KEY": shared_served.verifier_key}
    forever = new_token(person, "Apache", permissions=READS)
    expiring = {"expires_at": "2099-01-01T00:00:00Z"}
    tokens = [forever, new_token(person, "Apache, a while", permissions=READS, **expiring)]
    other = new_token(person, "Apache, other", permissions=["charges:create"])
    with Apache(tmp_path, configuration, environ, port, shared_served.verify_url) as apache:
        charges = f"{apache.url}/v1/charges"
        for token in tokens:
            answer = httpx.get(charges, headers=bearer(token["token"]))
            assert (answer.status_code, answer.text) == (200, "charges\n")
        assert httpx.get(charges, headers=bearer(other["token"])).status_code in (401, 403)
        assert httpx.get(charges, headers=bearer("gpat_wrong")).status_code == 401
        assert httpx.get(charges).status_code == 401
        for token in tokens:
            person.post(f"/v1/access-tokens/{token['id']}/deactivate", json={})
        for token in tokens:
            call = {"token": token["token"], "permission": "charges:get"}
            until(lambda call=call: not shared_served.verify(**call)["allowed"])
            # Nothing is remembered.
            assert httpx.get(charges, headers=bearer(token["token"])).status_code == 401
        assert shared_served.verifier_key not in apache.error_log.read_text()


def test_an_authzen_client(shared_served: ServedInstallation, person: httpx.Client) -> None:
    token = new_token(person, "AuthZEN", permissions=READS, networks=["192.0.2.0/24"])
    found = httpx.get(f"{shared_served.url}/.well-known/authzen-configuration").json()
    base = found["access_evaluation_endpoint"].removesuffix("/access/v1/evaluation")
    assert base == found["policy_decision_point"]
    client = decern.Client(base, token=shared_served.verifier_key)
    subject = {"type": "access_token", "id": token["token"]}
    charge = {"type": "charges", "id": "ch_1"}
    for action, address, reason in (
        ("get", "192.0.2.1", "allowed"),
        ("create", "192.0.2.1", "permission_missing"),
        ("get", "198.51.100.1", "address_not_allowed"),
    ):
        decision = client.evaluate(subject, action, charge, {"address": address})
        assert decision.allowed is (reason == "allowed")
        assert decision.context["reason"] == reason
    with pytest.raises(decern.DecernError) as refused:
        client.evaluate({"type": "user", "id": "alice"}, "get", charge)
    assert refused.value.status_code == 400
    with pytest.raises(decern.DecernError) as refused:
        decern.Client(base, token="gpvk_wrong").evaluate(subject, "get", charge)
    assert (refused.value.status_code, json.loads(refused.value.body)["status"]) == (401, 401)
