"""The demo's fictitious company: users, and tokens with three months of history.

Its events are written in chronological order.
"""

import random
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import cos, pi

from sqlalchemy import select

from gatepass.core.catalogue import ADMIN, CUSTOMER_SERVICE
from gatepass.core.credentials import LOGIN_TOKEN, make
from gatepass.core.observed_call import CountedCall, ObservedCall
from gatepass.core.reason import Reason
from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import passwords, session_records
from gatepass.registry.directory import companies, owners, roles, users, verifier_keys
from gatepass.registry.directory.users import User
from gatepass.registry.membership import access_requests, offboarding
from gatepass.registry.replication import receipts
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls import observed_calls, usage
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.records import AccessToken
from gatepass.verify.spools import Batch

COMPANY = "Acme Payments"
OWNER_EMAIL = "ada@acme.example"
PAGE_TOKEN_LABEL = "Demo page"  # noqa: S105 - a label, not a secret

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Excludes characters that look alike.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_FOR_CHECKOUT = "checkouts:create"
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True)
class Credentials:
    """The demo owner's credentials, shown once. Only digests of the secrets are stored."""

    email: str
    password: str = field(repr=False)
    verifier_key: str = field(repr=False)
    access_token: str = field(repr=False)


def create_company(node: Node) -> Credentials:
    """Create the company with three months of history in an empty registry."""
    password = "-".join("".join(map(secrets.choice, [_ALPHABET] * 4)) for _ in range(4))
    return _History(node).create(password)


def new_page_token(node: Node, port: int) -> str:
    """The text of a token for UI access that works only on ``localhost`` and *port*.

    Created at each start, because the text of an earlier one can't be recovered; earlier ones are
    deactivated.
    """
    with node.database.write(node.clock.now()) as change:
        actor = users.on_behalf_of(change, owner(change).id)
        former = token_search.list_(change, actor, q=PAGE_TOKEN_LABEL, status="active")
        for token in former.items:
            if token.label == PAGE_TOKEN_LABEL and token.kind == "ui":
                access_tokens.deactivate(change, actor, token.id)
        _, text = access_tokens.create(
            change,
            actor,
            catalogue=node.catalogue,
            label=PAGE_TOKEN_LABEL,
            kind="ui",
            permissions=["charges:search", _FOR_CHECKOUT],
            domains=[f"localhost:{port}"],
        )
    return text


def owner(reading: Reading) -> User:
    """The longest-serving active administrator: Ada, unless she was deactivated."""
    user, company = tables.users.c, tables.companies.c
    oldest = (
        select(user.id)
        .join(tables.companies, company.id == user.company_id)
        .where(user.role == ADMIN.id, user.deactivated_at.is_(None))
        .order_by(company.created_at, user.created_at, user.id)
        .limit(1)
    )
    return users.get(reading, reading.session.scalars(oldest).one())


class _History:
    """Writes the history of a company that is three months old."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._now = node.clock.now()
        # Not for security: it only varies the usage from day to day.
        self._random = random.Random(4417)  # noqa: S311
        self._company = ""
        self._uses: list[Batch] = []
        self._calls: list[CountedCall] = []

    def create(self, password: str) -> Credentials:
        ada = self._create_company(password)
        warehouse = self._create_token(
            ada,
            days_ago=92,
            label="Old warehouse sync",
            kind="api",
            permissions=["charges:get", "charges:search"],
            networks=["192.0.2.7/32"],
            expires_at=self._now - 3 * DAY,
        )
        self._record_uses(warehouse, "192.0.2.7", "charges:search", a_day=40, until=3 * DAY + HOUR)
        expired, searched = Reason.token_expired, "charges:search"
        self._record_calls(warehouse, expired, "192.0.2.7", searched, 64, self._now - 2 * DAY)
        grace = self._add_user("Grace Hopper", "grace@acme.example", "manager", days_ago=80)
        self._sign_in(grace, "203.0.113.31", days_ago=71)
        tomas = self._add_user("Tomás Silva", "tomas@acme.example", "customer-service", days_ago=61)
        shop = self._create_token(
            grace,
            days_ago=70,
            label="Checkout on shop.acme.example",
            kind="ui",
            permissions=[_FOR_CHECKOUT, "checkouts:get"],
            domains=["shop.acme.example", "*.shop.acme.example"],
        )
        self._record_uses(shop, "198.51.100.23", _FOR_CHECKOUT, a_day=420, until=2 * MINUTE)
        for count, ago in ((9, 7 * HOUR), (14, 4 * HOUR), (6, 3 * HOUR)):
            self._record_calls(
                shop,
                Reason.origin_not_allowed,
                "198.51.100.40",
                _FOR_CHECKOUT,
                count,
                self._now - ago,
                origin="https://staging.acme.example",
            )
        jonas = self._add_user("Jonas Weber", "jonas@acme.example", "manager", days_ago=58)
        self._sign_in(jonas, "192.0.2.41", days_ago=51)
        quarterly = self._create_token(
            jonas,
            days_ago=50,
            label="Quarterly export",
            kind="api",
            permissions=["charges:search", "refunds:search"],
        )
        self._record_uses(quarterly, "192.0.2.40", "charges:search", a_day=3, until=16 * DAY)
        contractor = self._create_token(
            ada,
            days_ago=45,
            label="Contractor: customer migration",
            kind="api",
            permissions=["customers:*"],
            networks=["198.51.100.0/28"],
        )
        self._record_uses(contractor, "198.51.100.4", "customers:create", a_day=90, until=21 * DAY)
        self._deactivate(grace, contractor, days_ago=21)
        settlement = self._create_token(
            ada,
            days_ago=34,
            label="Nightly settlement",
            kind="api",
            permissions=["charges:search", "payouts:get", "payouts:search"],
            networks=["203.0.113.0/24", "2001:db8:40::/48"],
            expires_at=self._now + 5 * DAY + 2 * HOUR,
        )
        self._record_uses(
            settlement, "203.0.113.77", "payouts:search", a_day=24, until=3 * HOUR, at_once=True
        )
        for reason, address, permission, count, ago in (
            (Reason.address_not_allowed, "192.0.2.9", "payouts:search", 12, 2 * DAY),
            (Reason.permission_missing, "203.0.113.77", "charges:refund", 3, 5 * HOUR),
        ):
            at = self._now - ago
            self._record_calls(settlement, reason, address, permission, count, at)
        bookkeeping = self._create_role(
            ada,
            days_ago=33,
            name="Bookkeeping",
            permissions=[
                "charges:get",
                "charges:search",
                "refunds:*",
                "payouts:*",
                "access-tokens:get",
                "access-tokens:search",
            ],
        )
        bea = self._add_user("Bea Lindqvist", "bea@acme.example", bookkeeping, days_ago=32)
        self._add_user("Inês Duarte", "ines@acme.example", "reporting", days_ago=30)
        desk = self._create_token(
            grace,
            days_ago=20,
            label="Refund desk",
            kind="api",
            permissions=["charges:get", "charges:refund", "charges:search", "refunds:get"],
            networks=["203.0.113.64/26"],
        )
        self._record_uses(desk, "203.0.113.91", "charges:refund", a_day=11, until=26 * HOUR)
        priya = self._add_user("Priya Raman", "priya@acme.example", "manager", days_ago=14)
        with self._node.database.write(self._now - 12 * DAY) as change:
            offboarding.deactivate(change, users.on_behalf_of(change, ada.id), jonas.id)
        self._complete_receipts(days_ago=12)
        settling = self._create_service_account(
            ada, days_ago=13, name="Payout reconciliation", role=bookkeeping
        )
        reconcile = self._create_token(
            ada,
            days_ago=13,
            label="Payout reconciliation",
            kind="api",
            permissions=["charges:search", "payouts:*"],
            owner=settling,
        )
        self._record_uses(reconcile, "203.0.113.12", "payouts:search", a_day=60, until=5 * HOUR)
        self._create_external_owner(days_ago=9, external_id="cus_8071", name="Blue Bottle Books")
        self._create_external_owner(days_ago=4, external_id="cus_8124", name="Harbour Cycles")
        self._create_token(
            ada,
            days_ago=3,
            label="Shop of Harbour Cycles",
            kind="api",
            permissions=["charges:create", "charges:get"],
            owner="ext:cus_8124",
        )
        self._sign_in(tomas, "203.0.113.33", days_ago=3)
        self._sign_in(grace, "203.0.113.31", days_ago=3)
        self._create_token(
            grace,
            days_ago=2,
            label="Webhook relay (staging)",
            kind="api",
            permissions=["webhooks:create", "webhooks:delete", "webhooks:search"],
            expires_at=self._now + 200 * DAY,
        )
        self._sign_in(bea, "203.0.113.70", days_ago=2)
        self._sign_in(priya, "203.0.113.32", days_ago=2)
        agent = self._create_token(
            ada,
            days_ago=1,
            label="Support agent",
            kind="api",
            permissions=["charges:get", "charges:search"],
        )
        self._record_uses(agent, "203.0.113.18", "charges:search", a_day=35, until=4 * MINUTE)
        at = self._now - 3 * MINUTE
        missing, refund = Reason.permission_missing, "charges:refund"
        self._record_calls(agent, missing, "203.0.113.18", refund, 1, at)
        self._fold_uses()
        self._ask(agent, refund, "203.0.113.18", "The customer of charge 8071 was charged twice.")
        with self._node.database.write(self._now) as change:
            key = verifier_keys.create(change, Actor.command_line(), label="Demo")[1]
        access_token = self._create_curl_token(ada)
        return Credentials(OWNER_EMAIL, password, key, access_token)

    def _create_company(self, password: str) -> User:
        node, at = self._node, self._now - 96 * DAY
        passwords.check_rules(password, email=OWNER_EMAIL, company_name=COMPANY)
        with node.database.write(at) as change:
            actor = Actor.command_line()
            company = companies.create(change, actor, catalogue=node.catalogue, name=COMPANY)
        self._company = company.id
        return self._add_user("Ada Lovelace", OWNER_EMAIL, "admin", days_ago=96, password=password)

    def _add_user(
        self, name: str, email: str, role: str, *, days_ago: int, password: str | None = None
    ) -> User:
        # Only the owner can sign in: the other users' random passwords are discarded.
        password_hash = passwords.hash(password or secrets.token_urlsafe(32))
        with self._node.database.write(self._now - days_ago * DAY) as change:
            return users.create(
                change,
                Actor.command_line(),
                company=self._company,
                email=email,
                name=name,
                role=role,
                password_hash=password_hash,
                operator=password is not None,
            )

    def _sign_in(self, user: User, address: str, *, days_ago: int) -> None:
        """Record that *user* signed in, with a login token that has expired since."""
        with self._node.database.write(self._now - days_ago * DAY) as change:
            session_records.begin(
                change,
                user,
                make(LOGIN_TOKEN),
                lifetime_ms=self._node.settings.login_lifetime * 1000,
                address=address,
                user_agent=_BROWSER,
            )

    def _create_role(
        self, creator: User, *, days_ago: int, name: str, permissions: list[str]
    ) -> str:
        """Create a custom role; its id."""
        with self._node.database.write(self._now - days_ago * DAY) as change:
            return roles.create(
                change,
                users.on_behalf_of(change, creator.id),
                catalogue=self._node.catalogue,
                name=name,
                permissions=permissions,
            ).id

    def _create_token(
        self,
        creator: User,
        *,
        days_ago: int,
        label: str,
        kind: str,
        permissions: list[str],
        networks: list[str] | None = None,
        domains: list[str] | None = None,
        expires_at: int | None = None,
        owner: str | None = None,
    ) -> AccessToken:
        at = self._now - days_ago * DAY + self._random.randrange(8 * HOUR)
        with self._node.database.write(at) as change:
            return access_tokens.create(
                change,
                users.on_behalf_of(change, creator.id),
                catalogue=self._node.catalogue,
                label=label,
                kind=kind,
                permissions=permissions,
                networks=networks or [],
                domains=domains or [],
                expires_at=expires_at,
                owner=owner,
            )[0]

    def _create_service_account(self, creator: User, *, days_ago: int, name: str, role: str) -> str:
        """Create a service account; its id."""
        with self._node.database.write(self._now - days_ago * DAY) as change:
            actor = users.on_behalf_of(change, creator.id)
            catalogue = self._node.catalogue
            return owners.create(change, actor, catalogue=catalogue, name=name, role=role).id

    def _create_external_owner(self, *, days_ago: int, external_id: str, name: str) -> None:
        with self._node.database.write(self._now - days_ago * DAY) as change:
            owners.put(
                change,
                Actor.command_line(),
                self._company,
                external_id,
                catalogue=self._node.catalogue,
                type="external",
                name=name,
                role=CUSTOMER_SERVICE.id,
            )

    def _create_curl_token(self, creator: User) -> str:
        """Create the token of the ``curl`` line; its text."""
        with self._node.database.write(self._now) as change:
            return access_tokens.create(
                change,
                users.on_behalf_of(change, creator.id),
                catalogue=self._node.catalogue,
                label="Try it",
                kind="api",
                permissions=["charges:*", "customers:get", "customers:search"],
            )[1]

    def _deactivate(self, actor: User, token: AccessToken, *, days_ago: int) -> None:
        with self._node.database.write(self._now - days_ago * DAY) as change:
            access_tokens.deactivate(change, users.on_behalf_of(change, actor.id), token.id)
        self._complete_receipts(days_ago=days_ago)

    def _complete_receipts(self, *, days_ago: int) -> None:
        """Complete them as the node would have at the time."""
        for later_ms in (20, 40):  # once it has seen the commit, and then for good
            at = self._now - days_ago * DAY + later_ms
            with self._node.database.auxiliary_write(at) as write:
                receipts.complete(write)

    def _record_uses(
        self,
        token: AccessToken,
        address: str,
        permission: str,
        *,
        a_day: int,
        until: int,
        at_once: bool = False,
    ) -> None:
        """Record about *a_day* uses each day since *token* was created, the last *until* ms ago.

        Those of the last 24 hours are spread over them, unless it makes a day's calls *at_once*.
        """
        last = self._now - until
        first = max(token.created_at, self._now - 90 * DAY)
        for at in range(last, first, -DAY):
            weekend = (at // DAY) % 7 in (2, 3)  # the epoch began on a Thursday
            count = round(a_day * self._random.uniform(0.6, 1.3) * (0.4 if weekend else 1))
            parts = Counter({at: count})
            if count and at > self._now - DAY and not at_once:
                parts = self._over_hours(count, range(at, max(at - DAY, first), -HOUR))
            for moment, part in parts.items():
                if part:
                    self._uses.append(
                        Batch({token.id: (part, moment, address, permission)}, {"allowed": part})
                    )
                    self._record_calls(token, Reason.allowed, address, permission, part, moment)

    def _over_hours(self, count: int, moments: Sequence[int]) -> Counter[int]:
        """Spread *count* calls over moments, more of them at noon; the first has at least one."""
        weights = [
            (1 + 3 * max(0.0, -cos(at % DAY / DAY * 2 * pi))) * self._random.uniform(0.5, 1)
            for at in moments
        ]
        return Counter([moments[0], *self._random.choices(moments, weights, k=count - 1)])

    def _record_calls(
        self,
        token: AccessToken,
        reason: Reason,
        address: str,
        permission: str,
        count: int,
        at: int,
        origin: str | None = None,
    ) -> None:
        """Record equal calls of a day, the last at *at*."""
        (found,) = (each for each in self._node.catalogue.permissions if each.name == permission)
        method, _, route = found.routes[0].partition(" ")
        if origin is None and token.domains:
            origin = f"https://{token.domains[0]}"
        call = ObservedCall(reason.value, (permission,), route, method, address, origin)
        first = max(at - 4 * HOUR, at - at % DAY) if count > 1 else at
        allowed = reason is Reason.allowed
        self._calls.append(CountedCall(token.id, allowed, call, count, first, at))

    def _ask(self, token: AccessToken, permission: str, address: str, why: str) -> None:
        """Request *permission* as the program with *token* that was refused for it."""
        asking = Actor(
            kind="token",
            company=self._company,
            user=token.owner.id,
            name=token.owner.name,
            permissions=frozenset(token.effective_permissions),
            credential=token.id,
            address=address,
        )
        with self._node.database.write(self._now) as change:
            (refused,) = observed_calls.list_(change, token.id, outcome="refused").items
            access_requests.ask(
                change,
                asking,
                catalogue=self._node.catalogue,
                permission=permission,
                decision=refused.decision,
                justification=why,
                # Longer than usual, so that there is time to look around before it is answered.
                lifetime_ms=DAY,
            )

    def _fold_uses(self) -> None:
        refused = {
            "permission_missing": 31,
            "address_not_allowed": 12,
            "token_expired": 64,
            "origin_not_allowed": 29,
        }
        with self._node.database.auxiliary_write(self._now) as write:
            usage.fold(write, "demo", 0, 1, [*self._uses, Batch({}, refused)], self._calls)
            usage.forget(write, "demo")
