"""Importing keys of another system: all of a list, or none; and what they are afterwards."""

from hashlib import sha256
from typing import Any

import pytest

from gatepass.core.errors import Forbidden, InvalidInput
from gatepass.core.imported_keys import of_digest
from gatepass.registry.actor import Actor
from gatepass.registry.audit.sentences import sentence
from gatepass.registry.grants.publishing import published_grant, published_prefixes
from gatepass.registry.tokens import access_tokens, importing, rotation
from gatepass.registry.tokens.ending import bulk
from gatepass.registry.tokens.lists import search
from gatepass.registry.tokens.rotation import Closing
from tests.support.database.small_registry import HOUR, SmallRegistry, nothing_changes

CLI = Actor.command_line()


def text_of(number: int, prefix: str = "acme_live_") -> str:
    return f"{prefix}{number:032}"


def key(number: int, **fields: Any) -> dict[str, Any]:
    """A line of the list; a field that is ... is left out."""
    given = {
        "sha256": sha256(text_of(number).encode()).hexdigest(),
        "prefix": "acme_live_",
        "label": f"Key {number}",
        "permissions": ["charges:create"],
        **fields,
    }
    return {name: value for name, value in given.items() if value is not ...}


def imported(registry: SmallRegistry, *keys: dict[str, Any], company: str = "") -> int:
    return registry.do(
        importing.import_keys,
        CLI,
        company or registry.northwind.id,
        list(enumerate(keys, 1)),
        catalogue=registry.catalogue,
    )


def id_of(number: int) -> str:
    return of_digest(sha256(text_of(number).encode()).digest()).id


def errors(registry: SmallRegistry, *keys: dict[str, Any], company: str = "") -> list[str]:
    """The places of the errors; nothing was imported."""
    with nothing_changes(registry), pytest.raises(InvalidInput) as caught:
        imported(registry, *keys, company=company)
    assert not any("sha256" in key and str(key["sha256"]) in str(caught.value) for key in keys)
    return [field for field, _ in caught.value.errors]


def test_keys_become_access_tokens(registry: SmallRegistry, ada: Actor) -> None:
    account = registry.service_account(ada)
    at = registry.now + HOUR
    keys = (
        key(1),
        key(2, sha256=key(2)["sha256"].upper(), networks=["10.0.0.1"], expires_at=at),
        key(3, owner=account.id, domains=["shop.example"], permissions=["charges:get"]),
        key(4, owner=registry.ada.email, networks=None, expires_at=None),
    )
    assert imported(registry, *keys) == 4
    one, two, three, four = (
        registry.ask(access_tokens.get, ada, id_of(number)) for number in (1, 2, 3, 4)
    )
    assert (one.label, one.kind, one.status, one.imported) == ("Key 1", "api", "active", True)
    # Without an owner, it is the first administrator's.
    assert one.owner.id == four.owner.id == registry.ada.id
    assert (two.networks, two.expires_at) == (("10.0.0.1/32",), at)
    assert (three.kind, three.owner.id, three.domains) == ("ui", account.id, ("shop.example",))
    assert one.created_by.name == "the command line"
    assert registry.ask(published_prefixes) == {"acme_live_": registry.northwind.id}
    event = next(each for each in registry.events() if each.subject.id == one.id)
    assert event.action == "access_token.imported"
    assert sentence(event) == "The command line imported the access token Key 1 for Ada Lovelace"
    assert event.after is not None
    assert event.after["prefix"] == "acme_live_"
    assert "digest" not in event.after

    def listed(**filters: Any) -> set[str]:
        return {each.id for each in registry.every(search.list_, ada, **filters)}

    assert listed() == {one.id, two.id, three.id, four.id}
    assert listed(q="key 3") == listed(permission="charges:get") == {three.id}
    assert listed(q=two.id) == listed(q=two.id[:12] + "…") == {two.id}
    assert listed(used="never", network="any") == {two.id}
    assert listed(q="gpim_") == listed()
    # More keys with the same prefix later.
    assert imported(registry, key(5)) == 1


def test_the_successor_is_an_ordinary_token(registry: SmallRegistry, ada: Actor) -> None:
    imported(registry, key(1), key(2))
    new, text = registry.do(rotation.rotate, ada, id_of(1), Closing("now"))
    assert (new.imported, new.label, text[:5]) == (False, "Key 1", "gpat_")
    former = registry.ask(access_tokens.get, ada, id_of(1))
    assert (former.status, former.imported) == ("deactivated", True)
    outcome = registry.do(bulk.deactivate_listed, ada, [id_of(1), id_of(2)])
    assert (outcome.deactivated, outcome.already) == (1, 1)
    grant = registry.ask(published_grant, id_of(2))
    assert grant is not None
    assert grant.deactivated
    # What ended stays ended.
    assert errors(registry, key(3), key(2)) == ["line 2: sha256"]


def test_each_error_has_its_line_and_nothing_is_imported(
    registry: SmallRegistry, ada: Actor
) -> None:
    imported(registry, key(1))
    reader = registry.user(registry.northwind, "r@northwind.example", role="reporting")
    carl = registry.carl.id
    for wrong, field in (
        ({"sha256": ...}, "sha256"),
        ({"sha256": "ab"}, "sha256"),
        ({"sha256": 7}, "sha256"),
        ({"prefix": ...}, "prefix"),
        ({"prefix": "gpat_"}, "prefix"),
        ({"prefix": ["acme_live_"]}, "prefix"),
        ({"label": ""}, "label"),
        ({"label": None}, "label"),
        ({"permissions": ...}, "permissions"),
        ({"permissions": []}, "permissions"),
        ({"permissions": ["nothing:known"]}, "permissions.0"),
        ({"permissions": ["roles:manage"]}, "permissions.0"),
        ({"permissions": "charges:get"}, "permissions"),
        ({"owner": "usr_0000000000000000"}, "owner"),
        ({"owner": carl}, "owner"),
        ({"owner": "nobody@northwind.example"}, "owner"),
        ({"owner": "svc_\x00"}, "owner"),
        ({"owner": 7}, "owner"),
        ({"owner": reader.id, "permissions": ["charges:create"]}, "permissions"),
        ({"networks": ["nowhere"]}, "networks.0"),
        ({"domains": ["*.co.uk"]}, "domains.0"),
        ({"expires_at": registry.now}, "expires_at"),
        ({"secret": "acme_live_x"}, "fields"),
    ):
        found = errors(registry, key(7), key(8, **wrong), key(9))
        assert f"line 2: {field}" in found, (wrong, found)
        assert all(each.startswith("line 2: ") for each in found)
    assert errors(registry, key(7), key(8), key(7)) == ["line 3: sha256"]
    assert errors(registry, key(7), key(1)) == ["line 2: sha256"]
    assert errors(registry) == ["file"]


def test_a_prefix_belongs_to_one_company(registry: SmallRegistry, ada: Actor) -> None:
    imported(registry, key(1))
    contoso = registry.contoso.id
    for prefix in ("acme_live_", "acme_", "acme_live_eu_"):
        assert errors(registry, key(2, prefix=prefix), company=contoso) == ["line 1: prefix"]
    assert imported(registry, key(2, prefix="acme_test_"), company=contoso) == 1
    # Also for the company itself the key is taken.
    assert errors(registry, key(1, prefix="acme_test_"), company=contoso) == ["line 1: sha256"]


def test_only_this_machine_and_operators_import(registry: SmallRegistry, ada: Actor) -> None:
    with pytest.raises(Forbidden):
        registry.do(
            importing.import_keys,
            ada,
            registry.northwind.id,
            [(1, key(1))],
            catalogue=registry.catalogue,
        )


def test_many_are_imported_at_once(registry: SmallRegistry, ada: Actor) -> None:
    assert imported(registry, *(key(number) for number in range(600))) == 600
    assert len(registry.every(search.list_, ada, limit=200, status="active")) == 600
