"""Verifier keys: created and deactivated by operators only, and outside all companies."""

from dataclasses import replace

import pytest

from gatepass.core.credentials import parse
from gatepass.core.decision import Reason, admit_verifier
from gatepass.core.errors import Forbidden, InvalidInput, NotFound
from gatepass.registry.actor import Actor, Person
from gatepass.registry.audit import search
from gatepass.registry.directory import verifier_keys
from gatepass.registry.grants.publishing import published_grant
from gatepass.registry.membership import operators
from tests.support.database.small_registry import NOW, SmallRegistry, nothing_changes


def test_a_key_is_created_shown_once_and_deactivated_at_once(registry: SmallRegistry) -> None:
    root = Actor.command_line()
    key, text = registry.do(verifier_keys.create, root, label="nginx")
    assert key.id == text[:21]
    assert (key.label, key.status, key.created_at) == ("nginx", "active", NOW)
    assert key.created_by == Person(None, "the command line")
    assert _admitted(registry, text) is Reason.allowed
    registry.now += 1
    ended = registry.do(verifier_keys.deactivate, root, key.id)
    assert (ended.status, ended.deactivated_at) == ("deactivated", NOW + 1)
    assert _admitted(registry, text) is Reason.token_deactivated
    registry.now += 1
    events = len(registry.events())
    with registry.write() as change:
        assert verifier_keys.deactivate(change, root, key.id) == ended
        assert verifier_keys.list_(change, root).items == [ended]
    assert len(registry.events()) == events
    assert text[21:53] not in repr(registry.events())


def test_only_operators_manage_keys(registry: SmallRegistry, ada: Actor) -> None:
    olga = registry.user(registry.northwind, "olga@northwind.example", "Olga Operator")
    registry.do(operators.name_operator, Actor.command_line(), olga.id, operator=True)
    operator = registry.signed_in(olga)
    with registry.write() as change:
        key, _ = verifier_keys.create(change, operator, label="nginx")
        assert key.created_by.id == olga.id
        assert search.list_(change, ada, subject=key.id).items == []
    token = registry.with_token(registry.token(ada, permissions=["users:*"])[0])
    with nothing_changes(registry), registry.read() as reading:
        for actor, reason in (
            (ada, "operator_required"),
            (token, "signed_in_user_required"),
            (replace(token, operator=True), "signed_in_user_required"),
        ):
            with pytest.raises(Forbidden) as refusal:
                verifier_keys.create(reading, actor, label="x")
            assert refusal.value.reason == reason
            with pytest.raises(Forbidden) as refusal:
                verifier_keys.deactivate(reading, actor, key.id)
            assert refusal.value.reason == reason
        with pytest.raises(Forbidden):
            verifier_keys.list_(reading, ada)
    with nothing_changes(registry):
        with pytest.raises(InvalidInput):
            registry.do(verifier_keys.create, operator, label="")
        for nothing in ("gpvk_0000000000000000", "\0"):
            with pytest.raises(NotFound):
                registry.do(verifier_keys.deactivate, operator, nothing)


def _admitted(registry: SmallRegistry, text: str) -> Reason:
    credential = parse(text)
    assert credential is not None
    return admit_verifier(registry.ask(published_grant, credential.id), credential)
