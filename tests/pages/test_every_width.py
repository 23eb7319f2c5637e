"""Each page with long names and IPv6 networks: none scrolls sideways at any of nine widths, and on
a phone a finger finds whatever can be pressed."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from gatepass.web.pages.layout.static_files import _VERSION
from tests.support.apps.every_page import every_page, one_of_everything
from tests.support.apps.installation import Installation
from tests.support.browser.chromium import chromium
from tests.support.browser.page_reader import Visit

WIDTHS = [320, 390, 640, 768, 861, 1024, 1180, 1280, 1600]
PHONE: Any = {"width": 390, "height": 844}
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
#: In the browser: opens a page in a frame as wide as a phone, and returns what can be pressed there
#: but has less than 44 px for a finger. It probes from the middle of each target how far the target
#: reaches, so that what lies above it counts. A narrower one will do where no other is near, and so
#: do links in sentences (WCAG 2.5.8).
TOUCH = """async (path) => {
    const frame = document.createElement("iframe");
    const loaded = new Promise((resolve) => (frame.onload = resolve));
    frame.src = path;
    frame.style = "border: 0; block-size: 844px; inline-size: 390px";
    document.body.style.margin = 0;
    document.body.replaceChildren(frame);
    await loaded;
    const view = frame.contentWindow, page = frame.contentDocument;
    if (!view.matchMedia("(pointer: coarse)").matches) return ["no finger points at the page"];
    for (const each of page.querySelectorAll("details")) each.open = true;
    frame.style.blockSize = `${page.documentElement.scrollHeight + 200}px`;
    const style = (each) => view.getComputedStyle(each);
    const says = (node) => /\\p{L}{2}/u.test(node.textContent);
    const inSentence = (link) => {
        let block = link.parentElement;
        while (style(block).display === "inline") block = block.parentElement;
        return style(link).display === "inline" && [...block.childNodes].some((each) =>
            !each.contains(link) && says(each) &&
            (each.nodeType === Node.TEXT_NODE || style(each).display === "inline"));
    };
    const clipped = (each) =>
        each && (style(each).clipPath !== "none" || clipped(each.parentElement));
    const TARGETS = "a[href], button, input:not([type=hidden]), select, textarea, summary, label";
    const found = [];
    const measure = (among) => {
        for (const each of among.querySelectorAll(TARGETS)) {
            if (each.disabled || style(each).pointerEvents === "none" || clipped(each)) continue;
            if (!each.checkVisibility({ visibilityProperty: true })) continue;
            if (each.matches("label, .skip") || (each.matches("a") && inSentence(each))) continue;
            each.scrollIntoView({ block: "nearest", inline: "nearest" });
            const parts = [each, ...(/checkbox|radio/.test(each.type) ? each.labels : [])];
            const { x, y, width, height } = parts.at(-1).getBoundingClientRect();
            const own = (hit) => parts.some((part) => part.contains(hit));
            const down = y + Math.min(height / 2, 22);
            const reach = (across, right, below) => {
                let far = 0;
                const at = () => page.elementFromPoint(across + far * right, down + far * below);
                while (far < 44 && own(at())) far++;
                return far;
            };
            // In its middle, or beside what lies above that, as links in a line of the log do.
            const [tall, wide, middle] = [2, 4, 10].map((part) => Math.max(1, x) + width / part)
                .map((across) => [reach(across, 0, -1) + reach(across, 0, 1) - 1,
                    reach(across, -1, 0) + reach(across, 1, 0) - 1, across])
                .reduce((best, one) => (one[0] > best[0] ? one : best));
            const near = [-22, 22].some((right) => {
                const hit = page.elementFromPoint(middle + right, down)?.closest(TARGETS);
                return hit && !own(hit);
            });
            if (tall >= 44 && (wide >= 44 || !near)) continue;
            const where = [each.parentElement.parentElement, each.parentElement, each].map(
                (one) => [one.localName, ...one.classList].join("."));
            const what = `${where.join(" > ")} ${each.textContent.trim()}`;
            found.push(`${path}: ${wide} x ${tall} px: ${what}`);
        }
    };
    measure(page);
    for (const each of page.querySelectorAll("[popover]")) {
        each.showPopover();
        measure(each);
        each.hidePopover();
    }
    for (const each of page.querySelectorAll("dialog")) {
        each.showModal();
        measure(each);
        each.close();
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
def test_no_page_scrolls_sideways_and_fingers_find_each_target(
    installation: Installation, ada: Visit
) -> None:
    pages = answers(installation, ada)
    told: list[str] = []
    with served(installation.client(), pages) as url, chromium() as browser:
        page = browser.new_page(viewport={"width": 1700, "height": 950})
        page.goto(f"{url}/frame")
        for path in pages:
            told += page.evaluate(MEASURE, [path, WIDTHS])
        phone = browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True)
        phone.goto(f"{url}/frame")
        for path in pages:
            told += phone.evaluate(TOUCH, path)
    assert not told, "\n".join(told)
