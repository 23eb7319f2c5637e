import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.registry.directory.role_records import Role, built_in
from gatepass.web.pages.text.wording import can, counted, listed, role_can, sentence_case, where

_MANAGED = ("create", "get", "search", "modify", "deactivate")


@pytest.mark.parametrize(
    ("permissions", "words"),
    [
        ([], "do nothing"),
        (["*"], "do everything"),
        (["charges:get"], "read charges"),
        (["charges:search"], "search charges"),
        (["charges:get", "charges:search"], "read and search charges"),
        (["charges:create", "charges:get"], "read and create charges"),
        (["charges:refund", "charges:get", "charges:create"], "read, create and refund charges"),
        (["charges:get", "charges:update", "charges:delete"], "read, edit and delete charges"),
        (["charges:*"], "do everything with charges"),
        (["charges:*", "charges:get"], "do everything with charges"),
        (["charges:get", "payouts:get"], "read charges and payouts"),
        (["charges:get", "payouts:search"], "read charges; search payouts"),
        (["access-tokens:modify", "audit:get"], "edit access tokens; read the audit log"),
        (["company:get", "company:modify"], "read and edit company settings"),
        (
            [
                *("charges:get", "charges:refund"),
                *(f"access-tokens:{each}" for each in _MANAGED),
            ],
            "read and refund charges; manage access tokens",
        ),
        ([f"a:{each}" for each in _MANAGED[1:]], "read, search, edit and deactivate a"),
        (["users:get", "users:manage"], "read and manage users"),
        (["charges:get", "access-requests:decide"], "read charges; answer access requests"),
        (["charges:get", "own-token:rotate"], "read charges; rotate the access token in use"),
        (
            ["a:get", "b:get", "c:get", "d:get", "e:get"],
            "read a, b and 3 more",
        ),
        (
            ["a:get", "b:b", "c:c", "d:d", "e:e", "f:e"],
            "read a; b b; c c; use 3 more resources",
        ),
    ],
)
def test_permissions_are_worded_as_a_verb_phrase(permissions: list[str], words: str) -> None:
    assert can(permissions) == words


def test_a_built_in_role_has_a_fixed_sentence() -> None:
    roles = {role.id: role_can(role) for role in built_in(parse_catalogue(None))}
    assert roles == {
        "admin": "do everything in this company",
        "manager": "do everything except change roles, webhooks and company settings",
        "customer-service": "do everything in your product; read access tokens",
        "reporting": "read everything",
    }
    own = Role("rol_1", "Admin", ("charges:get",), built_in=False)
    assert sentence_case(role_can(own)) == "Read charges"


def test_networks_and_domains_are_worded_as_one_phrase() -> None:
    assert where([], []) == "from anywhere"
    assert where(["203.0.113.0/24"], []) == "from 203.0.113.0/24"
    assert where(["a", "b"], ["shop.example"]) == "on shop.example, from a and b"
    assert where(["a", "b", "c", "d"], []) == "from a, b and 2 more"


def test_lists_and_counts() -> None:
    assert listed([]) == ""
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert counted(1, "token") == "1 token"
    assert counted(1250, "token") == "1,250 tokens"
