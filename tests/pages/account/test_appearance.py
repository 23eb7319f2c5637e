"""Light, dark or the system's, chosen in My account and kept by a cookie, without scripts."""

from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit


def themed(page: Page) -> tuple[str, str]:
    tags = dict(page.elements)
    (scheme,) = (each["content"] for _, each in page.elements if each.get("name") == "color-scheme")
    return tags["html"].get("data-theme", ""), scheme


def test_every_page_has_the_chosen_appearance(installation: Installation, ada: Visit) -> None:
    assert themed(ada.get("/account")) == ("", "light dark")
    assert ada.get("/account").form("/account/appearance").one("theme") == ""
    for chosen, scheme in (("dark", "dark"), ("light", "light")):
        answer = ada.send("/account/appearance", {"theme": chosen}).answer
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        for attribute in ("HttpOnly", "SameSite=lax", "Path=/"):
            assert attribute in cookie
        for path in ("/account", "/access-tokens", "/nothing", "/v1/docs"):
            page = ada.get(path, headers={"Accept": "text/html"})
            assert themed(page) == (chosen, scheme), path
    assert ada.get("/account").form("/account/appearance").one("theme") == "light"
    # Signed out, too, and it is this browser's alone.
    ada.send("/sign-out", {})
    assert themed(ada.get("/sign-in")) == ("light", "light")
    assert themed(Visit(installation.client()).get("/sign-in"))[0] == ""


def test_an_unknown_appearance_follows_the_system(ada: Visit) -> None:
    ada.send("/account/appearance", {"theme": "dark"})
    ada.send("/account/appearance", {"theme": "'><script>"})
    assert themed(ada.get("/account")) == ("", "light dark")
    ada.client.cookies.set("gatepass-theme", "sepia")
    assert themed(ada.get("/account"))[0] == ""
