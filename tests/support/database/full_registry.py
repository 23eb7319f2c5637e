"""A registry with a row in every table, for tests of export, import and restore."""

from typing import Any

from sqlalchemy import insert, update

from gatepass.core.credentials import new_id
from gatepass.core.networks import Networks
from gatepass.registry.actor import Actor
from gatepass.registry.backup import contents
from gatepass.registry.backup.contents import Contents
from gatepass.registry.directory import (
    admin_keys,
    catalogue_versions,
    companies,
    roles,
    verifier_keys,
)
from gatepass.registry.membership import email_changes, invitations, password_resets
from gatepass.registry.membership.invitations import Invitation
from gatepass.registry.network_policy import allowlist
from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage import tables as t
from gatepass.registry.storage.database import Database
from gatepass.registry.tokens import rotation
from gatepass.registry.tokens.calls.hours import HOUR_MS
from gatepass.registry.tokens.calls.usage import DAY_MS
from gatepass.registry.tokens.records import AccessToken
from gatepass.registry.tokens.rotation import Closing
from gatepass.registry.webhooks import deliveries, hooks
from tests.support.database.small_registry import CATALOGUE, HOUR, NOW, SmallRegistry


class FullRegistry(SmallRegistry):
    """Two companies, and at least one row in every other table.

    Attributes:
        signed: Ada, signed in.
        token, text: an access token of hers.
        key: a verifier key's id.
        invitation: a pending one of hers.
        bob: a colleague, signed in.
        webhook: a webhook of Northwind, with an event that waits.
        account: a service account, which owns a token.
        portal: the token of a portal session that an admin key opened.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.signed: Actor = self.signed_in(self.ada)
        self.made: AccessToken
        self.made, self.text = self.token(
            self.signed,
            label="Naïve — 日本\n"[:-1],
            networks=["198.51.100.0/24"],
            metadata={"team": "é"},
            external_id="Naïve/7",
        )
        self.bob = self.colleague("manager")
        self.account = self.service_account(self.signed)
        replaced, _ = self.token(self.signed, owner=self.account.id)
        self.do(rotation.rotate, self.signed, replaced.id, Closing("when_silent"))
        customer = self.external_owner("k\u00fcnde/7")
        self.key, self.invitation = self._hand_out()
        self.portal = self.portal_session(customer, self._shop())
        self._fill()

    def _hand_out(self) -> tuple[str, Invitation]:
        with self.write() as change:
            catalogue_versions.publish(change, Actor.command_line(), text=CATALOGUE, note="First")
            key, _ = verifier_keys.create(change, Actor.command_line(), label="nginx")
            self.admin_key = admin_keys.create(
                change,
                Actor.command_line(),
                label="Shop",
                company=self.northwind.id,
                networks=["203.0.113.0/24"],
            )[0].id
            verifier_keys.create(
                change, Actor.command_line(), label="limited", companies=[self.contoso.id]
            )
            companies.put(
                change,
                Actor.command_line(),
                catalogue=self.catalogue,
                external_id="cus/1",
                name="Customer",
            )
            invitation = invitations.create(
                change,
                self.signed,
                email="new@northwind.example",
                role="reporting",
                lifetime_ms=72 * HOUR,
            )
            roles.create(
                change,
                self.signed,
                catalogue=self.catalogue,
                name="Desk",
                permissions=["charges:get"],
            )
            allowlist.replace(
                change,
                Actor.command_line(),
                self.contoso.id,
                [Entry("203.0.113.0/24", "office")],
            )
        self.webhook, _ = self.do(
            hooks.create,
            self.signed,
            key=self.encryption_key,
            networks=Networks(),
            url="https://hooks.example.com/",
            events=["access_token.*", "invitation.*"],
        )
        self.do(deliveries.test, self.signed, self.webhook.id)
        with self.database.auxiliary_write(self.now) as write:
            assert password_resets.request(write, "ada@northwind.example", None)
        self.do(
            email_changes.request,
            self.signed,
            self.bob.user or "",
            email="robert@northwind.example",
        )
        return key.id, invitation

    def _shop(self) -> Actor:
        return Actor(
            kind="admin_key",
            company=self.northwind.id,
            user=None,
            name="Shop",
            permissions=frozenset(),
            credential=self.admin_key,
            address="203.0.113.9",
        )

    def _fill(self) -> None:
        """Insert rows that operations can't easily create."""
        rows: dict[Any, dict[str, Any]] = {
            t.allowlist_trial_entries: {
                "company_id": self.contoso.id,
                "position": 0,
                "network": "10.0.0.0/8",
                "note": "",
            },
            t.recovery_codes: {"user_id": self.ada.id, "digest": bytes(range(32))},
            t.identities: {
                "issuer": "https://login.example.com/ä",
                "subject": "sub-ada",
                "user_id": self.ada.id,
                "linked_at": NOW,
            },
            t.used_once: {"digest": bytes(range(32)), "expires_at": NOW},
            t.sign_in_failures: {"key": "account ada", "at": NOW},
            t.token_use: {"token_id": self.made.id, "last_at": NOW, "total": 2**40},
            t.token_use_days: {"token_id": self.made.id, "day": NOW // DAY_MS, "uses": 3},
            t.token_use_addresses: {
                "token_id": self.made.id,
                "address": "198.51.100.7",
                "last_at": NOW,
                "uses": 3,
            },
            t.token_call_hours: {
                "hour": NOW // HOUR_MS,
                "token_id": self.made.id,
                "allowed": 2**40,
                "refused": 3,
            },
            t.observed_calls: {
                "token_id": self.made.id,
                "day": NOW // DAY_MS,
                "call": "0123456789abcdef01234567",
                "allowed": False,
                "reason": "permission_missing",
                "permission": "charges:create",
                "second_permission": "charges:get",
                "route": "/v1/charges/{id}",
                "method": "GET",
                "address": "2001:db8::/64",
                "origin": "https://shop.example.com",
                "decision": "dec_0123456789abcdefghijkl",
                "uses": 2**40,
                "first_at": NOW - 1,
                "last_at": NOW,
            },
            t.token_policies: {
                "company_id": self.contoso.id,
                "longest_life_days": 90,
                "networks_required": True,
                "unused_days": None,
                "approval_required": ["charges:*"],
                "warn_days": [14, 1],
            },
            t.access_requests: {
                "id": "req_1",
                "company_id": self.northwind.id,
                "token_id": self.made.id,
                "permission": "refunds:create",
                "decision": "dec_0123456789abcdefghijkl",
                "justification": "é \u2603",
                "created_at": NOW,
                "expires_at": NOW + 600_000,
                "outcome": "approved",
                "decided_at": NOW + 1,
                "decided_by": self.ada.id,
                "decided_by_name": "Ada Lovelace",
                "until": 2**41,
            },
            t.usage_spools: {"name": "1-2-3", "folded_to": 99},
            t.idempotent_answers: {
                "credential": "gpak_0000000000000000",
                "key_digest": bytes(32),
                "path_digest": bytes(range(32)),
                "at": NOW,
                "sealed": b"\x00\xffsealed",
            },
            t.decision_counts: {"reason": "allowed", "total": 7},
            t.nodes: {
                "id": new_id("nod"),
                "kind": "node",
                "name": "web-1",
                "version": "0.1.0",
                "limits": {"companies": ["é"]},
                "first_seen_at": 1,
                "seen_at": 1,
                "vouched_at": 1,
                "staleness_ms": 10_000,
                "revision": 3,
                "use_reported_at": 2**41,
            },
            t.receipts: {
                "revision": 300,
                "subject_id": "x",
                "subject_kind": "access_token",
                "subject_name": "x",
                "at": 1,
            },
            t.receipt_confirmations: {
                "revision": 300,
                "node_id": "nod_1",
                "node_name": "web-1",
                "node_kind": "node",
                "staleness_ms": 10_000,
            },
        }
        with self.database.auxiliary_write(self.now) as write:
            for table, row in rows.items():
                write.session.execute(insert(table), row)
            write.session.execute(
                update(t.users)
                .where(t.users.c.id == self.ada.id)
                .values(totp_sealed=b"\x00\xffsealed", operator=True)
            )


def measured(database: Database) -> Contents:
    """A database's contents: counts and digests."""
    with database.read(NOW) as reading:
        return contents.measure(reading.session.connection(), lambda rows: None)
