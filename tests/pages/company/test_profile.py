"""My Company > Profile."""

from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit


def test_the_profile_shows_the_company(installation: Installation, ada: Visit) -> None:
    token = installation.access_token("charges:get")
    installation.access_token("charges:get")
    installation.signed_in().post(f"/v1/access-tokens/{token[:21]}/deactivate")
    page = ada.get("/company")
    assert "Analytical Engines" in page.text
    assert installation.company.id in page.text
    assert page.text.count("1 active") == 2, "one person and one token"
    assert "/company/users?status=active" in page.html
    assert page.links["1 deactivated"] == "/access-tokens?status=deactivated"


def test_renaming_reports_a_conflict(installation: Installation, ada: Visit) -> None:
    form = ada.get("/company").form("/company")
    changed = ada.send("/company", form.filled(name="  Engines Ltd "), follow=True)
    assert "Saved." in changed.text
    assert "Engines Ltd" in ada.get("/access-tokens").text
    late = ada.send("/company", form.filled(name="Engines & Sons"))
    assert late.answer.status_code == 409
    late.shows("You saved changes", "Engines Ltd", "Engines & Sons")
    ada.send("/company", late.form("/company").filled())
    assert "Engines & Sons" in ada.get("/company").text


def test_invalid_names_are_refused(installation: Installation, ada: Visit) -> None:
    installation.new_company("Difference Engines")
    form = ada.get("/company").form("/company")
    for name, status, words in (
        ("", 422, "Must have 1 to 100 characters."),
        ("difference engines", 409, "A company named difference engines already exists."),
    ):
        page = ada.send("/company", form.filled(name=name))
        assert page.answer.status_code == status
        assert words in page.text
        assert page.form("/company").one("name") == name
    assert "Analytical Engines" in ada.get("/company").text


def test_who_may(installation: Installation, rita: Visit) -> None:
    page = rita.get("/company")
    assert "company:modify" in page.text
    assert not [form for form in page.forms if form.action == "/company"]
    assert rita.send("/company", {"name": "Mine", "etag": "x"}).answer.status_code == 403
    assert "Analytical Engines" in rita.get("/company").text
