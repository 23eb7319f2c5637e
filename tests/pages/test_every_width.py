"""No page scrolls sideways: each one with long names and IPv6 networks, at nine widths."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from gatepass.web.pages.layout.static_files import _VERSION
from tests.support.apps.every_page import every_page, one_of_everything
from tests.support.apps.installation import Installation
from tests.support.browser.chromium import chromium
from tests.support.browser.page_reader import Visit

WIDTHS = [320, 390, 640, 768, 861, 1024, 1180, 1280, 1600]
#: Of 100 characters, the last word without a place to break.
LONG = f"Reconciliation of card settlements with the statements of {'W' * 42}"
NETWORKS = ["2001:db8:85a3:8d3::/64", "2001:db8:85a3:8d3:1319:8a2e:370:7348"]
#: In the browser: opens a page in a frame, with all that can be opened on it, and returns the
#: widths at which it scrolls sideways, each with what reaches beyond the window.
MEASURE = """async ([path, widths]) => {
    const frame = document.createElement("iframe");
    const loaded = new Promise((resolve) => (frame.onload = resolve));
    frame.src = path;
    frame.style = "border: 0; block-size: 900px; inline-size: 1600px";
    document.body.replaceChildren(frame);
    await loaded;
    const page = frame.contentDocument;
    if (!page.querySelector("h1")) return [`${path} has no heading`];
    for (const each of page.querySelectorAll("details")) each.open = true;
    const found = [];
    for (const width of widths) {
        frame.style.inlineSize = `${width}px`;
        const beyond = page.documentElement.scrollWidth - width;
        if (beyond <= 0) continue;
        const wide = [...page.querySelectorAll("body *")].filter(
            (each) => each.getBoundingClientRect().right > width);
        const named = wide.slice(0, 3).map((each) => each.outerHTML.slice(0, 90));
        found.push(`${path} at ${width} px by ${beyond} px: ${named.join(" | ")}`);
    }
    return found;
}"""


def answers(installation: Installation, ada: Visit) -> dict[str, httpx.Response]:
    """What the installation says at each page's path."""
    ids = one_of_everything(installation, LONG)
    limited = {"networks": NETWORKS, "metadata": {"team": "W" * 200}, "external_id": "W" * 200}
    answer = installation.signed_in().patch(
        f"/v1/access-tokens/{ids['access-tokens']}", json=limited
    )
    assert answer.status_code == 200, answer.text
    found = {path: ada.client.get(path) for path in every_page(ids, search="W" * 80)}
    stranger = installation.client()
    for path in ("/sign-in", "/password-resets/new", "/invitations/gpiv_nothing"):
        found[f"{path}?signed-out"] = stranger.get(path)
    return {
        path: answer
        for path, answer in found.items()
        if answer.headers.get("content-type", "").startswith("text/html")
    }


@contextmanager
def served(client: httpx.Client, pages: dict[str, httpx.Response]) -> Iterator[str]:
    """A server of *pages*, which may be framed, and of the client's static files; its address."""
    known = dict(pages)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(f"/static/{_VERSION}/") and self.path not in known:
                known[self.path] = client.get(self.path)
            found = known.get(self.path)
            self.send_response(200)
            if found is not None:
                self.send_header("Content-Type", found.headers["content-type"])
                self.send_header("Cache-Control", "max-age=3600")
            self.end_headers()
            self.wfile.write(b"" if found is None else found.content)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.browser
def test_no_page_scrolls_sideways(installation: Installation, ada: Visit) -> None:
    pages = answers(installation, ada)
    told: list[str] = []
    with served(installation.client(), pages) as url, chromium() as browser:
        page = browser.new_page(viewport={"width": 1700, "height": 950})
        page.goto(f"{url}/frame")
        for path in pages:
            told += page.evaluate(MEASURE, [path, WIDTHS])
    assert not told, "\n".join(told)
