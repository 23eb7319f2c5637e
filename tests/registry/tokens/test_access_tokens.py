"""Access tokens: creating, modifying and deactivating them, on both engines."""

import pytest
from sqlalchemy import insert, update
from sqlalchemy import text as sql

from gatepass.core.credentials import parse
from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import Holder
from gatepass.core.permissions import NOT_FOR_TOKENS
from gatepass.registry.actor import Actor, Person
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.grants.publishing import publish
from gatepass.registry.storage.tables import roles, users
from gatepass.registry.tokens import access_tokens, store
from gatepass.registry.tokens.input import CHANGEABLE
from gatepass.registry.tokens.lists import search as token_search
from gatepass.registry.tokens.records import etag
from tests.support.database.small_registry import HOUR, NOW, SmallRegistry, nothing_changes
from tests.support.token_fields import FIRST, SECOND


def test_a_created_token_works_at_once(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(
        ada,
        label="Checkout",
        kind="ui",
        permissions=["charges:get", "charges:create", "charges:get"],
        expires_at=NOW + HOUR,
        networks=["203.0.113.77/24", "203.0.113.0/24", "2001:DB8::1"],
        domains=["Shop.Example.com", "shop.example.com", "*.shop.example.com"],
    )
    credential = parse(text)
    assert credential is not None
    assert token.id == credential.id == text[:21]
    assert token.company == registry.northwind.id
    assert (token.label, token.kind, token.status) == ("Checkout", "ui", "active")
    assert token.permissions == ("charges:get", "charges:create")
    assert token.effective_permissions == ("charges:create", "charges:get")
    assert token.networks == ("203.0.113.0/24", "2001:db8::1/128")
    assert token.domains == ("shop.example.com", "*.shop.example.com")
    assert (token.created_at, token.expires_at) == (NOW, NOW + HOUR)
    assert token.created_by == Person(registry.ada.id, "Ada Lovelace")
    assert (token.deactivated_at, token.deactivated_by, token.last_used) == (None, None, None)
    assert registry.get(token) == token

    good = {"address": "203.0.113.9", "origin": "https://shop.example.com"}
    assert registry.reason(text, **good) is Reason.allowed
    assert registry.reason(text, "refunds:create", **good) is Reason.permission_missing
    assert registry.reason(text, **good | {"address": "9.9.9.9"}) is Reason.address_not_allowed
    assert registry.reason(text, **good | {"origin": "https://x.com"}) is Reason.origin_not_allowed
    registry.now += HOUR - 1
    assert registry.reason(text, **good) is Reason.allowed
    registry.now += 1
    assert registry.reason(text, **good) is Reason.token_expired
    assert registry.get(token).status == "expired"


def test_the_text_is_stored_nowhere(registry: SmallRegistry) -> None:
    token, text = registry.token(registry.signed_in(registry.ada))
    secret = text[21:53]
    with registry.read() as reading:
        for table in ("access_tokens", "audit_events", "grants"):
            assert secret not in repr(reading.session.execute(sql(f"SELECT * FROM {table}")).all())
    assert secret not in repr(token)


def test_invalid_fields_change_nothing(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    with nothing_changes(registry):
        with pytest.raises(InvalidInput) as refusal:
            registry.token(ada, label="", kind="x", permissions=["charges:get", "*"])
        assert [field for field, _ in refusal.value.errors] == ["kind", "label", "permissions.1"]
        with pytest.raises(InvalidInput) as refusal:
            registry.modify(ada, token, label="Other", kind="ui", domains=["shop.example.com"])
        assert [field for field, _ in refusal.value.errors] == ["kind", "domains"]


def test_fields_at_their_limits_are_valid(registry: SmallRegistry, ada: Actor) -> None:
    networks = [f"10.0.{n // 256}.{n % 256}/32" for n in range(500)]
    domains = [f"s{n}.example.com" for n in range(100)]
    token, _ = registry.token(
        ada,
        label="👩‍💻" + "é" * 97,
        kind="ui",
        permissions=["charges:get"] * 200,
        networks=networks,
        domains=domains,
        expires_at=NOW + 1,
    )
    assert token.networks == tuple(networks)
    assert token.domains == tuple(domains)
    assert registry.token(ada, permissions=["charges:*"], domains=[])[0].permissions == (
        "charges:*",
    )


@pytest.mark.parametrize("wanted", ["refunds:create", "charges:*", "roles:*", "company:get"])
def test_nobody_grants_more_than_they_hold(registry: SmallRegistry, wanted: str) -> None:
    # A manager holds nearly every name, but by name alone: tomorrow's actions are not theirs.
    with registry.write() as change:
        change.session.execute(
            insert(roles),
            {
                "id": "rol_1",
                "company_id": registry.northwind.id,
                "name": "Till",
                "name_folded": "till",
                "permissions": ["charges:create", "charges:get", "access-tokens:create"],
                "created_at": NOW,
            },
        )
    follow_catalogue(registry.database, registry.catalogue, registry.now)
    till = registry.colleague("rol_1")
    assert registry.token(till, permissions=["charges:create"])[0].status == "active"
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        registry.token(till, permissions=["charges:get", wanted])
    assert (refusal.value.reason, refusal.value.permission) == ("permission_missing", wanted)


def test_creating_needs_the_permission_and_a_signed_in_user(registry: SmallRegistry) -> None:
    reporting = registry.colleague("reporting")
    with pytest.raises(Forbidden) as refusal:
        registry.token(reporting, permissions=["charges:get"])
    assert refusal.value.permission == "access-tokens:create"

    ada = registry.signed_in(registry.ada)
    maker, _ = registry.token(ada, permissions=["access-tokens:*", "charges:*"])
    with pytest.raises(Forbidden) as refusal:
        registry.token(registry.with_token(maker))
    assert refusal.value.reason == "signed_in_user_required"
    with pytest.raises(Forbidden) as refusal:
        registry.token(Actor.command_line())
    assert refusal.value.reason == "signed_in_user_required"


def test_effective_permissions_follow_the_creators_role(registry: SmallRegistry) -> None:
    bob = registry.colleague("manager")
    token, text = registry.token(bob, permissions=["charges:create", "charges:get", "audit:get"])
    _set_role(registry, bob, "reporting")
    assert registry.get(token).permissions == ("charges:create", "charges:get", "audit:get")
    assert registry.get(token).effective_permissions == ("audit:get", "charges:get")
    assert registry.reason(text, "charges:create") is Reason.permission_missing
    _set_role(registry, bob, "manager")
    assert registry.reason(text, "charges:create") is Reason.allowed


def test_a_form_creates_one_token(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, form_id="form-1")
    with nothing_changes(registry), pytest.raises(Conflict) as refusal:
        registry.token(ada, form_id="form-1", label="Again")
    assert (refusal.value.reason, refusal.value.current) == ("form_already_used", token.id)
    registry.token(ada, form_id="form-2")
    # Someone else's form of the same name is another form.
    registry.token(registry.signed_in(registry.carl), form_id="form-1")
    for broken in ("", "x" * 101, "\0", "\udc00"):
        with pytest.raises(InvalidInput):
            registry.token(ada, form_id=broken)


def test_another_companys_token_does_not_exist(registry: SmallRegistry) -> None:
    token, _ = registry.token(registry.signed_in(registry.ada))
    carl = registry.signed_in(registry.carl)
    for token_id in (token.id, "gpat_0000000000000000", "", "\0", "\ud800"):
        with registry.write() as change:
            with pytest.raises(NotFound):
                access_tokens.get(change, carl, token_id)
            with pytest.raises(NotFound):
                access_tokens.deactivate(change, carl, token_id)
            with pytest.raises(NotFound):
                access_tokens.modify(
                    change,
                    carl,
                    token_id,
                    catalogue=registry.catalogue,
                    changes={"label": "x"},
                )
            assert token_search.list_(change, carl).items == []


def test_reading_needs_the_permissions(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, permissions=["charges:get"])
    poor = registry.with_token(token)
    searcher = registry.with_token(
        registry.token(ada, permissions=["access-tokens:search", "access-tokens:get"])[0]
    )
    with registry.read() as reading:
        with pytest.raises(Forbidden) as refusal:
            access_tokens.get(reading, poor, token.id)
        assert refusal.value.permission == "access-tokens:get"
        with pytest.raises(Forbidden) as refusal:
            token_search.list_(reading, poor)
        assert refusal.value.permission == "access-tokens:search"
        assert access_tokens.get(reading, searcher, token.id).id == token.id
        assert len(token_search.list_(reading, searcher).items) == 2


def test_every_editable_field_changes_and_applies(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada, kind="ui", expires_at=NOW + HOUR)
    changed = registry.modify(
        ada,
        token,
        label="Morning",
        permissions=["refunds:create"],
        networks=["10.0.0.0/8", "10.1.2.3/8"],
        domains=["a.example.com"],
        expires_at=None,
    )
    assert (changed.label, changed.permissions) == ("Morning", ("refunds:create",))
    assert (changed.networks, changed.domains) == (("10.0.0.0/8",), ("a.example.com",))
    assert changed.expires_at is None
    assert registry.get(token) == changed
    registry.now += 2 * HOUR
    good = {"address": "10.9.9.9", "origin": "https://a.example.com"}
    assert registry.reason(text, "refunds:create", **good) is Reason.allowed
    assert registry.reason(text, "charges:create", **good) is Reason.permission_missing
    assert registry.reason(text, "refunds:create", address="10.9.9.9") is Reason.origin_missing
    grant = registry.decide(text, "refunds:create", **good).grant
    assert grant is not None
    assert grant.label == "Morning"
    event = registry.events(action="access_token.modified")[-1]
    assert event.before == {
        "label": "Nightly settlement",
        "permissions": ["charges:create"],
        "networks": [],
        "domains": [],
        "expires_at": NOW + HOUR,
    }
    assert event.after is not None
    assert event.after["label"] == "Morning"


@pytest.mark.parametrize("field", CHANGEABLE)
def test_every_field_is_stored_recorded_and_part_of_the_version(
    registry: SmallRegistry, field: str
) -> None:
    ada = registry.signed_in(registry.ada)
    token, _ = registry.token(ada, kind="ui", **FIRST)
    changed = registry.modify(ada, token, **{field: SECOND[field]})
    assert etag(changed) != etag(token), "or a concurrent edit of it would be overwritten"
    stored = getattr(registry.get(token), field)
    assert (list(stored) if isinstance(stored, tuple) else stored) == SECOND[field]
    created, modified = (
        registry.events(action=f"access_token.{verb}")[-1] for verb in ("created", "modified")
    )
    assert created.after == {**FIRST, "kind": "ui"}
    assert (modified.before, modified.after) == ({field: FIRST[field]}, {field: SECOND[field]})


def test_unchanged_values_write_no_event(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada, networks=["10.0.0.0/8"])
    before = len(registry.events())
    same = registry.modify(ada, token, label=token.label, networks=["10.255.0.0/8"])
    assert same == token
    assert registry.modify(ada, token) == token
    assert len(registry.events()) == before


def test_modifying_needs_all_permissions_that_the_token_has_and_gets(
    registry: SmallRegistry, ada: Actor
) -> None:
    bob = registry.colleague("manager")
    powerful, _ = registry.token(ada, permissions=["charges:get", "roles:*"])
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        registry.modify(bob, powerful, label="Mine now")
    assert refusal.value.permission == "roles:*"
    with pytest.raises(Forbidden):
        registry.modify(bob, powerful, permissions=["charges:get"])
    modest, _ = registry.token(ada, permissions=["charges:get"])
    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        registry.modify(bob, modest, permissions=["charges:get", "company:*"])
    assert refusal.value.permission == "company:*"
    assert registry.modify(bob, modest, label="Ours").label == "Ours"

    reporting = registry.colleague("reporting", "Rita")
    with pytest.raises(Forbidden) as refusal:
        registry.modify(reporting, modest, label="Hers")
    assert refusal.value.permission == "access-tokens:modify"
    with pytest.raises(Forbidden) as refusal:
        registry.modify(
            registry.with_token(registry.token(ada, permissions=["access-tokens:*"])[0]),
            modest,
            label="Its",
        )
    assert refusal.value.reason == "signed_in_user_required"


@pytest.mark.parametrize("name", sorted(NOT_FOR_TOKENS))
def test_what_no_token_can_do_is_never_added_and_may_stay(
    registry: SmallRegistry, ada: Actor, name: str
) -> None:
    """A token of a former version keeps it, in the record alone."""
    with nothing_changes(registry), pytest.raises(InvalidInput) as refusal:
        registry.token(ada, permissions=["charges:get", name])
    assert refusal.value.reason == "not_for_tokens"
    assert [field for field, _ in refusal.value.errors] == ["permissions.1"]
    token, _ = registry.token(ada, permissions=["charges:get"])
    with nothing_changes(registry), pytest.raises(InvalidInput):
        registry.modify(ada, token, permissions=["charges:get", name])
    both = {"permissions": ["charges:get", name]}
    with registry.write() as change:
        row = store.find(change, None, token.id)
        store.update(change, ada, row, both)
    stored = registry.modify(ada, registry.get(token), label="Renamed", **both)
    assert (stored.label, stored.permissions) == ("Renamed", ("charges:get", name))
    assert stored.effective_permissions == ("charges:get",)
    # With another error beside it, the reason is the general one.
    with pytest.raises(InvalidInput) as refusal:
        registry.token(ada, label="", permissions=[name])
    assert refusal.value.reason == "invalid"


def test_deactivated_and_expired_tokens_cannot_be_modified(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    expiring, _ = registry.token(ada, expires_at=NOW + 5)
    ended, _ = registry.token(ada)
    registry.do(access_tokens.deactivate, ada, ended.id)
    registry.now += 5
    for token, reason in ((expiring, "token_expired"), (ended, "token_deactivated")):
        with nothing_changes(registry), pytest.raises(Conflict) as refusal:
            registry.modify(ada, token, label="Zombie", expires_at=None)
        assert refusal.value.reason == reason


def test_a_stale_if_match_is_refused(registry: SmallRegistry, ada: Actor) -> None:
    token, _ = registry.token(ada)
    mine = [etag(token)]
    theirs = registry.modify(ada, token, if_match=mine, label="Theirs")
    assert etag(theirs) not in mine
    with nothing_changes(registry), pytest.raises(Conflict) as refusal:
        registry.modify(ada, token, if_match=mine, label="Mine")
    assert (refusal.value.reason, refusal.value.current) == ("changed_meanwhile", theirs)
    with pytest.raises(Conflict):
        registry.modify(ada, token, if_match=[], label="Mine")
    assert registry.modify(ada, token, if_match=['"x"', etag(theirs)], label="Mine").label == "Mine"
    ended = registry.do(access_tokens.deactivate, ada, token.id)
    with pytest.raises(Conflict) as refusal:
        registry.modify(ada, token, if_match=[etag(theirs)], label="Later")
    assert (refusal.value.reason, refusal.value.current) == ("changed_meanwhile", ended)


def test_deactivating_is_permanent_and_idempotent(registry: SmallRegistry, ada: Actor) -> None:
    token, text = registry.token(ada)
    registry.now += 7
    ended = registry.do(access_tokens.deactivate, ada, token.id)
    assert (ended.status, ended.deactivated_at) == ("deactivated", NOW + 7)
    assert ended.deactivated_by == Person(registry.ada.id, "Ada Lovelace")
    assert registry.reason(text) is Reason.token_deactivated
    registry.now += 7
    events = len(registry.events())
    assert registry.do(access_tokens.deactivate, Actor.command_line(), token.id) == ended
    assert len(registry.events()) == events
    assert registry.get(token) == ended


def test_who_may_deactivate(registry: SmallRegistry, ada: Actor) -> None:
    bob = registry.colleague("manager")
    own, _ = registry.token(bob, permissions=["charges:get"])
    _set_role(registry, bob, "customer-service")
    adas, _ = registry.token(ada)

    def end(actor: Actor, token_id: str) -> str:
        return registry.do(access_tokens.deactivate, actor, token_id).status

    with nothing_changes(registry), pytest.raises(Forbidden) as refusal:
        end(bob, adas.id)
    assert refusal.value.permission == "access-tokens:deactivate"
    # A token that leaked must not be able to end its maker's others.
    with nothing_changes(registry), pytest.raises(Forbidden):
        end(registry.with_token(own), own.id)
    assert end(bob, own.id) == "deactivated"
    ender, _ = registry.token(ada, permissions=["access-tokens:deactivate"])
    assert end(registry.with_token(ender), adas.id) == "deactivated"
    event = registry.events(action="access_token.deactivated")[-1]
    assert (event.actor_kind, event.actor_credential) == ("token", ender.id)
    assert end(Actor.command_line(), ender.id) == "deactivated"
    assert registry.get(ender).deactivated_by == Person(None, "the command line")


def _set_role(registry: SmallRegistry, actor: Actor, role: str) -> None:
    assert actor.user is not None
    assert actor.company is not None
    with registry.write() as change:
        change.session.execute(update(users).where(users.c.id == actor.user).values(role=role))
        publish(change, Holder(actor.user, actor.company, True, role))
