"""Pages of another product, with the component, at origins of their own."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.support.processes.demo import Demo

_PAGE = """<!doctype html>
<html lang="{lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Shop</title>
<link rel="stylesheet" href="/page.css">
<script type="module" src="{gatepass}/components/access-tokens.js"></script>
<main><h1>Shop</h1><gatepass-access-tokens></gatepass-access-tokens></main>
</html>
"""
# A font, colours and both schemes, as a product's own page has them.
_STYLE = """
html { color-scheme: light dark; }
body { margin: 0; font: 15px/1.5 Georgia, serif; color: light-dark(#222, #eee);
  background: light-dark(#faf7f2, #1a1a1e); }
main { max-width: 1080px; margin: auto; padding: 12px; }
"""
ELEMENT = "gatepass-access-tokens"


class HostPages:
    """A server of pages with the component; a context manager.

    Each name below ``.localhost`` is an origin of its own.
    """

    def __init__(self, gatepass: str) -> None:
        self.gatepass = gatepass
        # Nothing but Gatepass's own origin, besides the page's style sheet; and no markup from
        # strings.
        self.policy = (
            f"default-src 'none'; script-src {gatepass}; connect-src {gatepass}; style-src 'self'; "
            "base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        )
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = pages.answer(self.path)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                if kind.startswith("text/html") and self.path != "/frame":
                    self.send_header("Content-Security-Policy", pages.policy)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.framed = ""

    def __enter__(self) -> "HostPages":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def origin(self, name: str = "shop") -> str:
        """The origin of the product *name*."""
        return f"http://{name}.localhost:{self._server.server_port}"

    def answer(self, path: str) -> tuple[str, bytes]:
        """The media type and the body at *path*."""
        if path == "/page.css":
            return "text/css", _STYLE.encode()
        if path == "/frame":
            html = f'<!doctype html><title>Frame</title><iframe src="{self.framed}"></iframe>'
            return "text/html; charset=utf-8", html.encode()
        lang = path.strip("/") or "en-GB"
        page = _PAGE.format(lang=lang, gatepass=self.gatepass)
        return "text/html; charset=utf-8", page.encode()


class Platform:
    """A backend that opens portal sessions for one of the demo's external owners.

    Attributes:
        api: a client of the installation's operator.
        owner: the external owner.
    """

    def __init__(self, demo: Demo, external_id: str = "cus_8124") -> None:
        self.api = httpx.Client(base_url=demo.url, timeout=60)
        known = {"email": demo.email, "password": demo.password}
        token = self.api.post("/v1/authentications", json=known).json()["token"]
        self.api.headers["Authorization"] = f"Bearer {token}"
        self.company = self.api.get("/v1/me").json()["company"]["id"]
        self.owner = {"external_id": external_id}

    def open(self, *origins: str, **fields: Any) -> dict[str, str]:
        """A new portal session: its ``id``, ``code`` and ``url``."""
        body = {
            "company": self.company,
            "owner": self.owner,
            "origins": list(origins),
            "expires_in": 900,
        }
        answer = self.api.post("/v1/portal-sessions", json=body | fields)
        assert answer.status_code == 201, answer.text
        session: dict[str, str] = answer.json()
        return session


def hand_in(page: Page, code: str) -> None:
    """Give the element on *page* a code, as the product's own script does."""
    page.evaluate(f"document.querySelector('{ELEMENT}').code = {json.dumps(code)}")


def begin(page: Page, url: str, code: str) -> Locator:
    """Open the product's page, with a session; the element once it shows the list."""
    page.goto(url)
    hand_in(page, code)
    element = page.locator(ELEMENT)
    expect(element.get_by_role("button", name="Create New")).to_be_visible()
    return element
