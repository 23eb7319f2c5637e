"""The lifetime of a login token: exact to the second, without a cleanup job."""

from gatepass.web.times import parse_time
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.apps.problems import reasons
from tests.support.apps.surfaces import decided, gateway
from tests.support.browser.page_reader import Visit


def test_a_login_token_expires_after_10800_seconds(installation: Installation) -> None:
    clock = installation.node.clock
    frozen = clock.boot_ns()
    clock.boot_ns = lambda: frozen
    visit = Visit.signed_in(installation.client())
    made = installation.client().post(
        "/v1/authentications", json={"email": "ada@example.com", "password": PASSWORD}
    )
    login, record = made.json()["token"], made.json()["authentication"]
    client = installation.client(login)
    assert parse_time(record["expires_at"]) - parse_time(record["created_at"]) == 10_800_000
    assert parse_time(record["created_at"]) == clock.now()

    clock.offset_ns += 10_799 * 1_000_000_000
    assert client.get("/v1/me").status_code == 200
    assert client.get("/v1/authentications").json()["items"][0]["status"] == "active"
    assert visit.get("/authentications").answer.status_code == 200
    assert decided(installation, login, "127.0.0.1") == (200, "allowed")
    assert gateway(installation, login, "127.0.0.1") == (204, None)

    clock.offset_ns += 1_000_000_000
    assert reasons(client.get("/v1/me")) == (401, "token_expired")
    page = visit.get("/authentications")
    assert page.answer.status_code == 303
    assert page.answer.headers["location"] == "/sign-in?next=/authentications"
    assert decided(installation, login, "127.0.0.1") == (401, "token_expired")
    assert gateway(installation, login, "127.0.0.1") == (401, "token_expired")
    # Expiry writes nothing; it follows from the record.
    fresh = installation.signed_in().get("/v1/authentications").json()["items"]
    assert [one["status"] for one in fresh] == ["active", "expired", "expired"]
