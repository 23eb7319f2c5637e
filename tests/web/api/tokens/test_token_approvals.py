"""``/v1/access-tokens/{id}/approve``."""

from tests.support.apps.installation import Installation
from tests.support.apps.problems import reasons

SAMPLE = {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:create"]}


def test_a_second_person_approves(installation: Installation) -> None:
    ada, mona = installation.signed_in(), installation.joined("mona@example.com", role="manager")
    installation.require_approval("charges:create")
    made = ada.post("/v1/access-tokens", json=SAMPLE)
    assert made.status_code == 201
    token = made.json()
    path, text = f"/v1/access-tokens/{token['id']}", token["token"]
    assert (token["status"], token["approval"]["approved_at"]) == ("pending", None)
    assert [each["id"] for each in ada.get("/v1/access-tokens?status=pending").json()["items"]] == [
        token["id"]
    ]
    assert ada.get("/v1/access-tokens?status=active").json()["items"] == []

    assert installation.verify(text, permission="charges:create")["reason"] == "token_pending"
    refused = installation.client(text).get("/v1/me")
    assert reasons(refused) == (401, "token_pending")
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]

    assert reasons(ada.post(f"{path}/approve")) == (403, "second_person_required")
    rotated = ada.post(f"{path}/rotate", json={"close": "when_silent"})
    assert reasons(rotated) == (409, "token_pending")
    # What was looked at is what is approved.
    changed = ada.patch(path, json={"permissions": ["charges:create", "charges:get"]})
    assert changed.json()["status"] == "pending"
    stale = mona.post(f"{path}/approve", headers={"If-Match": made.headers["etag"]})
    assert reasons(stale) == (409, "changed_meanwhile")
    assert stale.json()["current"]["permissions"] == ["charges:create", "charges:get"]
    approved = mona.post(f"{path}/approve", headers={"If-Match": changed.headers["etag"]})
    assert approved.status_code == 200
    assert approved.json()["status"] == "active"
    assert approved.json()["approval"]["approved_by_name"] == "Somebody Else"
    assert approved.json() == ada.get(path).json()
    assert installation.verify(text, permission="charges:create")["allowed"]

    plain = ada.post("/v1/access-tokens", json={**SAMPLE, "permissions": ["charges:get"]}).json()
    plain_path = f"/v1/access-tokens/{plain['id']}"
    assert reasons(mona.post(f"{plain_path}/approve")) == (409, "not_pending")
    widened = ada.patch(plain_path, json={"permissions": ["charges:*"]})
    assert reasons(widened) == (409, "approval_required")
