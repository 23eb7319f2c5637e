"""Which permissions need a second person."""

import pytest

from gatepass.core.approval import needing_approval


@pytest.mark.parametrize(
    ("permissions", "required", "held", "found"),
    [
        (["charges:get"], [], [], []),
        (["charges:get"], ["charges:create"], [], []),
        (["charges:get", "charges:create"], ["charges:create"], [], ["charges:create"]),
        # A wildcard on either side.
        (["charges:*"], ["charges:create", "payouts:get"], [], ["charges:create"]),
        (["charges:get", "refunds:get"], ["charges:*"], [], ["charges:get"]),
        (["charges:*"], ["charges:*"], [], ["charges:*"]),
        (["charges-old:get"], ["charges:*"], [], []),
        # What it has already, by name or under a wildcard.
        (["charges:get", "charges:create"], ["charges:*"], ["charges:get"], ["charges:create"]),
        (["charges:create"], ["charges:create"], ["charges:*"], []),
        (["charges:*"], ["charges:create"], ["charges:create"], []),
        (["charges:*"], ["charges:*"], ["charges:create"], ["charges:*"]),
    ],
)
def test_what_needs_approval(
    permissions: list[str], required: list[str], held: list[str], found: list[str]
) -> None:
    assert needing_approval(permissions, required, held=held) == tuple(found)
