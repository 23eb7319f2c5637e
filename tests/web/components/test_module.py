"""The component's module: what host pages load, and what it must not contain."""

import gzip
import re
from collections import Counter
from importlib.resources import files

from gatepass.web.components.module import _MODULE, ENTRY, joined
from tests.support.apps.installation import Installation

PATH = f"/components/{ENTRY}"
SOURCES = {
    each.name: each.read_text("utf-8")
    for each in (files("gatepass.web.components") / "static").iterdir()
}
#: Those of the dashboard's pages that it uses, too.
SHARED = {
    name: (files("gatepass.web.pages") / "static" / name).read_text("utf-8")
    for name in ("networks.js", "network_diagram.js")
}
_DEFINING = "(?:class|function|const|let)"
FORBIDDEN = (
    *("localStorage", "sessionStorage", "indexedDB", ".cookie", "history.", "location."),
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"),
    *('setAttribute("style"', ".style.", "cssText", "postMessage"),
)


def test_any_page_can_load_it(installation: Installation) -> None:
    answer = installation.client().get(PATH, headers={"Origin": "https://shop.example"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert "set-cookie" not in answer.headers
    # Browsers ask each time: the address stays the same in the next release.
    assert answer.headers["cache-control"] == "public, no-cache"
    known = {"If-None-Match": f'"other", {answer.headers["etag"]}'}
    again = installation.client().get(PATH, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["access-control-allow-origin"] == "*"
    assert installation.client().head(PATH).headers["etag"] == answer.headers["etag"]
    assert installation.client().get("/components/strings.js").status_code == 404


def test_it_is_small() -> None:
    assert len(gzip.compress(_MODULE)) < 30_000


def test_it_is_whole() -> None:
    """Each source module is in it, after those that it imports, and nothing is left to load."""
    text = joined()
    assert not re.search(r"^\s*import\b|\bimport\(", text, re.MULTILINE)
    assert re.findall(r"^export .*", text, re.MULTILINE) == [
        "export class AccessTokens extends HTMLElement {"
    ]
    assert 'const NAME = "gatepass-access-tokens";' in text
    defined = Counter[str]()
    for name, source in (SOURCES | SHARED).items():
        names = re.findall(rf"^(?:export )?(?:async )?{_DEFINING} (\w+)", source, re.MULTILINE)
        assert names, name
        defined.update(names)
        for each in names:
            assert re.search(rf"^(?:export )?(?:async )?{_DEFINING} {each}\b", text, re.MULTILINE)
    # One scope for all: two of the same name are an error in browsers.
    assert [each for each, times in defined.items() if times > 1] == []


def test_it_neither_stores_nor_writes_markup() -> None:
    """The session token stays in memory; strict policies and Trusted Types hold on host pages."""
    text = joined()
    assert [each for each in FORBIDDEN if each in text] == []
