"""Owners and tokens that admin keys manage, against a model: any order of any operations."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from gatepass.core.decision import Reason
from gatepass.core.errors import Conflict, Forbidden, NotFound
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, owner_search, owners
from gatepass.registry.membership import company_offboarding, owner_offboarding
from gatepass.registry.tokens import access_tokens, provisioning
from gatepass.registry.tokens.lists import search as token_search
from tests.support.database.small_registry import SmallRegistry

#: Alike to anything that folds.
EXTERNAL_IDS = ("a", "A")


@dataclass
class Owned:
    """What the model knows of an owner."""

    id: str
    external_id: str
    type: str
    name: str
    active: bool = True


@dataclass
class Token:
    """What the model knows of a token."""

    id: str
    text: str
    owner: Owned
    label: str
    active: bool = True


@dataclass
class Customer:
    """What the model knows of a company."""

    id: str
    external_id: str
    active: bool = True
    owners: list[Owned] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)

    def named(self, external_id: str) -> Owned | None:
        """The owner that an external id names: the active one, else the newest."""
        those = [each for each in self.owners if each.external_id == external_id]
        return next((each for each in those if each.active), those[-1] if those else None)


class Platform(RuleBasedStateMachine):
    """Two companies, and admin keys for all, for each, and for too little."""

    registry: SmallRegistry
    number = 0

    @initialize()
    def begin(self) -> None:
        Platform.number += 1
        unlimited = self.registry.admin_key()
        self.customers = []
        for name in ("one", "two"):
            external_id = f"{name} {Platform.number}"
            company, _ = self.registry.do(
                companies.put,
                unlimited,
                catalogue=self.registry.catalogue,
                external_id=external_id,
                name=external_id,
            )
            self.customers.append(Customer(company.id, external_id))
        limits = [None, *(self.registry.ask(companies.get, each.id) for each in self.customers)]
        self.keys = [self.registry.admin_key(limit) for limit in limits]
        self.narrow = self.registry.admin_key(None, "companies", "portal", "verifiers")
        for at in (0, 1):
            self.put_owner(0, at, EXTERNAL_IDS[0], "external", "Ada")
            self.create_token(0, at, EXTERNAL_IDS[0])

    def attempt(
        self, key: int, customer: Customer, operation: Callable[..., Any], *rest: Any, **more: Any
    ) -> Any:
        """Carry out an operation on a company, whose refusal by the key's limit is expected."""
        self.registry.now += 1
        actor: Actor = self.keys[key]
        reference = (customer.id, f"ext:{customer.external_id}")[self.registry.now % 2]
        with pytest.raises(Forbidden):
            self.registry.do(operation, self.narrow, reference, *rest, **more)
        if actor.company not in (None, customer.id):
            # The key's company may have ended; then it is refused before it finds nothing.
            with pytest.raises((NotFound, Forbidden)):
                self.registry.do(operation, actor, reference, *rest, **more)
            return None
        if actor.company is not None and not customer.active:
            with pytest.raises(Forbidden, match="account has been deactivated"):
                self.registry.do(operation, actor, reference, *rest, **more)
            return None
        try:
            return self.registry.do(operation, actor, reference, *rest, **more)
        except (Conflict, NotFound) as refused:
            return refused

    @rule(
        key=st.integers(0, 2),
        at=st.integers(0, 1),
        external_id=st.sampled_from(EXTERNAL_IDS),
        type=st.sampled_from(["external", "service_account"]),
        name=st.sampled_from(["Ada", "Bob"]),
    )
    def put_owner(self, key: int, at: int, external_id: str, type: str, name: str) -> None:
        customer = self.customers[at]
        given = {"type": type, "name": name, "role": "customer-service"}
        made = self.attempt(
            key, customer, owners.put, external_id, catalogue=self.registry.catalogue, **given
        )
        if made is None:
            return
        known = customer.named(external_id)
        if not customer.active:
            assert made.reason == "company_deactivated"
        elif known is None or not known.active:
            owner, is_new = made
            assert is_new
            assert owner.id not in [each.id for each in customer.owners]
            customer.owners.append(Owned(owner.id, external_id, type, name))
        elif known.type != type:
            assert made.reason == "type_differs"
        else:
            owner, is_new = made
            assert (owner.id, owner.name, is_new) == (known.id, name, False)
            known.name = name

    @rule(key=st.integers(0, 2), at=st.integers(0, 1), external_id=st.sampled_from(EXTERNAL_IDS))
    def deactivate_owner(self, key: int, at: int, external_id: str) -> None:
        customer = self.customers[at]
        ended = self.attempt(key, customer, owner_offboarding.deactivate_of, f"ext:{external_id}")
        known = customer.named(external_id)
        if ended is None:
            return
        if known is None:
            assert isinstance(ended, NotFound)
            return
        assert (ended.id, ended.status) == (known.id, "deactivated")
        known.active = False
        for token in customer.tokens:
            token.active &= token.owner is not known

    @rule(key=st.integers(0, 2), at=st.integers(0, 1), external_id=st.sampled_from(EXTERNAL_IDS))
    def create_token(self, key: int, at: int, external_id: str) -> None:
        customer = self.customers[at]
        made = self.attempt(
            key,
            customer,
            provisioning.create,
            catalogue=self.registry.catalogue,
            owner=f"ext:{external_id}",
            kind="api",
            values={"label": "Till", "permissions": ["charges:create"]},
        )
        known = customer.named(external_id)
        if made is None:
            return
        if not customer.active:
            assert made.reason == "company_deactivated"
        elif known is None:
            assert isinstance(made, NotFound)
        elif not known.active:
            assert made.reason == "owner_deactivated"
        else:
            token, text = made
            assert token.owner.id == known.id
            customer.tokens.append(Token(token.id, text, known, "Till"))

    @rule(data=st.data(), key=st.integers(0, 2), at=st.integers(0, 1), ends=st.booleans())
    def change_token(self, data: st.DataObject, key: int, at: int, ends: bool) -> None:
        """By the path of either company: the other one's answers 404."""
        customer = self.customers[at]
        token = data.draw(st.sampled_from([t for each in self.customers for t in each.tokens]))
        if ends:
            done = self.attempt(key, customer, provisioning.deactivate, token.id)
        else:
            done = self.attempt(
                key,
                customer,
                provisioning.modify,
                token.id,
                catalogue=self.registry.catalogue,
                changes={"label": "Renamed"},
            )
        if done is None:
            return
        if not ends and not customer.active:
            assert done.reason == "company_deactivated"
        elif token not in customer.tokens:
            assert isinstance(done, NotFound)
        elif ends:
            assert done.status == "deactivated"
            token.active = False
        elif not token.active:
            assert done.reason == "token_deactivated"
        else:
            assert done.label == "Renamed"
            token.label = "Renamed"

    @rule(at=st.integers(0, 1), sure=st.integers(0, 7))
    def end_company(self, at: int, sure: int) -> None:
        if sure == 7:
            customer = self.customers[at]
            self.registry.do(company_offboarding.deactivate, Actor.command_line(), customer.id)
            customer.active = False

    @invariant()
    def lists_show_what_there_is(self) -> None:
        unlimited = self.keys[0]
        for customer in self.customers:
            found = self.registry.every(owner_search.list_, unlimited, company=customer.id)
            assert {(each.id, each.external_id, each.name, each.status) for each in found} == {
                (each.id, each.external_id, each.name, _status(each.active))
                for each in customer.owners
            }
            tokens = self.registry.every(token_search.list_, unlimited, company=customer.id)
            assert {(each.id, each.label, each.status) for each in tokens} == {
                (each.id, each.label, _status(each.active)) for each in customer.tokens
            }

    @invariant()
    def decisions_follow(self) -> None:
        for customer in self.customers:
            for token in customer.tokens:
                reason = self.registry.reason(token.text)
                if not token.active:
                    assert reason is Reason.token_deactivated
                else:
                    assert token.owner.active
                    ended = Reason.account_deactivated
                    assert reason is (Reason.allowed if customer.active else ended)

    @invariant()
    def a_limited_key_reads_its_company_alone(self) -> None:
        for own, other in ((1, 1), (2, 0)):
            key, customer = self.keys[own], self.customers[other]
            for ask in (owner_search.list_, token_search.list_):
                with pytest.raises(NotFound):
                    self.registry.ask(ask, key, company=customer.id)
            for owner in customer.owners[:1]:
                with pytest.raises(NotFound):
                    self.registry.ask(owner_search.get, key, owner.id, company=customer.id)
                mine = self.customers[1 - other].id
                with pytest.raises(NotFound):
                    self.registry.ask(owner_search.get, key, owner.id, company=mine)
            for token in customer.tokens[:1]:
                with pytest.raises(NotFound):
                    self.registry.ask(access_tokens.get, key, token.id, company=customer.id)


def _status(active: bool) -> str:
    return "active" if active else "deactivated"


@pytest.mark.slow
def test_any_order_of_operations_agrees_with_the_model(registry: SmallRegistry) -> None:
    Platform.registry = registry
    run_state_machine_as_test(
        Platform,
        settings=settings(
            max_examples=8,
            stateful_step_count=20,
            # Every example is a new pair of companies, so shrinking a failure takes minutes.
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
