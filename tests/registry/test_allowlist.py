"""A company's allowlist: what is put counts at once, and nobody locks themselves out by it."""

import pytest

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.registry import allowlist
from gatepass.registry.actor import Actor
from gatepass.registry.allowlist import Entry
from small_registry import SmallRegistry, nothing_changes

OFFICE = Entry("198.51.100.0/24", "Office")


def put(registry: SmallRegistry, actor: Actor, *entries: Entry) -> list[Entry]:
    with registry.changing() as session:
        return allowlist.replace(session, actor, registry.northwind.id, entries)


def test_what_is_put_counts_at_once(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    _, token = registry.token(ada)
    typed = Entry("198.51.100.77/24", "Office")
    assert put(registry, ada, typed, OFFICE, Entry("2001:DB8::/32")) == [
        OFFICE,
        Entry("2001:db8::/32"),
    ]
    with registry.reading() as session:
        assert allowlist.show(session, ada, registry.northwind.id) == [
            OFFICE,
            Entry("2001:db8::/32"),
        ]
    assert registry.reason(token, address="198.51.100.1") is Reason.allowed
    assert registry.reason(token, address="9.9.9.9") is Reason.company_address_not_allowed
    assert registry.reason(token) is Reason.company_address_not_allowed
    events = len(registry.events())
    put(registry, ada, OFFICE, Entry("2001:db8::/32"))
    assert len(registry.events()) == events
    put(registry, ada)
    assert registry.reason(token, address="9.9.9.9") is Reason.allowed


def test_roles_stay_when_the_allowlist_changes(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    put(registry, ada, OFFICE)
    token, _ = registry.token(ada)
    assert registry.get(token).effective_permissions == ("charges:create",)


def test_nobody_locks_themselves_out(registry: SmallRegistry) -> None:
    for address in ("203.0.113.1", None):
        actor = registry.signed_in(registry.ada, address)
        with nothing_changes(registry), pytest.raises(Conflict) as refusal:
            put(registry, actor, OFFICE)
        assert refusal.value.reason == "would_lock_you_out"
        assert put(registry, actor) == []
    assert put(registry, Actor.command_line(), OFFICE) == [OFFICE]


def test_who_may(registry: SmallRegistry) -> None:
    ada, bob = registry.signed_in(registry.ada), registry.colleague("manager")
    carl = registry.signed_in(registry.carl)
    rita = registry.colleague("customer-service", "Rita")
    token = registry.with_token(registry.token(ada, permissions=["company:*"])[0])
    put(registry, ada, OFFICE)
    with nothing_changes(registry), registry.reading() as session:
        for actor, wanted in ((bob, "permission_missing"), (token, "signed_in_user_required")):
            assert allowlist.show(session, actor, registry.northwind.id) == [OFFICE]
            with pytest.raises(Forbidden) as refusal:
                allowlist.replace(session, actor, registry.northwind.id, [])
            assert refusal.value.reason == wanted
        with pytest.raises(Forbidden):
            allowlist.show(session, rita, registry.northwind.id)
        for company in (registry.northwind.id, "com_none"):
            with pytest.raises(NotFound):
                allowlist.show(session, carl, company)
            with pytest.raises(NotFound):
                allowlist.replace(session, carl, company, [])


def test_what_cannot_stand_is_named(registry: SmallRegistry) -> None:
    ada = registry.signed_in(registry.ada)
    with nothing_changes(registry):
        with pytest.raises(InvalidInput) as refusal:
            put(registry, ada, OFFICE, Entry("10.0.0.0/99"), Entry("10.0.0.1", "a\0b"))
        assert [field for field, _ in refusal.value.errors] == [
            "entries.1.network",
            "entries.2.note",
        ]
        many = [Entry(f"10.{n // 65536}.{n // 256 % 256}.{n % 256}") for n in range(10_001)]
        with pytest.raises(InvalidInput) as refusal:
            put(registry, ada, *many)
        assert [field for field, _ in refusal.value.errors] == ["entries"]
    assert len(put(registry, ada, OFFICE, *many[:9_999])) == 10_000
