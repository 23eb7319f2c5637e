"""Why a call is allowed or refused: the ten checks in order, each with what was compared.

``decide`` answers, and its reason alone says which check failed. So an explanation can't disagree
with a decision; only the words are this module's.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal

import msgspec

from gatepass.core.credentials import Credential
from gatepass.core.decision import Call, Decision, decide
from gatepass.core.domains import origin_of_referer, parse_origin
from gatepass.core.grants import CompanyRules, Grant, Holder
from gatepass.core.networks import Network, Networks, format_address
from gatepass.core.permissions import (
    EVERYTHING,
    NOT_FOR_TOKENS,
    covers,
    is_permission,
    is_wildcard,
)
from gatepass.core.reason import Reason
from gatepass.core.routes import CatalogueRoute

Outcome = Literal["passed", "failed", "not_reached", "not_applicable"]
Rule = Callable[[Grant | None, Holder | None, CompanyRules | None, Call, int], Decision]

#: The names of the checks; the first one is number 1.
NAMES = (
    "Token",
    "Secret",
    "Not deactivated",
    "Not expired",
    "Account active",
    "Company allowlist",
    "Token's networks",
    "Origin",
    "Route",
    "Permission",
)
#: The number of the check that refuses with a reason.
CHECK_OF = {
    Reason.token_missing: 1,
    Reason.token_invalid: 2,
    Reason.token_deactivated: 3,
    Reason.token_pending: 3,
    Reason.token_rehearsed: 3,
    Reason.token_expired: 4,
    Reason.account_deactivated: 5,
    Reason.company_address_not_allowed: 6,
    Reason.address_not_allowed: 7,
    Reason.origin_missing: 8,
    Reason.origin_not_allowed: 8,
    Reason.path_ambiguous: 9,
    Reason.route_unknown: 9,
    Reason.permission_missing: 10,
}

#: How many entries of a list are named.
_NAMED = 3
_EPOCH = datetime.fromtimestamp(0, UTC)


class Check(msgspec.Struct, frozen=True, gc=False):
    """One of the ten checks.

    Attributes:
        number: 1 to 10, as docs/reference/rules.md counts.
        outcome: ``not_reached`` after the first that failed; ``not_applicable`` for the first two,
            because nobody presents a text here.
        detail: what was compared, in a sentence or two; empty if it wasn't reached.
    """

    number: int
    name: str
    outcome: Outcome
    detail: str


class Explanation(msgspec.Struct, frozen=True, gc=False):
    """A decision and its ten checks."""

    decision: Decision
    checks: tuple[Check, ...]

    @property
    def failed(self) -> int | None:
        """The number of the check that refused the call; None if it is allowed."""
        return CHECK_OF.get(self.decision.reason)


def explain(
    grant: Grant,
    holder: Holder | None,
    company: CompanyRules | None,
    call: Call,
    now: int,
    *,
    rule: Rule = decide,
    name_allowlist: bool = True,
) -> Explanation:
    """Decide a call of the token *grant* as if its text had been presented, and say why.

    Args:
        call: its ``credential`` is ignored.
        now: Unix time in milliseconds.
        rule: ``decide``, or ``admit`` for a call to the control plane, which then checks each
            operation's permission: checks 9 and 10 are not applicable.
        name_allowlist: whether the entries of the company's allowlist may be named.
    """
    presented = msgspec.structs.replace(call, credential=Credential(grant.id, grant.digest))
    decision = rule(grant, holder, company, presented, now)
    case = _Case(grant, holder, company, decision, now, rule is decide, name_allowlist)
    failed = CHECK_OF.get(decision.reason)
    numbered = enumerate(NAMES, 1)
    return Explanation(decision, tuple(_check(each, name, failed, case) for each, name in numbered))


class _Case(msgspec.Struct, frozen=True, gc=False):
    """A decision and what it compared.

    Attributes:
        complete: whether checks 9 and 10 were part of it.
    """

    grant: Grant
    holder: Holder | None
    company: CompanyRules | None
    decision: Decision
    now: int
    complete: bool
    name_allowlist: bool

    @property
    def call(self) -> Call:
        return self.decision.call


def _check(number: int, name: str, failed: int | None, case: _Case) -> Check:
    if number <= 2:
        # A question about a token that is known: nobody presents its text.
        return Check(number, name, "not_applicable", "Not looked at: the token is named by its id.")
    if failed is not None and number > failed:
        return Check(number, name, "not_reached", "")
    if number >= 9 and not case.complete:
        detail = "Not kept of a call that was refused before this check."
        return Check(number, name, "not_applicable", detail)
    if number == 6 and case.call.address_garbage:
        return Check(number, name, "not_applicable", "There is no address to compare.")
    holds = number != failed
    return Check(number, name, "passed" if holds else "failed", _DETAILS[number](case, holds))


def _deactivation(case: _Case, holds: bool) -> str:
    grant, rehearsal = case.grant, case.grant.rehearsal
    if rehearsal is not None and not grant.pending and case.now < rehearsal.until:
        return (
            f"A rehearsal of its deactivation refuses {rehearsal.share} % of its calls until "
            f"{utc_text(rehearsal.until)}, {'but not' if holds else 'and'} this one."
        )
    if holds:
        return "It is neither deactivated nor pending."
    if grant.pending:
        return "It waits for the approval of a second person."
    return "It is deactivated for good."


def _expiry(case: _Case, holds: bool) -> str:
    expires_at = case.grant.expires_at
    if expires_at is None:
        return "It never expires."
    verb = "expires" if holds else "expired"
    return f"It {verb} on {utc_text(expires_at)}; the call is on {utc_text(case.now)}."


def _account(case: _Case, holds: bool) -> str:
    if holds:
        return "Its owner and company are active."
    grant, holder, company = case.grant, case.holder, case.company
    if holder is None or (holder.id, holder.company) != (grant.user, grant.company):
        return "Its owner isn't known."
    if company is None or company.id != grant.company:
        return "Its company isn't known."
    return f"Its {'company' if holder.active else 'owner'} is deactivated."


def _allowlist(case: _Case, holds: bool) -> str:
    allowlist = None if case.company is None else case.company.allowlist_at(case.now)
    if allowlist is None:
        return "The company has no allowlist: any address may reach it."
    address = case.call.address
    if case.name_allowlist or address is None:
        return _in_list(address, allowlist, "the company's allowlist")
    return f"{format_address(address)} is {'' if holds else 'not '}in the company's allowlist."


def _networks(case: _Case, _: bool) -> str:
    if case.call.address_garbage:
        return "The address that was forwarded can't be read."
    networks = case.grant.networks
    if networks is None:
        return "The token has no networks: any address may use it."
    return _in_list(case.call.address, networks, "the token's networks")


def _origin(case: _Case, holds: bool) -> str:
    if case.grant.kind != "ui":
        return "Not looked at: the token is for API access."
    origin = case.call.origin
    if origin is None:
        if case.call.referer is None:
            return "The call has neither Origin nor Referer; a token for UI access needs one."
        origin = origin_of_referer(case.call.referer)
    parsed = parse_origin(origin)
    if parsed is None:
        return "The call's origin can't be read, or is “null”."
    domains = case.grant.domains
    if not domains:
        return f"The token has no domains: any site may use it, {parsed} too."
    if holds:
        return f"{parsed} matches one of the token's domains."
    if len(domains) == 1:
        return f"{parsed} doesn't match {domains[0]}."
    return f"{parsed} matches none of the token's domains: {_some(domains)}."


def _route(case: _Case, _: bool) -> str:
    route = case.call.route
    if route is None:
        return "The call names no method and path."
    if type(route) is CatalogueRoute:
        return f"It matches {route.text}."
    if route is Reason.path_ambiguous:
        return "Two servers could read the path differently."
    return "No route of the catalogue matches the method and path."


def _permission(case: _Case, holds: bool) -> str:
    needed = case.decision.needed
    if not needed:
        return "The call asks for no permission, so there is nothing to allow."
    login = case.grant.kind == "login"
    if holds:
        holders = "Its owner's role holds" if login else "The token and its owner's role hold"
        return f"{holders} {' and '.join(needed)}.{'' if login else _by_exception(case)}"
    role = case.decision.role
    token = role if login else chosen(case.grant) | case.grant.excepted(case.now)
    lacking = " ".join(filter(None, (_lacking(name, token, role, login) for name in needed)))
    if login or all(covers(token, name) for name in needed):
        return lacking
    return f"{lacking} It holds {_first(sorted(token)) if token else 'none'}."


def _by_exception(case: _Case) -> str:
    own, until = chosen(case.grant), case.grant.exceptions or {}
    return "".join(
        f" It holds {name} by an exception, until {utc_text(until[name])}."
        for name in case.decision.needed
        if name in until and not covers(own, name)
    )


_DETAILS: dict[int, Callable[[_Case, bool], str]] = {
    3: _deactivation,
    4: _expiry,
    5: _account,
    6: _allowlist,
    7: _networks,
    8: _origin,
    9: _route,
    10: _permission,
}


def chosen(grant: Grant) -> frozenset[str]:
    """What a token holds by itself; its owner's role must hold it, too."""
    return grant.permissions - {EVERYTHING}


def entries(networks: Networks) -> Iterator[Network]:
    """The networks of a list, without those that another one contains.

    Networks overlap only if one contains the other, so each merged interval is a network.
    """
    for firsts, lasts in (
        (networks.v4_first, networks.v4_last),
        (networks.v6_first, networks.v6_last),
    ):
        for first, last in zip(firsts, lasts, strict=True):
            size = int.from_bytes(last, "big") - int.from_bytes(first, "big")
            yield Network(first, 8 * len(first) - size.bit_length())


def utc_text(ms: int) -> str:
    """A time in Unix ms, in words, such as ``2026-12-24 18:00:00 UTC``."""
    moment = _EPOCH + timedelta(milliseconds=ms)
    return f"{moment.replace(microsecond=0, tzinfo=None).isoformat(' ')} UTC"


def _lacking(name: str, token: frozenset[str], role: frozenset[str], login: bool) -> str:
    """Why a token doesn't hold *name*; "" if it does."""
    if not (is_permission(name) or is_wildcard(name)):
        return "What the call asks for is no permission."
    if login:
        return "" if covers(role, name) else f"Its owner's role lacks {name}."
    if name in NOT_FOR_TOKENS:
        return f"No access token can do {name}."
    in_token, in_role = covers(token, name), covers(role, name)
    if in_token:
        return "" if in_role else f"The token has {name}, but its owner's role lacks it."
    return f"The token lacks {name}." if in_role else f"Token and owner's role lack {name}."


def _in_list(address: bytes | None, networks: Networks, whose: str) -> str:
    if address is None:
        return f"The call has no address that can be read, so it isn't in {whose}."
    shown = format_address(address)
    if networks.contains(address):
        found = next(each for each in entries(networks) if _contains(each, address))
        return f"{shown} is in {found}."
    # Lists may have thousands of entries.
    named = [str(each) for each in islice(entries(networks), _NAMED + 1)]
    if not named:
        return f"{shown} is not in {whose}: the list is empty."
    if len(named) == 1:
        return f"{shown} is not in {named[0]}."
    return f"{shown} is in none of {whose}: {_some(named)}."


def _contains(network: Network, address: bytes) -> bool:
    return len(network.address) == len(address) and network.first <= address <= network.last


def _some(items: Sequence[str]) -> str:
    """The first of *items*, and whether there are more."""
    return ", ".join(items[:_NAMED]) + (" and others" if len(items) > _NAMED else "")


def _first(items: list[str]) -> str:
    """The first of *items*, and how many more there are."""
    if len(items) > _NAMED:
        return f"{', '.join(items[:_NAMED])} and {len(items) - _NAMED} more"
    return " and ".join(filter(None, (", ".join(items[:-1]), items[-1])))
