"""Each operation that changes something first checks its actor again, under the lock."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from types import FunctionType

import pytest

from gatepass import registry as package
from gatepass.core.errors import Forbidden
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, verifier_keys
from gatepass.registry.grants.authorization import acting
from gatepass.registry.membership import account
from gatepass.registry.storage.database import Change
from tests.support.database.small_registry import SmallRegistry, nothing_changes

#: Public changing operations that don't open with ``acting``, and why.
EXCEPTIONS = {
    "authentication.identities.assign": "a part of operations that have checked the actor",
    "authentication.identities.remove": "a part of operations that have checked the actor",
    "authentication.sessions.end_of_provider": "a part of operations that have checked the actor",
    "authentication.sessions.end_each": "a part of operations that have checked the actor",
    "authentication.sessions.sign_out": "whose sign-in was revoked meanwhile may still sign out",
    "authentication.sessions.end_others": "a part of operations that have checked the actor",
    "authentication.sessions.end_of_user": "a part of operations that have checked the actor",
    "backup.bulk_revoke.revoke": "a restore: the command line alone",
    "directory.admin_keys.end": "a part of operations that have checked the actor",
    "directory.portal_sessions.end_each": "a part of operations that have checked the actor",
    "directory.portal_sessions.end_opened_by": "a part of operations that have checked the actor",
    "directory.users.add": "a part of operations that have checked the actor, or followed a link",
    "directory.user_roles.assign": "a part of an operation that has checked the actor, or sign-in",
    "grants.authorization.acting": "the check itself",
    "membership.access_requests.approve": "its first step, which finds the request, begins with it",
    "membership.access_requests.deny": "its first step, which finds the request, begins with it",
    "membership.operators.name_operator": "the command line alone",
    "tokens.temporary.exceptions.add": "a part of operations that have checked the actor",
    "tokens.hand_over.carry_out": "a part of operations that have checked the actor",
    "tokens.rotation.add_copy": "a part of operations that have checked the actor",
    "tokens.rotation.begin_closing": "a part of operations that have checked the actor",
    "tokens.self_rotation.rotate": "it looks for reuse before a repeated request is answered",
    "tokens.store.add": "a part of operations that have checked the actor",
    "tokens.store.end": "a part of operations that have checked the actor",
    "tokens.store.revoke": "a part of operations that have checked the actor",
    "tokens.store.update": "a part of operations that have checked the actor",
    "tokens.ending.of_owner.deactivate_all": "a part of operations that have checked the actor",
}


def operations() -> Iterator[tuple[str, FunctionType]]:
    """All public functions of the registry that take a ``Change`` and an actor."""
    prefix = f"{package.__name__}."
    for found in pkgutil.walk_packages(package.__path__, prefix):
        if ".migrations" in found.name:
            continue
        module = importlib.import_module(found.name)
        for name, one in vars(module).items():
            if not isinstance(one, FunctionType) or one.__module__ != found.name:
                continue
            taken = inspect.signature(one).parameters
            first = next(iter(taken.values()), None)
            if name[0] != "_" and first and first.annotation is Change and "actor" in taken:
                yield f"{found.name.removeprefix(prefix)}.{name}", one


def opening(operation: FunctionType) -> str:
    """The first statement of an operation, past its docstring."""
    (definition,) = ast.parse(inspect.getsource(operation)).body
    assert isinstance(definition, ast.FunctionDef)
    body = definition.body[1:] if ast.get_docstring(definition) else definition.body
    return ast.unparse(body[0])


def test_every_changing_operation_opens_with_the_re_check() -> None:
    found = dict(operations())
    assert len(found) > 25, "the walk has lost its way"
    assert set(EXCEPTIONS) <= set(found), "an exception for what there is no more"
    forgotten = [
        name
        for name, operation in found.items()
        if name not in EXCEPTIONS
        and not opening(operation).startswith("actor = acting(change, actor")
    ]
    assert forgotten == []


def reason(registry: SmallRegistry, actor: Actor, *permissions: str, **required: bool) -> str:
    with registry.write() as change, pytest.raises(Forbidden) as refusal:
        acting(change, actor, *permissions, **required)
    return refusal.value.reason


def test_the_re_check_requires_what_it_is_told_to(registry: SmallRegistry) -> None:
    manager = registry.colleague("manager")
    token = registry.with_token(registry.token(manager, permissions=["access-tokens:get"])[0])
    line = Actor.command_line()
    with registry.write() as change:
        assert acting(change, manager, "access-tokens:get", own_account=True) == manager
        assert acting(change, token, "access-tokens:get") == token
        assert acting(change, line, "users:manage", person=True, operator=True) == line
    assert reason(registry, token, person=True) == "signed_in_user_required"
    assert reason(registry, token, own_account=True) == "signed_in_user_required"
    assert reason(registry, line, own_account=True) == "signed_in_user_required"
    assert reason(registry, manager, "access-tokens:get", "roles:manage") == "permission_missing"
    assert reason(registry, manager, operator=True) == "operator_required"


def test_what_was_taken_while_a_change_waited_is_gone(registry: SmallRegistry) -> None:
    """A permission, a role, an operator's right: as they are under the lock, not as admitted."""
    manager = registry.colleague("manager")
    overstated = replace(manager, permissions=frozenset({"*"}), operator=True)
    assert reason(registry, overstated, "roles:manage") == "permission_missing"
    assert reason(registry, overstated, operator=True) == "operator_required"
    with nothing_changes(registry):
        for refused in (
            lambda change: verifier_keys.create(change, overstated, label="key"),
            lambda change: companies.create(
                change, overstated, catalogue=registry.catalogue, name="Fabrikam"
            ),
        ):
            with pytest.raises(Forbidden), registry.write() as change:
                refused(change)
    registry.do(account.rename, overstated, "Robert")
