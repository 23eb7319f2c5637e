"""Tokens by example: a short-lived one with all that its maker may give it, to keep what it used.

It is an ordinary token: policies, approvals, the allowlist and its owner's role bind it, and it
expires by itself. Keeping it is an ordinary modification that narrows it.
"""

from collections.abc import Collection

from gatepass.core.approval import needing_approval
from gatepass.core.catalogue import Catalogue
from gatepass.core.grants import DECOY
from gatepass.core.permissions import resource_wildcard
from gatepass.registry.actor import Actor
from gatepass.registry.input.permissions import MOST_PERMISSIONS
from gatepass.registry.tokens.records import AccessToken

_MINUTE_MS = 60_000
#: How long a recording may last.
MINUTES = (10, 20, 30, 60)


def permissions(
    catalogue: Catalogue, actor: Actor, approval_required: Collection[str]
) -> tuple[str, ...]:
    """What a token that records gets: the permissions of the catalogue file that *actor* holds.

    Gatepass's own are left out, because its own API's calls don't show which of them they needed.
    Each is there by name. Only where there are too many, ``resource:*`` stands for its permissions.

    Args:
        approval_required: by the company's policy; those, which a second person must approve, are
            left out as well.
    """

    def given(name: str) -> bool:
        return actor.may(name) and not needing_approval((name,), approval_required)

    by_resource: dict[str, list[str]] = {}
    for name in filter(given, catalogue.from_file):
        by_resource.setdefault(resource_wildcard(name), []).append(name)
    whole = [each for each in by_resource if each in catalogue.for_external and given(each)]
    whole.sort(key=lambda each: len(by_resource[each]))
    while whole and sum(map(len, by_resource.values())) > MOST_PERMISSIONS:
        largest = whole.pop()
        by_resource[largest] = [largest]
    found = [name for names in by_resource.values() for name in names]
    return tuple(found[:MOST_PERMISSIONS])


def is_recording(token: AccessToken) -> bool:
    """Whether *token* lives so short that what it used may be kept: by its times alone."""
    if token.kind == DECOY or token.expires_at is None or token.rotation is not None:
        return False
    return token.expires_at - token.created_at <= MINUTES[-1] * _MINUTE_MS


def expiry(now: int, minutes: int) -> int:
    """When a recording that starts *now* ends; both in Unix ms."""
    return now + minutes * _MINUTE_MS
