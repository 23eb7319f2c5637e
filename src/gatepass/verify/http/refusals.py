"""Texts of a refusal: a sentence for people and a WWW-Authenticate challenge for programs.

The REST API, the gateways' endpoints and the embedded middleware all use them.
"""

from collections.abc import Iterable
from typing import Any

from gatepass.core.decision import Decision
from gatepass.core.networks import format_address
from gatepass.core.reason import Reason

#: A sentence reveals no more than its reason, so a guesser learns nothing from it.
SENTENCES: dict[str, str] = {
    Reason.token_missing: "No credential was sent.",
    Reason.token_invalid: "The credential is not one that this installation issued.",
    Reason.token_deactivated: "The token has been deactivated.",
    Reason.token_pending: "The token waits for the approval of a second person.",
    Reason.token_rehearsed: "The token's deactivation is rehearsed, and this call is refused.",
    Reason.token_expired: "The token has expired.",
    Reason.account_deactivated: "The account this token belongs to is no longer active.",
    Reason.company_address_not_allowed: "The company doesn't admit calls from this address.",
    Reason.address_not_allowed: "The call comes from an address that is not allowed.",
    Reason.origin_missing: "A token for UI access needs an Origin, and the call carries none.",
    Reason.origin_not_allowed: "The token may not be used on this origin.",
    Reason.path_ambiguous: "The path can be read in more than one way.",
    Reason.route_unknown: "No route of the catalogue matches this method and path.",
    Reason.permission_missing: "The credential doesn't hold the permission this needs.",
}

#: The sentence of ``address_not_allowed`` where the cause is the proxy's header, not a list.
FORWARDING_UNREADABLE = (
    "The forwarding header, X-Forwarded-For, can't be read: the proxy in front must send IP "
    "addresses."
)

#: RFC 6750 section 3.1: `error` is present only if a token was sent and is invalid.
TOKEN_AT_FAULT = frozenset(
    (
        Reason.token_invalid,
        Reason.token_deactivated,
        Reason.token_pending,
        Reason.token_rehearsed,
        Reason.token_expired,
        Reason.account_deactivated,
    )
)


def scope_of(decision: Decision) -> str | None:
    """The permissions that the call needed, separated by spaces, if the reason is a missing one."""
    if decision.reason is not Reason.permission_missing:
        return None
    return " ".join(decision.needed) or None


def sentence(decision: Decision) -> str:
    """The sentence for a refused *decision*."""
    scope = scope_of(decision)
    if scope is not None:
        return f"The credential doesn't hold {scope.replace(' ', ' and ')}."
    if decision.reason is Reason.address_not_allowed and decision.call.address_garbage:
        return FORWARDING_UNREADABLE
    return SENTENCES[decision.reason]


def way_out(needed: Iterable[str], address: bytes | None, help: str | None) -> dict[str, Any]:
    """The members of a problem document that say what to change so that a call is allowed.

    Args:
        needed: the permissions that the call needed, as far as they are known.
        address: that the call came from, packed; None if it can't be determined.
        help: as ``Decider.help`` returned it.
    """
    members: dict[str, Any] = {
        "needed": list(needed),
        "address": None if address is None else format_address(address),
    }
    if help is not None:
        members["help"] = help
    return members


def www_authenticate(status: int, reason: str, scope: str | None = None) -> str | None:
    """The Bearer challenge (RFC 6750) of an answer, or None.

    Every 401 has one, and so does 403 ``permission_missing``. Other 403s don't, because another
    token wouldn't help.
    """
    challenge = 'Bearer realm="gatepass"'
    if status == 401:
        if reason in TOKEN_AT_FAULT:
            return f'{challenge}, error="invalid_token", error_description="{SENTENCES[reason]}"'
        return challenge
    if status == 403 and reason == Reason.permission_missing:
        challenge += ', error="insufficient_scope"'
        # Permission names use only characters of RFC 6749's scope-token.
        return f'{challenge}, scope="{scope}"' if scope else challenge
    return None
