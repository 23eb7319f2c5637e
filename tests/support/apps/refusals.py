"""Refused calls, as they arrive in the registry."""

from typing import Any

from tests.support.apps.installation import Installation


def refused(
    installation: Installation, token: str, *, maker: str = "ada@example.com", **call: Any
) -> str:
    """Ask ``/v1/verify`` about a call that it refuses; the id of the decision.

    Args:
        maker: an Admin of the token's company, who reads it.
    """
    decided = installation.verify(token, **call)
    assert not decided["allowed"]
    installation.node.usage.flush()
    installation.node.fold()
    path = f"/v1/access-tokens/{token[:21]}/calls?outcome=refused"
    items = installation.signed_in(maker).get(path).json()["items"]
    found: str = items[0]["decision"]
    return found
