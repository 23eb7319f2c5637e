"""/company/verifier-keys: for operators; a key is shown once, and ended after confirmation."""

import html
import re

from tests.support.apps.installation import Installation

HEADERS = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
PATH = "/company/verifier-keys"
FORM = {"label": "nginx in Frankfurt", "companies": "", "do": "create", "form_id": "A" * 22}


def words(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_an_operator_creates_and_deactivates_a_key(any_installation: Installation) -> None:
    other = any_installation.new_company("Difference Engines")
    ada = any_installation.signed_in()
    ada.headers.update(HEADERS)
    token = any_installation.access_token("charges:get")
    assert "No verifier keys yet" in ada.get(PATH).text
    companies = "\n difference engines \n\n"
    created = ada.post(f"{PATH}/new", data={**FORM, "companies": companies})
    assert created.status_code == 200
    found = re.search(r"gpvk_[0-9A-Za-z]{54}", created.text)
    assert found is not None
    key = found[0]
    assert "the access tokens of Difference Engines alone" in words(created.text)
    (record,) = ada.get("/v1/verifier-keys").json()["items"]
    assert (record["id"], record["companies"]) == (key[:21], [other.id])
    listed = ada.get(PATH).text
    assert key[:21] in listed
    assert key not in listed
    client = any_installation.client(key)
    call = {"token": token, "permission": "charges:get"}
    # Another company's token is unknown to it.
    assert client.post("/v1/verify", json=call).json()["reason"] == "token_invalid"
    asked = ada.get(f"{PATH}/{key[:21]}/deactivate")
    assert "This can't be undone." in asked.text
    assert client.post("/v1/verify", json=call).status_code == 200
    done = ada.post(f"{PATH}/{key[:21]}/deactivate", data={}, follow_redirects=True)
    assert "Every request with the key is refused now." in done.text
    assert client.post("/v1/verify", json=call).status_code == 401


def test_without_companies_it_decides_for_all(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    created = ada.post(f"{PATH}/new", data=FORM)
    assert "access tokens of every company" in words(created.text)
    (record,) = ada.get("/v1/verifier-keys").json()["items"]
    assert record["companies"] is None


def test_mistakes_are_shown_at_their_fields(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    for change, message in (
        ({"label": ""}, "Must have 1 to 100 characters."),
        ({"companies": "Analytical Engines\n\nNobody's"}, "Line 3: Must be the name of an active"),
        ({"companies": "x\n" * 201}, "Must be at most 200 companies."),
        ({"form_id": ""}, "The form was incomplete."),
    ):
        answer = ada.post(f"{PATH}/new", data={**FORM, **change})
        assert answer.status_code == 422, change
        assert message in words(answer.text), change
        assert "gpvk_" not in answer.text
    assert ada.get("/v1/verifier-keys").json()["items"] == []


def test_a_form_creates_one_key(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    assert "gpvk_" in ada.post(f"{PATH}/new", data=FORM).text
    again = ada.post(f"{PATH}/new", data=FORM)
    assert again.status_code == 409
    assert "This verifier key was already created" in again.text
    assert "gpvk_" not in again.text
    assert len(ada.get("/v1/verifier-keys").json()["items"]) == 1


def test_only_operators_open_it(installation: Installation) -> None:
    bob = installation.joined("bob@example.com", role="admin")
    bob.headers.update(HEADERS)
    assert PATH not in bob.get("/company").text
    for path in ("", "/new", "/gpvk_0000000000000000/deactivate"):
        assert bob.get(f"{PATH}{path}").status_code == 403
    assert bob.post(f"{PATH}/new", data=FORM).status_code == 403
    assert bob.post(f"{PATH}/gpvk_0000000000000000/deactivate").status_code == 403
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    assert PATH in ada.get("/company").text
    assert ada.get(f"{PATH}/gpvk_0000000000000000/deactivate").status_code == 404
