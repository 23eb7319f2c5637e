"""What to do about a refused call: fixes, with the forms that make them, or the people who can;
and the next step where no change of a record would allow it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from gatepass.core.decision import Decision
from gatepass.core.domains import parse_origin
from gatepass.core.grants import EXTERNAL, USER
from gatepass.core.permissions import NOT_FOR_TOKENS
from gatepass.core.reason import Reason
from gatepass.registry.directory.people_holding import people_holding
from gatepass.registry.explanations.change import OF_TOKEN, Change
from gatepass.registry.explanations.fixes import Fix
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.suggested import query_of
from gatepass.web.pages.layout.navigation import SECURITY, SERVICE_ACCOUNTS, USERS
from gatepass.web.pages.layout.screen import Screen

_ASKED = 3
_NONE = (
    "No change that can be offered here allows it: another check, or a limit, is in its way, too."
)
_UNREADABLE = "Let the gateway forward an IP address that can be read."
_NO_ORIGIN = "Call from a page with an origin of its own: a file or a sandboxed frame has none."
#: By reason, what the caller has to change.
_IN_THE_CALL = {
    Reason.origin_missing: "Call from a page that sends its Origin, or use a token for API access.",
    Reason.path_ambiguous: "Send the path without dot segments, empty segments or encoded slashes.",
    Reason.route_unknown: "Correct the method or path, or have the route added to the catalogue.",
}


@dataclass(frozen=True)
class OfferedFix:
    """A fix as a page offers it.

    Attributes:
        summary: what to do.
        forms: (name, path) of each form that makes a part of it, filled in, if the visitor may.
        ask: the names of people who may, if the visitor may not.
        note: why there is neither; empty if it isn't done in Gatepass.
    """

    summary: str
    forms: tuple[tuple[str, str], ...] = ()
    ask: tuple[str, ...] = ()
    note: str = ""


def offered(screen: Screen, reading: Reading, token: AccessToken, fix: Fix) -> OfferedFix:
    """*fix* as the visitor can make it, or others."""
    summary, forms, held = fix.summary, tuple(_forms(token, fix.change)), fix.held
    if token.status == "expired":
        # It can't be changed any more.
        summary = "Create a replacement of the token."
        forms = ((summary, f"/access-tokens/new?replace={token.id}"),)
        held = frozenset(("access-tokens:create", *token.permissions))
    if not forms:
        return OfferedFix(summary, note="The product that the owner comes from can do this.")
    return _by_who_may(screen, reading, token, OfferedFix(summary, forms), held)


def next_step(
    screen: Screen,
    reading: Reading,
    token: AccessToken,
    denied: Decision,
    *,
    address: str,
    origin: str,
) -> OfferedFix:
    """What to do about a refusal that no change of a record removes.

    Args:
        address: the call's; a network if many were counted as one, "" if it couldn't be read.
        origin: the call's, or "".
    """
    path = f"/access-tokens/{token.id}"
    match denied.reason:
        case Reason.token_deactivated | Reason.account_deactivated:
            summary = "Create a token with the same settings."
            made = OfferedFix(summary, ((summary, f"/access-tokens/new?duplicate={token.id}"),))
            held = frozenset(("access-tokens:create", *token.permissions))
            return _by_who_may(screen, reading, token, made, held)
        case Reason.token_pending:
            summary = "Approve it, or see who can."
            return OfferedFix(summary, ((summary, path),))
        case Reason.token_rehearsed:
            summary = "End the rehearsal, or rotate the token."
            return OfferedFix(summary, ((summary, path),))
        case Reason.permission_missing:
            return _another_token(screen, reading, token, denied.needed)
        case Reason.address_not_allowed if not address:
            return OfferedFix(_UNREADABLE)
        case Reason.address_not_allowed if "/" in address:
            summary = f"Add {address}, or the part of it that calls, to the token's networks."
            made = OfferedFix(summary, (("Edit the token", f"{path}/edit"),))
            return _by_who_may(screen, reading, token, made, frozenset(("access-tokens:modify",)))
        case Reason.company_address_not_allowed if "/" in address:
            summary = f"Add {address}, or the part of it that calls, to the company's allowlist."
            made = OfferedFix(summary, (("Edit the allowlist", SECURITY.path),))
            return _by_who_may(screen, reading, token, made, frozenset(("company:modify",)))
        case Reason.origin_not_allowed if parse_origin(origin) is None:
            return OfferedFix(_NO_ORIGIN)
        case reason:
            return OfferedFix(_IN_THE_CALL.get(reason, _NONE))


def _another_token(
    screen: Screen, reading: Reading, token: AccessToken, needed: Sequence[str]
) -> OfferedFix:
    """Where the token can't be given what is needed: its owner lacks it, or a second person has to
    approve it, which is asked for a new token alone."""
    names = screen.node.catalogue.names
    if any(name not in names or name in NOT_FOR_TOKENS for name in needed):
        return OfferedFix("Sign in and do it: no access token can hold what it needs.")
    summary = f"Create a token that holds {' and '.join(needed)}."
    forms = ((summary, f"/access-tokens/new?{urlencode({'permissions': ','.join(needed)})}"),)
    held = frozenset(("access-tokens:create", *needed))
    return _by_who_may(screen, reading, token, OfferedFix(summary, forms), held)


def _by_who_may(
    screen: Screen, reading: Reading, token: AccessToken, fix: OfferedFix, held: frozenset[str]
) -> OfferedFix:
    """*fix* if the visitor holds all of *held*, else with people who do in place of the forms."""
    if all(screen.visitor.may_change(name) for name in held):
        return fix
    people = people_holding(reading, token.company, held, most=_ASKED)
    if not people:
        return OfferedFix(fix.summary, note="Nobody in the company may do this at the moment.")
    return OfferedFix(fix.summary, ask=tuple(each.name for each in people))


def _forms(token: AccessToken, change: Change) -> Iterator[tuple[str, str]]:
    if any(name in change for name in OF_TOKEN):
        yield "Edit the token", f"/access-tokens/{token.id}/edit?{query_of(token, change)}"
    if "role" in change and token.owner.type != EXTERNAL:
        users = token.owner.type == USER
        page = "role" if users else "edit"
        path = f"{(USERS if users else SERVICE_ACCOUNTS).path}/{token.owner.id}/{page}"
        yield "Change the owner's role", f"{path}?role={quote(change['role'])}"
    if "allowlist" in change:
        # A fix adds one entry, the last.
        added = urlencode({"add": change["allowlist"][-1].network})
        yield "Edit the allowlist", f"{SECURITY.path}?{added}"
