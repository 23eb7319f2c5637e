"""/company/admin-keys: for operators; a key is shown once, and deactivated after confirmation."""

import html
import re

from tests.support.apps.installation import Installation

HEADERS = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
FORM = {
    "label": "Shop",
    "permissions": ["companies", "tokens"],
    "expire": "30d",
    "networks": "203.0.113.0/24\n127.0.0.1\n",
    "do": "create",
    "form_id": "A" * 22,
}


def test_an_operator_creates_and_deactivates_a_key(any_installation: Installation) -> None:
    ada = any_installation.signed_in()
    ada.headers.update(HEADERS)
    assert "No admin keys yet" in ada.get("/company/admin-keys").text
    created = ada.post("/company/admin-keys/new", data={**FORM, "company": "analytical engines"})
    assert created.status_code == 200
    found = re.search(r"gpak_[0-9A-Za-z]{54}", created.text)
    assert found is not None
    text = found[0]
    words = html.unescape(re.sub(r"<[^>]+>", "", created.text))
    assert "It may manage companies and access tokens in" in words
    assert "Analytical Engines" in words
    client = any_installation.client(text)
    assert client.get("/v1/companies").is_success
    page = ada.get("/company/admin-keys").text
    assert text[:21] in page
    assert text not in page
    where = f"/company/admin-keys/{text[:21]}/deactivate"
    asked = ada.get(where)
    assert "This can't be undone." in asked.text
    assert client.get("/v1/companies").is_success
    done = ada.post(where, data={}, follow_redirects=True)
    assert "Every call with the key is refused now." in done.text
    assert client.get("/v1/companies").status_code == 401


def test_mistakes_are_shown_at_their_fields(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    for change, message in (
        ({"label": ""}, "Must have 1 to 100 characters."),
        ({"permissions": []}, "Must be at least one."),
        ({"permissions": ["everything"]}, "Must be one of companies"),
        ({"company": "Nobody's"}, "Must be the name of an active company."),
        ({"networks": "127.0.0.1\nnowhere"}, "Line 2: "),
        ({"expire": "at", "expires_on": "2001-01-01T00:00"}, "Must be in the future."),
    ):
        answer = ada.post("/company/admin-keys/new", data={**FORM, **change})
        assert answer.status_code == 422, change
        assert html.escape(message, quote=True) in answer.text.replace("&#39;", "&#x27;"), change
        assert "gpak_" not in answer.text
    assert ada.get("/v1/admin-keys").json()["items"] == []


def test_only_operators_open_it(installation: Installation) -> None:
    bob = installation.joined("bob@example.com", role="admin")
    bob.headers.update(HEADERS)
    assert "/company/admin-keys" not in bob.get("/company").text
    for path in ("", "/new", "/gpak_0000000000000000/deactivate"):
        assert bob.get(f"/company/admin-keys{path}").status_code == 403
    assert bob.post("/company/admin-keys/new", data=FORM).status_code == 403
    assert bob.post("/company/admin-keys/gpak_0000000000000000/deactivate").status_code == 403
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    assert "/company/admin-keys" in ada.get("/company").text


def test_a_form_creates_one_key(any_installation: Installation) -> None:
    """However often it is sent, also after another sign-in; its text is shown once."""
    ada = any_installation.signed_in()
    ada.headers.update(HEADERS)
    opened = ada.get("/company/admin-keys/new").text
    found = re.search(r'name="form_id" value="([A-Za-z0-9_-]{22})"', opened)
    assert found is not None
    form = {**FORM, "form_id": found[1]}
    assert "gpak_" in ada.post("/company/admin-keys/new", data=form).text
    again = any_installation.signed_in()
    again.headers.update(HEADERS)
    for client in (ada, again):
        answer = client.post("/company/admin-keys/new", data={**form, "label": "Other"})
        assert answer.status_code == 409
        assert "This admin key was already created" in answer.text
        assert "gpak_" not in answer.text
    assert len(ada.get("/v1/admin-keys").json()["items"]) == 1
    # A refused form has created nothing.
    another = {**form, "form_id": "B" * 22}
    assert ada.post("/company/admin-keys/new", data={**another, "label": ""}).status_code == 422
    assert ada.post("/company/admin-keys/new", data=another).status_code == 200
    for wrong in ("", "B" * 21, "C" * 23, "\0" * 22):
        answer = ada.post("/company/admin-keys/new", data={**form, "form_id": wrong})
        assert answer.status_code == 422
        assert "The form was incomplete." in answer.text
    assert len(ada.get("/v1/admin-keys").json()["items"]) == 2


def test_an_exact_date_is_in_the_viewers_time_zone(installation: Installation) -> None:
    ada = installation.signed_in()
    ada.headers.update(HEADERS)
    exactly = {"expire": "at", "expires_on": "2100-01-01T12:00", "offset": "330"}
    ada.post("/company/admin-keys/new", data={**FORM, **exactly})
    (key,) = ada.get("/v1/admin-keys").json()["items"]
    assert key["expires_at"] == "2100-01-01T06:30:00.000Z"
    assert "/expiry.js" in ada.get("/company/admin-keys/new").text
