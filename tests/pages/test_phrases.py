import pytest

from gatepass.web.pages.text.wording import counted, listed, may, where


@pytest.mark.parametrize(
    ("permissions", "words"),
    [
        ([], ""),
        (["charges:get"], "see charges"),
        (["charges:create", "charges:get"], "create and see charges"),
        (["charges:refund", "charges:get", "charges:create"], "create, see and refund charges"),
        (["charges:*"], "do everything with charges"),
        (["charges:*", "charges:get"], "do everything with charges"),
        (["access-tokens:modify", "audit:get"], "change access tokens, and see audit"),
        (
            ["a:get", "b:get", "c:get", "d:get", "e:get"],
            "see a, see b, see c, and use 2 more resources",
        ),
    ],
)
def test_permissions_as_a_sentence(permissions: list[str], words: str) -> None:
    assert may(permissions) == words


def test_where_it_may_be_used() -> None:
    assert where([], []) == "from anywhere"
    assert where(["203.0.113.0/24"], []) == "from 203.0.113.0/24"
    assert where(["a", "b"], ["shop.example"]) == "on shop.example, from a and b"
    assert where(["a", "b", "c", "d"], []) == "from a, b and 2 more"


def test_lists_and_counts() -> None:
    assert listed([]) == ""
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert counted(1, "token") == "1 token"
    assert counted(1250, "token") == "1,250 tokens"
