"""A complete installation in this process, called over HTTP."""

import atexit
import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords
from gatepass.registry.directory import admin_keys, companies, users, verifier_keys
from gatepass.registry.directory.companies import Company
from gatepass.registry.directory.users import User
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.app import create_app
from gatepass.web.gateway.asgi import access_log
from tests.support.weak_hashing import HASHER

T = TypeVar("T")

CATALOGUE = """
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get:    {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
  refunds:get:    {title: "See one refund", routes: ["GET /v1/refunds/{id}"]}
"""
PASSWORD = "correct horse battery staple"
_HASH = passwords.hash(PASSWORD, hasher=HASHER)


@functools.cache
def _portal() -> BlockingPortal:
    """An event loop for the calls of all tests: one for each call takes longer than the call."""
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(start_blocking_portal())


def new_app(node: Node, **more: Any) -> ASGIApp:
    """The application as a worker serves it."""
    app = create_app(node, **more)
    if not node.settings.access_log:
        return app
    return access_log(app, TrustedProxies.of(node.settings.trusted_proxies))


class Installation:
    """A node, and a company with its administrator Ada.

    Attributes:
        company: Ada's.
        ada: an Admin and an operator.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        # As at the start of its background tasks, which not every installation has.
        node.file.shared.set_public_url(node.settings.public_url)
        self.app = new_app(node)
        self.company = self.new_company("Analytical Engines")
        self.ada = self.new_user("ada@example.com", "Ada Lovelace", operator=True)

    def write(self) -> Any:
        """A change at the node's time."""
        return self.node.database.write(self.node.clock.now())

    def do(self, operation: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Carry out one operation in a change of its own."""
        with self.write() as change:
            return operation(change, *arguments, **more)

    def allow_only(self, *entries: str | Entry) -> None:
        """Replace the company's allowlist."""
        listed = [Entry(each, "") if isinstance(each, str) else each for each in entries]
        self.do(allowlist.replace, Actor.command_line(), self.company.id, listed)

    def new_company(self, name: str) -> Company:
        return self.do(
            companies.create, Actor.command_line(), catalogue=self.node.catalogue, name=name
        )

    def new_user(
        self,
        email: str,
        name: str = "Somebody Else",
        *,
        role: str = "admin",
        company: Company | None = None,
        operator: bool = False,
    ) -> User:
        return self.do(
            users.create,
            Actor.command_line(),
            company=(company or self.company).id,
            email=email,
            name=name,
            role=role,
            password_hash=_HASH,
            operator=operator,
        )

    def verifier_key(self, label: str = "nginx") -> str:
        return self.do(verifier_keys.create, Actor.command_line(), label=label)[1]

    def admin_key(self, **limits: Any) -> str:
        """Create an admin key; its text."""
        return self.do(admin_keys.create, Actor.command_line(), label="Shop", **limits)[1]

    def admin(self, *, peer: str = "127.0.0.1", **limits: Any) -> httpx.Client:
        """A client that sends a new admin key."""
        return self.client(self.admin_key(**limits), peer=peer)

    def client(self, token: str | None = None, *, peer: str = "127.0.0.1") -> httpx.Client:
        """A client without cookies, which sends *token* as the bearer."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        client = TestClient(
            self.app, base_url="http://127.0.0.1:8787", headers=headers, client=(peer, 50_000)
        )
        client.portal = _portal()
        return client

    def sign_in(self, email: str = "ada@example.com", *, peer: str = "127.0.0.1") -> str:
        """Sign in; the login token's text."""
        answer = self.client(peer=peer).post(
            "/v1/authentications", json={"email": email, "password": PASSWORD}
        )
        assert answer.status_code == 201, answer.text
        text: str = answer.json()["token"]
        return text

    def signed_in(self, email: str = "ada@example.com", *, peer: str = "127.0.0.1") -> httpx.Client:
        """A client that sends a new login token."""
        return self.client(self.sign_in(email, peer=peer), peer=peer)

    def joined(self, email: str, name: str = "Somebody Else", **more: Any) -> httpx.Client:
        """Create a user, who signs in; their client."""
        self.new_user(email, name, **more)
        return self.signed_in(email)

    def of_another_company(
        self, email: str = "carl@example.com", name: str = "Somebody Else"
    ) -> httpx.Client:
        """A client of an Admin of another company, signed in."""
        return self.joined(email, name, company=self.new_company("Difference Engines"))

    def access_token(self, *permissions: str, maker: str = "ada@example.com", **more: Any) -> str:
        """Create an access token; its text."""
        answer = self.signed_in(maker).post(
            "/v1/access-tokens",
            json={"label": "sample", "kind": "api", "permissions": list(permissions), **more},
        )
        assert answer.status_code == 201, answer.text
        text: str = answer.json()["token"]
        return text

    def require_approval(self, *permissions: str) -> None:
        """Let the company's policy require a second person for *permissions*."""
        policy = {"longest_life_days": None, "networks_required": False, "unused_days": None}
        required = {"approval_required": permissions, "warn_days": []}
        answer = self.signed_in().put("/v1/company/token-policy", json=policy | required)
        assert answer.status_code == 200, answer.text

    def verify(self, token: str, **question: Any) -> Any:
        """Ask ``/v1/verify``; the decision."""
        answer = self.client(self.verifier_key()).post(
            "/v1/verify", json={"token": token, **question}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


Open = Callable[..., Installation]
