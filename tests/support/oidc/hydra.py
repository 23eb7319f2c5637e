"""A real OIDC provider: Ory Hydra, with the sign-in page that it leaves to its operator.

Hydra is one program, ``hydra`` on the path; CONTRIBUTING.md says how to build it.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.support.oidc.provider_double import CLIENT, SECRET
from tests.support.processes.ports import free_port, wait_for_port

HYDRA = shutil.which("hydra")


class Hydra:
    """A running Hydra, whose user presses one button on the sign-in page.

    Attributes:
        issuer: its URL.
        subject: of the user.
        claims: of the user, in ID tokens.
    """

    def __init__(self, issuer: str, admin: str) -> None:
        self.issuer = issuer
        self.subject = "sub-grace"
        self.claims: dict[str, Any] = {
            "email": "grace@example.com",
            "email_verified": True,
            "name": "Grace Hopper",
            "groups": ["staff"],
        }
        self._admin = admin

    def register(self, callback: str) -> None:
        """Register Gatepass as a client."""
        answer = httpx.post(
            f"{self._admin}/admin/clients",
            json={
                "client_id": CLIENT,
                "client_secret": SECRET,
                "redirect_uris": [callback],
                "scope": "openid email profile",
            },
        )
        assert answer.status_code == 201, answer.text

    def accept_login(self, challenge: str) -> str:
        """Sign the user in; where the browser goes next."""
        return self._accept("login", challenge, {"subject": self.subject})

    def accept_consent(self, challenge: str) -> str:
        """Grant the scopes with the user's claims; where the browser goes next."""
        scopes = ["openid", "email", "profile"]
        session = {"id_token": self.claims}
        return self._accept("consent", challenge, {"grant_scope": scopes, "session": session})

    def _accept(self, what: str, challenge: str, body: dict[str, Any]) -> str:
        answer = httpx.put(
            f"{self._admin}/admin/oauth2/auth/requests/{what}/accept",
            params={f"{what}_challenge": challenge},
            json=body,
        )
        assert answer.status_code == 200, answer.text
        location: str = answer.json()["redirect_to"]
        return location


@contextmanager
def running_hydra(directory: Path) -> Iterator[Hydra]:
    """Run Hydra, in memory."""
    assert HYDRA is not None
    public, admin = free_port(), free_port()
    hydra = Hydra(f"http://127.0.0.1:{public}/", f"http://127.0.0.1:{admin}")
    pages = ThreadingHTTPServer(("127.0.0.1", 0), _pages_of(hydra))
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{pages.server_port}"
    environ = os.environ | {
        "DSN": "memory",
        "SECRETS_SYSTEM": "a secret of the tests alone",
        "SERVE_PUBLIC_HOST": "127.0.0.1",
        "SERVE_PUBLIC_PORT": str(public),
        "SERVE_ADMIN_HOST": "127.0.0.1",
        "SERVE_ADMIN_PORT": str(admin),
        "URLS_SELF_ISSUER": hydra.issuer,
        "URLS_LOGIN": f"{address}/login",
        "URLS_CONSENT": f"{address}/consent",
    }
    with open(directory / "hydra.log", "wb") as log:
        process = subprocess.Popen(
            [HYDRA, "serve", "all", "--dev", "--sqa-opt-out"],
            env=environ,
            stdout=log,
            stderr=log,
        )
        try:
            wait_for_port(public)
            wait_for_port(admin)
            yield hydra
        finally:
            process.terminate()
            process.wait()
            pages.shutdown()


def _pages_of(hydra: Hydra) -> type[BaseHTTPRequestHandler]:
    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path not in ("/login", "/consent"):
                self.send_error(404)
                return
            challenge = parse_qs(parts.query)[f"{parts.path[1:]}_challenge"][0]
            if parts.path == "/consent":
                self.send_response(302)
                self.send_header("Location", hydra.accept_consent(challenge))
                self.end_headers()
                return
            page = f'<title>Sign in</title><form method="post" action="{self.path}">'
            page += f"<button>Continue as {hydra.claims['name']}</button></form>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self) -> None:
            challenge = parse_qs(urlsplit(self.path).query)["login_challenge"][0]
            self.send_response(303)
            self.send_header("Location", hydra.accept_login(challenge))
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Pages
