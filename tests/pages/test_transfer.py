"""What is sent over the wire: compressed, except where the length would tell a secret."""

import gzip
import re
from typing import Any

import pytest

from gatepass.web.pages.layout.static_files import _FILES, imported_by, static
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Visit

LIST = "/access-tokens"
#: What the list weighs at most: its page, style sheet and scripts, on a first visit.
MOST_BYTES = 25_000
GZIP = {"Accept": "text/html", "Accept-Encoding": "gzip", "Sec-Fetch-Site": "same-origin"}


def sent(visit: Visit, path: str, **headers: str) -> Any:
    return visit.client.get(path, headers={**GZIP, **headers})


def weight(answer: Any) -> int:
    """The bytes of the answer's body on the wire."""
    return int(answer.headers["content-length"])


def test_the_list_is_light(installation: Installation, ada: Visit) -> None:
    with installation.signed_in() as client:
        for number in range(50):
            token = {
                "label": f"Nightly settlement {number * 7919 % 1000}",
                "kind": "api",
                "permissions": ["charges:get", "charges:create"],
                "networks": [f"203.0.{number}.0/24"],
            }
            assert client.post("/v1/access-tokens", json=token).status_code == 201
    page = sent(ada, LIST)
    assert page.text.count("data-tick>") == 50
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+\.(?:css|js))"', page.text)
    weights = {each: weight(sent(ada, each)) for each in set(addresses)}
    assert weight(page) + sum(weights.values()) < MOST_BYTES, weights


def test_pages_are_compressed_for_those_who_accept_it(ada: Visit) -> None:
    for method in ("GET", "HEAD"):
        answer = ada.client.request(method, LIST, headers=GZIP)
        assert answer.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in answer.headers["vary"]
        assert weight(answer) < 8_000
    plain = sent(ada, LIST, **{"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["vary"]
    assert plain.text.startswith("<!doctype html>")
    assert weight(plain) == len(plain.content)


def test_pages_that_another_site_asked_for_are_not(ada: Visit) -> None:
    """It could choose the query, which many pages show, and watch the length (BREACH)."""
    for site in ("cross-site", "same-site"):
        answer = sent(ada, f"{LIST}?q=guess", **{"Sec-Fetch-Site": site})
        assert (answer.status_code, answer.headers.get("content-encoding")) == (200, None)
    assert sent(ada, f"{LIST}?q=guess").headers["content-encoding"] == "gzip"


def test_pages_with_a_secret_are_not(installation: Installation, ada: Visit) -> None:
    """A secret that is shown once is in the answer to a form; one to scan is in a page."""
    page = sent(ada, "/account/two-factor")
    assert "data-secret" in page.text
    assert "content-encoding" not in page.headers
    form = ada.get(f"{LIST}/new").form(f"{LIST}/new")
    fields = form.filled(label="Nightly", permissions=["charges:get"], do="create")
    created = ada.send(f"{LIST}/new", fields, headers=GZIP).answer
    assert re.search(r"gpat_\w{54}", created.text), created.text
    assert "content-encoding" not in created.headers
    link = f"/invitations/{'x' * 60}"
    assert "content-encoding" not in sent(ada, link).headers


@pytest.mark.parametrize(
    "template",
    [
        *("access_tokens/created", "account/recovery_codes", "account/two_factor"),
        *("company/_key_created", "company/invitation_link", "company/webhook_secret"),
    ],
)
def test_every_secret_is_marked(template: str) -> None:
    from gatepass.web.pages.layout.templating import PAGES, page_environment

    source, _, _ = PAGES.get_source(page_environment(PAGES), f"{template}.html")
    shown = re.findall(
        r"<(?:output|pre)[^>]*>\{\{ ?[^}]*?(?:text|link|secret|codes)[^}]*\}\}", source
    )
    assert shown
    assert all("data-secret" in each for each in shown), shown


def test_static_files_are_compressed(stranger: Visit) -> None:
    for name, content in _FILES.items():
        small = stranger.client.get(static(name), headers=GZIP)
        assert (small.headers["content-encoding"], small.content) == ("gzip", content)
        assert weight(small) < len(content)
        whole = stranger.client.get(
            static(name), headers={"Accept-Encoding": "identity", "Range": "bytes=0-9"}
        )
        # The whole file, as it may be: no part of another coding.
        assert (whole.status_code, whole.content) == (200, content)
        assert "content-encoding" not in whole.headers
        assert small.headers["vary"] == whole.headers["vary"] == "Accept-Encoding"


def test_the_component_has_an_etag_for_each_coding(stranger: Visit) -> None:
    path = "/components/access-tokens.js"
    small = stranger.client.get(path, headers=GZIP)
    whole = stranger.client.get(path, headers={"Accept-Encoding": "identity"})
    assert small.content == whole.content
    assert small.headers["etag"] != whole.headers["etag"]
    assert (small.headers["content-encoding"], small.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert weight(small) == len(gzip.compress(whole.content, 9))
    for answer, coding in ((small, "gzip"), (whole, "identity")):
        known = {"If-None-Match": answer.headers["etag"], "Accept-Encoding": coding}
        assert stranger.client.get(path, headers=known).status_code == 304


def test_the_api_is_not_compressed(installation: Installation) -> None:
    with installation.signed_in() as client:
        answer = client.get("/v1/permissions", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers


def test_imported_scripts_are_preloaded(ada: Visit) -> None:
    """So that a browser doesn't learn of them from another script."""
    page = ada.get(f"{LIST}/new")
    preloaded = [a["href"] for tag, a in page.elements if a.get("rel") == "modulepreload"]
    scripts = [a["src"] for tag, a in page.elements if tag == "script"]
    names = [each.rpartition("/")[2] for each in scripts]
    assert names == ["gatepass.js", "token_form.js"]
    assert preloaded == [static(name) for name in imported_by(names)]
    assert static("picker.js") in preloaded
