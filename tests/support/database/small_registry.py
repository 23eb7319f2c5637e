"""A registry with two companies. Tests set its time; one password hash serves everyone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from sqlalchemy import text

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.credentials import LOGIN_TOKEN, make, parse
from gatepass.core.decision import Call, Decision, Reason, decide, held
from gatepass.core.networks import parse_address
from gatepass.registry.actor import Actor
from gatepass.registry.audit import search
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.authentication import passwords, portal_codes, sign_in
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.authentication.reauthentication import Reauthentication
from gatepass.registry.authentication.session_records import begin
from gatepass.registry.authentication.sign_in import SignedIn
from gatepass.registry.directory import admin_keys, companies, owners, portal_sessions, users
from gatepass.registry.directory.companies import Company
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import published_grant, published_holder, published_rules
from gatepass.registry.storage.database import Database
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.records import AccessToken
from tests.support.weak_hashing import HASHER

T = TypeVar("T")

NOW = 1_800_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
PASSWORD = "mauve harbour lantern"
ADDRESS = "198.51.100.7"
HASH = passwords.hash(PASSWORD, hasher=HASHER)
CATALOGUE = """
permissions:
  charges:create: {title: "Create charges", routes: ["POST /v1/charges"]}
  charges:get: {title: "See one charge", routes: ["GET /v1/charges/{id}"]}
  refunds:create: {title: "Refund a charge", routes: ["POST /v1/charges/{id}/refunds"]}
"""


class SmallRegistry:
    """Northwind with Ada, its administrator, and Contoso with Carl.

    Args:
        like: a registry whose rows the database has already.

    Attributes:
        now: Unix ms; tests set it.
        encryption_key: created at its first use.
    """

    def __init__(self, database: Database, like: "SmallRegistry | None" = None) -> None:
        self.database = database
        self.now = NOW
        self._directory = TemporaryDirectory(prefix="gatepass-test-")
        self.encryption_key = EncryptionKey(Path(self._directory.name) / "sealing-key")
        self.catalogue = parse_catalogue(CATALOGUE)
        self.northwind: Company
        self.contoso: Company
        self.ada: User
        self.carl: User
        if like is not None:
            self.northwind, self.contoso = like.northwind, like.contoso
            self.ada, self.carl = like.ada, like.carl
            return
        self.northwind = self.company("Northwind")
        self.contoso = self.company("Contoso")
        self.ada = self.user(self.northwind, "ada@northwind.example", "Ada Lovelace")
        self.carl = self.user(self.contoso, "carl@contoso.example", "Carl Gauss")

    def write(self) -> Any:
        return self.database.write(self.now)

    def read(self) -> Any:
        return self.database.read(self.now)

    def do(self, operation: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Perform one operation in its own transaction."""
        with self.write() as change:
            return operation(change, *arguments, **more)

    def ask(self, question: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Query something in its own read transaction."""
        with self.read() as reading:
            return question(reading, *arguments, **more)

    def auxiliary(self, operation: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Carry out one operation in an auxiliary write of its own."""
        with self.database.auxiliary_write(self.now) as write:
            return operation(write, *arguments, **more)

    def every(self, list_: Callable[..., Any], *arguments: Any, **more: Any) -> list[Any]:
        """All items of a list, page by page."""
        page = self.ask(list_, *arguments, **more)
        items = list(page.items)
        while page.next is not None:
            page = self.ask(list_, *arguments, cursor=page.next, **more)
            items += page.items
        return items

    def company(self, name: str) -> Company:
        return self.do(companies.create, Actor.command_line(), catalogue=self.catalogue, name=name)

    def user(
        self, company: Company, email: str, name: str = "Someone", role: str = "admin"
    ) -> User:
        return self.do(
            users.create,
            Actor.command_line(),
            company=company.id,
            email=email,
            name=name,
            role=role,
            password_hash=HASH,
        )

    def colleague(self, role: str, name: str = "Bob") -> Actor:
        """Create a user of Northwind with *role*, and sign them in."""
        return self.signed_in(
            self.user(self.northwind, f"{name}.{role}@northwind.example".lower(), name, role)
        )

    def signed_in(self, user: User, address: str | None = ADDRESS) -> Actor:
        """Sign the user in for 3 hours; the actor that the web layer would build."""
        authentication = self.do(
            begin,
            user,
            make(LOGIN_TOKEN),
            lifetime_ms=3 * HOUR,
            address=address,
            user_agent="a browser",
        )
        return self._acting("user", authentication.id, user.name, address)

    def sign_in(self, **changes: Any) -> SignedIn:
        """Sign in with Ada's password, or with what *changes* names."""
        given: dict[str, Any] = {
            "email": self.ada.email,
            "password": PASSWORD,
            "address": ADDRESS,
            "user_agent": "a browser",
            "hasher": HASHER,
        }
        return sign_in.sign_in(
            self.database,
            self.encryption_key,
            **(given | changes),
            now=lambda: self.now,
            lifetime_ms=3 * HOUR,
        )

    @property
    def reauthentication(self) -> Reauthentication:
        """What an operation needs to ask for the password again."""
        return Reauthentication(self.database, self.encryption_key, lambda: self.now, HASHER)

    def with_token(self, token: AccessToken, address: str | None = ADDRESS) -> Actor:
        """The actor of a call with the access token."""
        return self._acting("token", token.id, token.owner.name, address)

    def token(self, actor: Actor, **fields: Any) -> tuple[AccessToken, str]:
        """Create an access token, with defaults for fields that aren't given."""
        ordinary = {"label": "Nightly settlement", "kind": "api", "permissions": ["charges:create"]}
        return self.do(access_tokens.create, actor, catalogue=self.catalogue, **(ordinary | fields))

    def service_account(
        self, actor: Actor, name: str = "Deploys", role: str = "customer-service"
    ) -> Owner:
        """Create a service account of the actor's company."""
        return self.do(owners.create, actor, catalogue=self.catalogue, name=name, role=role)

    def external_owner(
        self, external_id: str = "customer 7", company: Company | None = None, **changes: Any
    ) -> Owner:
        """Create or change an external owner of Northwind, or of *company*."""
        given = {"type": "external", "name": "Customer", "role": "customer-service"}
        owner, _ = self.do(
            owners.put,
            Actor.command_line(),
            (company or self.northwind).id,
            external_id,
            catalogue=self.catalogue,
            **(given | changes),
        )
        return owner

    def portal_session(self, owner: Owner, actor: Actor | None = None) -> str:
        """Open a portal session for an owner and redeem its code; its token's text."""
        page = "https://shop.example"
        _, code = self.do(
            portal_sessions.create,
            actor or Actor.command_line(),
            catalogue=self.catalogue,
            company=owner.company,
            owner=owner.id,
            origins=[page],
            expires_in=900,
        )
        own = "https://gatepass.example"
        redeemed = self.do(portal_codes.redeem, code, own_origin=own, origin=page, address=None)
        return redeemed.token

    def admin_key(self, company: Company | None = None, *areas: str) -> Actor:
        """The actor of a new admin key: for one company or all, and for some areas or all."""
        limit = None if company is None else company.id
        key, _ = self.do(
            admin_keys.create, Actor.command_line(), label="Shop", company=limit, permissions=areas
        )
        permissions = frozenset(key.permissions)
        return Actor("admin_key", limit, None, key.label, permissions, key.id, ADDRESS)

    def modify(self, actor: Actor, token: AccessToken, if_match: Any = None, **changes: Any) -> Any:
        return self.do(
            access_tokens.modify,
            actor,
            token.id,
            catalogue=self.catalogue,
            changes=changes,
            if_match=if_match,
        )

    def get(self, token: AccessToken) -> AccessToken:
        """Read the token as the command line's actor."""
        return self.ask(access_tokens.get, Actor.command_line(), token.id)

    def decide(self, token: str, permission: str = "charges:create", **call: Any) -> Decision:
        """Decide a call by the published rows."""
        credential = parse(token)
        assert credential is not None
        if "address" in call:
            call["address"] = parse_address(call["address"])
        with self.read() as reading:
            grant = published_grant(reading, credential.id)
            assert grant is not None
            holder = published_holder(reading, grant.user)
            rules = published_rules(reading, grant.company)
        return decide(grant, holder, rules, Call(credential, permission, **call), self.now)

    def reason(self, token: str, permission: str = "charges:create", **call: Any) -> Reason:
        return self.decide(token, permission, **call).reason

    def events(self, company: Company | None = None, **filters: Any) -> list[AuditEvent]:
        """The audit log, oldest first."""
        actor = Actor.command_line()
        if company is not None:
            actor = replace(actor, company=company.id)
        with self.read() as reading:
            return search.list_(reading, actor, limit=200, **filters).items[::-1]

    def revision(self) -> int:
        with self.read() as reading:
            number: int = reading.session.execute(text("SELECT number FROM revision")).scalar_one()
            return number

    def _acting(self, kind: Any, credential: str, name: str, address: str | None) -> Actor:
        with self.read() as reading:
            grant = published_grant(reading, credential)
            assert grant is not None
            holder = published_holder(reading, grant.user)
            rules = published_rules(reading, grant.company)
            operator = kind == "user" and users.get(reading, grant.user).operator
        return Actor(
            kind=kind,
            company=grant.company,
            user=grant.user,
            name=name,
            permissions=frozenset(held(grant, holder, rules, self.now)),
            credential=credential,
            address=address,
            operator=operator,
        )


@contextmanager
def nothing_changes(registry: SmallRegistry, *, but: str = "") -> Iterator[None]:
    """Fail if the block changes any table except those that *but* names."""
    before = _everything(registry, but)
    yield
    assert _everything(registry, but) == before


def _everything(registry: SmallRegistry, but: str) -> dict[str, list[Any]]:
    names = (
        "revision revisions changed_records receipts receipt_confirmations nodes "
        "companies roles users owners allowlist_entries allowlist_trial_entries "
        "authentications access_tokens verifier_keys admin_keys portal_sessions audit_events "
        "grants holders company_rules "
        "invitations password_resets email_changes outgoing_mail access_requests"
    )
    with registry.read() as reading:
        return {
            name: sorted(map(repr, reading.session.execute(text(f"SELECT * FROM {name}"))))
            for name in names.split()
            if name not in but.split()
        }
