"""The orders of the list of access tokens, and its filters, compared with a look at each token."""

import base64
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from gatepass.core.errors import InvalidInput
from gatepass.registry.actor import Actor
from gatepass.registry.input.text import folded
from gatepass.registry.storage import scans
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls import usage
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.lists.lapsing import record_lapsed
from gatepass.registry.tokens.lists.sorting import ORDERS, SORTS
from gatepass.registry.tokens.records import AccessToken
from gatepass.verify.usage import Batch
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry

LABELS = ("Ärger", "arger", "Zulu", "zulu", "", "日本", "😀 smile", "a_b", "aB", "a b")
LATER = NOW + 10 * HOUR


def all_pages(
    registry: SmallRegistry, actor: Actor, *, limit: int = 21, **how: Any
) -> list[AccessToken]:
    found: list[AccessToken] = []
    cursor = None
    while True:
        page = registry.ask(token_search.list_, actor, limit=limit, cursor=cursor, **how)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


def use(registry: SmallRegistry, last: dict[str, int]) -> None:
    batch = Batch({id: (1, at, None, "") for id, at in last.items()}, {})
    with registry.database.auxiliary_write(registry.now) as write:
        name = f"spool {random.random()}"
        assert usage.fold(write, name, 0, 1, [batch])


@pytest.fixture
def mixed(registry: SmallRegistry, ada: Actor) -> list[AccessToken]:
    """Tokens of every status, some used, with ties in each value; as the records now are."""
    pick = random.Random(7)
    made = []
    for n in range(60):
        registry.now = NOW + n // 3
        token, _ = registry.token(
            ada,
            label=LABELS[n % len(LABELS)] or f"job {n % 4}",
            kind=("api", "ui")[n % 2],
            expires_at=pick.choice([None, NOW + HOUR, NOW + 20 * HOUR, NOW + 30 * HOUR]),
            networks=pick.choice([[], ["10.0.0.0/8"]]),
        )
        made.append(token)
    registry.token(registry.signed_in(registry.carl), label="another company's")
    use(registry, {token.id: NOW + pick.randrange(4) * HOUR for token in made[::2]})
    for token in pick.sample(made, 12):
        registry.do(access_tokens.deactivate, ada, token.id)
    registry.now = LATER
    return [registry.get(token) for token in made]


def value_of(token: AccessToken, sort: str) -> Any:
    if sort == "last_used":
        return token.last_used and token.last_used.at
    return {"created_at": 0, "label": token.label, "expires_at": token.expires_at}[sort]


def in_order(tokens: list[AccessToken], sort: str, order: str) -> list[str]:
    """By code points of the folded label; the registry's own folding is tested elsewhere."""

    def key(token: AccessToken) -> Any:
        value = value_of(token, sort)
        return (folded(value) if isinstance(value, str) else value, token.created_at, token.id)

    reverse = order == "desc"
    having = [each for each in tokens if value_of(each, sort) is not None]
    lacking = [each for each in tokens if value_of(each, sort) is None]
    return [
        token.id
        for part in (sorted(having, key=key, reverse=reverse), _by_age(lacking, reverse))
        for token in part
    ]


def _by_age(tokens: list[AccessToken], reverse: bool) -> list[AccessToken]:
    return sorted(tokens, key=lambda token: (token.created_at, token.id), reverse=reverse)


FILTERS: dict[str, tuple[dict[str, Any], Callable[[AccessToken], bool]]] = {
    "nothing": ({}, lambda token: True),
    "active": ({"status": "active"}, lambda token: token.status == "active"),
    "expired": ({"status": "expired"}, lambda token: token.status == "expired"),
    "deactivated": ({"status": "deactivated"}, lambda token: token.status == "deactivated"),
    "ui": ({"kind": "ui"}, lambda token: token.kind == "ui"),
    "with networks": ({"network": "any"}, lambda token: bool(token.networks)),
    "without networks, active": (
        {"network": "none", "status": "active"},
        lambda token: not token.networks and token.status == "active",
    ),
    "expiring": (
        {"expires_before": NOW + 25 * HOUR},
        lambda token: token.expires_at is not None and token.expires_at < NOW + 25 * HOUR,
    ),
    "expiring, active": (
        {"expires_before": NOW + 25 * HOUR, "status": "active"},
        lambda token: (token.expires_at or 0) == NOW + 20 * HOUR and token.status == "active",
    ),
    "never used": ({"used": "never"}, lambda token: token.last_used is None),
    "used": (
        {"used": "ever", "kind": "api"},
        lambda t: t.last_used is not None and t.kind == "api",
    ),
    "unused": (
        {"unused_since": NOW + 2 * HOUR},
        lambda token: token.last_used is None or token.last_used.at < NOW + 2 * HOUR,
    ),
    "used, unused since, active": (
        {"unused_since": NOW + 2 * HOUR, "used": "ever", "status": "active"},
        lambda token: (
            token.status == "active"
            and token.last_used is not None
            and token.last_used.at < NOW + 2 * HOUR
        ),
    ),
    "a word": ({"q": "zulu"}, lambda token: token.label.lower() == "zulu"),
}


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("many", [0, scans.MANY])
def test_every_order_with_every_filter(
    registry: SmallRegistry,
    ada: Actor,
    mixed: list[AccessToken],
    monkeypatch: pytest.MonkeyPatch,
    many: int,
    recorded: bool,
) -> None:
    """Walking an index in its order, and sorting what is few; expiry recorded, and not yet."""
    monkeypatch.setattr(scans, "MANY", many)
    if recorded:
        record_lapsed(registry.database, lambda: registry.now)
    for name, (filters, matches) in FILTERS.items():
        wanted = [token for token in mixed if matches(token)]
        assert len(wanted) > 0, name
        for sort in SORTS:
            for order in ORDERS:
                how = {"sort": sort, "order": order, **filters}
                found = [token.id for token in all_pages(registry, ada, **how)]
                assert found == in_order(wanted, sort, order), (name, sort, order)
        page = registry.ask(token_search.list_, ada, limit=1, **filters)
        assert page.count == len(wanted), name


def test_a_portal_sessions_owner_and_a_maker(registry: SmallRegistry, ada: Actor) -> None:
    """Filters by people, in an order; each of them bounds the other."""
    account = registry.service_account(ada)
    bob = registry.colleague("manager", "Bob")
    for n in range(3):
        registry.token(ada, label=f"c{n}", owner=account.id, permissions=["charges:get"])
        registry.token(bob, label=f"b{n}")
    by_ada = all_pages(registry, ada, sort="label", created_by=ada.user, limit=2)
    assert [token.label for token in by_ada] == ["c0", "c1", "c2"]
    of_both = all_pages(registry, ada, sort="label", created_by=bob.user, owner=account.id)
    assert of_both == []
    assert all_pages(registry, ada, created_by="\0") == []


def test_a_cursor_belongs_to_its_order(registry: SmallRegistry, ada: Actor) -> None:
    for n in range(3):
        registry.token(ada, label=f"job {n}", expires_at=NOW + HOUR + n)
    orders = [{"sort": sort, "order": order} for sort in SORTS for order in ORDERS]
    cursors = [registry.ask(token_search.list_, ada, limit=1, **how).next for how in orders]
    assert len(set(cursors)) == len(orders)
    for how in orders:
        for other, cursor in zip(orders, cursors, strict=True):
            if how == other:
                assert registry.ask(token_search.list_, ada, cursor=cursor, **how).items
                continue
            with pytest.raises(InvalidInput) as refusal:
                registry.ask(token_search.list_, ada, cursor=cursor, **how)
            assert [field for field, _ in refusal.value.errors] == ["cursor"]


@pytest.mark.parametrize(
    "key",
    [
        '["label","asc",5,1,"x"]',
        '["expires_at","asc","x",1,"x"]',
        '["expires_at","asc",true,1,"x"]',
        '["label","asc","\\u0000",1,"x"]',
        '["label","asc","\\ud800",1,"x"]',
        '["label","asc","a",1]',
        '["label","asc","a",1.5,"x"]',
        '["expires_at","asc",9223372036854775808,1,"x"]',
        '{"label":1}',
        "7",
    ],
)
def test_a_forged_cursor_is_refused(registry: SmallRegistry, ada: Actor, key: str) -> None:
    text = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    for sort in ("label", "expires_at"):
        with pytest.raises(InvalidInput, match="cursor"):
            registry.ask(token_search.list_, ada, sort=sort, cursor=text)


@pytest.mark.parametrize(
    ("field", "value"),
    [("sort", "name"), ("order", "up"), ("network", "some"), ("used", "often")],
)
def test_an_unknown_order_or_filter_is_named(
    registry: SmallRegistry, ada: Actor, field: str, value: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        registry.ask(token_search.list_, ada, **{field: value})
    assert [name for name, _ in refusal.value.errors] == [field]


def test_the_table_of_last_use_follows_the_tokens(
    registry: SmallRegistry, ada: Actor, mixed: list[AccessToken]
) -> None:
    """Whatever changes a token's status, or tells of its use."""
    record_lapsed(registry.database, lambda: registry.now)
    expired = next(token for token in mixed if token.status == "expired")
    registry.now = NOW + HOUR - 1
    registry.modify(ada, registry.get(expired), expires_at=LATER + HOUR)
    former, _ = registry.token(ada, external_id="deploy/7", expires_at=registry.now + 5)
    registry.now += 5
    registry.token(ada, external_id="deploy/7")
    use(registry, {former.id: registry.now, expired.id: NOW - HOUR, "gplt_0000000000000000": NOW})
    with registry.read() as reading:
        found = reading.session.execute(
            text(
                "SELECT access_tokens.id FROM access_tokens "
                "LEFT JOIN token_use ON token_use.token_id = access_tokens.id "
                "LEFT JOIN access_token_recency AS kept ON kept.id = access_tokens.id "
                "AND kept.company_id = access_tokens.company_id "
                "AND kept.created_at = access_tokens.created_at "
                "AND kept.last_at = COALESCE(token_use.last_at, 0) "
                "AND kept.life = CASE WHEN deactivated_at IS NOT NULL THEN 'deactivated' "
                "WHEN lapsed_at IS NOT NULL THEN 'expired' ELSE 'active' END "
                "WHERE kept.id IS NULL"
            )
        ).all()
    assert found == []
