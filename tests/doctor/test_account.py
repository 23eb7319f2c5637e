"""The doctor's account, on each engine: it ends with its tokens."""

import pytest

from gatepass.core.errors import InvalidInput
from gatepass.doctor.account import Account, Calls
from gatepass.registry.actor import Actor
from gatepass.registry.directory import owner_search
from gatepass.registry.tokens import access_tokens
from tests.support.apps.installation import Installation


def test_it_ends_with_its_tokens(any_installation: Installation) -> None:
    node, company = any_installation.node, any_installation.company.id
    with Account(node, company) as account:
        first = account.token("charges:get", "192.0.2.1/32")
        account.end_tokens()
        second = account.token("charges:get", "192.0.2.1/32")
        assert account.calls(second, [], wait_s=0) == Calls(())
        assert any_installation.verify(second.text, permission="charges:get", address="192.0.2.1")[
            "allowed"
        ]
        assert first.text not in repr(first)
    with node.database.read(node.clock.now()) as reading:
        command_line = Actor.command_line()
        for each in (first, second):
            assert access_tokens.get(reading, command_line, each.id).status == "deactivated"
        (owner,) = owner_search.list_(reading, command_line, company=company).items
    assert (owner.id, owner.status) == (account.id, "deactivated")
    assert any_installation.verify(second.text, permission="charges:get", address="192.0.2.1")[
        "reason"
    ] in ("token_deactivated", "account_deactivated")


def test_it_ends_after_a_failure(installation: Installation) -> None:
    with (
        pytest.raises(InvalidInput),
        Account(installation.node, installation.company.id) as account,
    ):
        account.token("charges:get", "no network")
    with installation.node.database.read(installation.node.clock.now()) as reading:
        found = owner_search.get(
            reading, Actor.command_line(), account.id, company=installation.company.id
        )
    assert found.status == "deactivated"


def test_a_permission_that_needs_an_approval_is_known(installation: Installation) -> None:
    installation.require_approval("charges:get")
    with Account(installation.node, installation.company.id) as account:
        assert not account.may_hold("charges:get")
        assert account.may_hold("charges:create")
