"""What the demo's installation holds: a company that has been at it for a while."""

import random
from dataclasses import dataclass

from sqlalchemy.orm import Session

from gatepass.node import Node
from gatepass.registry import access_tokens, companies, passwords, usage, users, verifier_keys
from gatepass.registry.actor import Actor
from gatepass.verify.usage import Batch

COMPANY = "Acme Payments"
OWNER = "Ada Lovelace"
EMAIL = "ada@acme.example"
HOUR, DAY = 3_600_000, 86_400_000


@dataclass(frozen=True)
class Made:
    """What is told to whoever started the demo; the texts exist nowhere else."""

    email: str
    password: str
    verifier_key: str
    api_token: str
    ui_token: str

    def __repr__(self) -> str:
        return f"Made(email={self.email!r})"


@dataclass(frozen=True)
class _Sample:
    label: str
    permissions: tuple[str, ...]
    kind: str = "api"
    networks: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    made_days_ago: float = 1
    lives_days: float | None = None
    ended_days_ago: float | None = None
    uses_a_day: int = 0
    address: str = "203.0.113.24"


_SAMPLES = (
    _Sample("Load test, March", ("charges:create",), made_days_ago=210, ended_days_ago=204),
    _Sample(
        "Old shop plug-in",
        ("charges:create", "charges:get"),
        networks=("198.51.100.7",),
        made_days_ago=160,
        ended_days_ago=31,
    ),
    _Sample(
        "Accountants, last year",
        ("payouts:get", "payouts:search", "refunds:search"),
        made_days_ago=140,
        lives_days=90,
    ),
    _Sample(
        "Data warehouse export",
        ("charges:search", "customers:search", "payouts:search", "refunds:search"),
        networks=("10.20.0.0/16", "2001:db8:77::/48"),
        made_days_ago=96,
        uses_a_day=24,
        address="10.20.4.12",
    ),
    _Sample(
        "Support tool",
        ("charges:get", "charges:search", "customers:*", "refunds:get"),
        networks=("203.0.113.0/24",),
        made_days_ago=58,
        uses_a_day=140,
    ),
    _Sample("Webhook set-up", ("webhooks:*",), made_days_ago=30, lives_days=31.5),
    _Sample(
        "Nightly settlement",
        ("charges:*", "payouts:get", "payouts:search"),
        networks=("203.0.113.0/24",),
        made_days_ago=18,
        lives_days=30,
        uses_a_day=65,
    ),
    _Sample(
        "Checkout on shop.example",
        ("checkouts:create", "checkouts:get"),
        kind="ui",
        domains=("shop.example", "*.shop.example"),
        made_days_ago=9,
        uses_a_day=310,
        address="198.51.100.23",
    ),
)


def fill(node: Node, password: str, port: int) -> Made:
    """Make the company, its owner, a verifier key and some tokens, in an empty registry.

    Args:
        node: the node; its schema is there and empty.
        password: the owner's, already generated.
        port: where the demo is served: the UI token is for pages of ``localhost`` on it.
    """
    password_hash = passwords.hash(password)
    now = node.clock.now()
    with node.database.changing(now - 220 * DAY) as session:
        company = companies.create(
            session, Actor.command_line(), catalogue=node.catalogue, name=COMPANY
        )
        owner = users.create(
            session,
            Actor.command_line(),
            company=company.id,
            email=EMAIL,
            name=OWNER,
            role="admin",
            password_hash=password_hash,
            operator=True,
        )
        _, key = verifier_keys.create(session, Actor.command_line(), label="nginx in the demo")
    for sample in _SAMPLES:
        _add(node, owner.id, sample, now)
    with node.database.changing(now - 2 * HOUR) as session:
        _, api_token = access_tokens.create(
            session,
            users.on_behalf_of(session, owner.id),
            catalogue=node.catalogue,
            label="Try it from the shell",
            kind="api",
            permissions=["charges:create", "charges:get", "charges:search"],
            expires_at=now + 7 * DAY,
        )
        _, ui_token = access_tokens.create(
            session,
            users.on_behalf_of(session, owner.id),
            catalogue=node.catalogue,
            label="The demo page",
            kind="ui",
            permissions=["charges:search"],
            domains=[f"localhost:{port}"],
            expires_at=now + 7 * DAY,
        )
    return Made(EMAIL, password, key, api_token, ui_token)


def _add(node: Node, owner: str, sample: _Sample, now: int) -> None:
    made_at = now - int(sample.made_days_ago * DAY)
    with node.database.changing(made_at) as session:
        token, _ = access_tokens.create(
            session,
            users.on_behalf_of(session, owner),
            catalogue=node.catalogue,
            label=sample.label,
            kind=sample.kind,
            permissions=sample.permissions,
            networks=sample.networks,
            domains=sample.domains,
            expires_at=None
            if sample.lives_days is None
            else made_at + int(sample.lives_days * DAY),
        )
    if sample.ended_days_ago is not None:
        with node.database.changing(now - int(sample.ended_days_ago * DAY)) as session:
            access_tokens.deactivate(session, users.on_behalf_of(session, owner), token.id)
    if sample.uses_a_day:
        with node.database.counting(now) as session:
            _use(session, token.id, sample, now)


def _use(session: Session, token: str, sample: _Sample, now: int) -> None:
    """Made-up use: busy on weekdays, quieter at weekends, the last of it a little while ago."""
    chance = random.Random(sample.label)  # noqa: S311 - a picture to look at, not a secret
    permission = sample.permissions[0].replace(":*", ":search")
    days = min(14, int(sample.made_days_ago))
    for age in range(days, -1, -1):
        at = now - age * DAY - chance.randrange(4, 50) * 60_000
        weekend = (at // DAY + 3) % 7 >= 5
        count = max(1, int(sample.uses_a_day * chance.uniform(0.6, 1.3) * (0.3 if weekend else 1)))
        batch = Batch({token: (count, at, sample.address, permission)}, {"allowed": count})
        usage.fold(session, f"demo-{token}-{age}", 0, 1, [batch])
