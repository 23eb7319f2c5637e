"""An external id belongs to one active access token of a company."""

import pytest

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.lists.lapsing import record_lapsed
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry


@pytest.fixture
def held(registry: SmallRegistry, ada: Actor) -> str:
    """The id of a token that has the external id, for an hour."""
    return registry.token(ada, external_id="deploy/7", expires_at=NOW + HOUR)[0].id


def taken(registry: SmallRegistry, actor: Actor, external_id: str = "deploy/7") -> bool:
    try:
        registry.token(actor, external_id=external_id)
    except Conflict as conflict:
        return conflict.reason == "external_id_taken"
    return False


def test_it_is_unique_among_a_companys_active_tokens(
    registry: SmallRegistry, ada: Actor, held: str
) -> None:
    assert taken(registry, ada)
    assert not taken(registry, ada, "DEPLOY/7"), "compared exactly"
    assert not taken(registry, registry.signed_in(registry.carl)), "another company's"
    other, _ = registry.token(ada)
    with pytest.raises(Conflict, match="external id"):
        registry.modify(ada, other, external_id="deploy/7")
    assert registry.get(other).external_id is None
    # Its own stays its own.
    token = registry.ask(access_tokens.get, ada, held)
    registry.modify(ada, token, external_id="deploy/7", expires_at=NOW + 2 * HOUR)


def test_a_deactivated_token_frees_it(registry: SmallRegistry, ada: Actor, held: str) -> None:
    assert registry.do(access_tokens.deactivate, ada, held).external_id == "deploy/7"
    assert not taken(registry, ada)
    assert taken(registry, ada)


@pytest.mark.parametrize("recorded", [False, True])
def test_an_expired_token_frees_it(
    registry: SmallRegistry, ada: Actor, held: str, recorded: bool
) -> None:
    """At once, whether or not a round has recorded the expiry."""
    registry.now = NOW + HOUR
    if recorded:
        assert record_lapsed(registry.database, lambda: registry.now) == 1
    assert not taken(registry, ada)
    assert taken(registry, ada)


def test_a_token_that_expired_by_another_nodes_clock_cant_take_it_back(
    registry: SmallRegistry, ada: Actor, held: str
) -> None:
    token = registry.ask(access_tokens.get, ada, held)
    registry.now = NOW + HOUR
    assert not taken(registry, ada)
    registry.now -= 1
    with pytest.raises(Conflict, match="external id"):
        registry.modify(ada, token, expires_at=NOW + 2 * HOUR)
    registry.modify(ada, token, external_id=None, expires_at=NOW + 2 * HOUR)
