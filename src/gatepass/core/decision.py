"""The decision whether a call is allowed, for dashboard, API, gateways and embedding apps."""

from functools import lru_cache
from hmac import compare_digest

import msgspec

from gatepass.core.credentials import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    LOGIN_TOKEN,
    PORTAL_SESSION,
    VERIFIER_KEY,
    Credential,
)
from gatepass.core.domains import is_one_of, origin_allowed, origin_of_referer, parse_origin
from gatepass.core.grants import DECOY, CompanyRules, Grant, Holder, role_of_key
from gatepass.core.imported_keys import is_imported
from gatepass.core.permissions import (
    EVERYTHING,
    NOT_FOR_TOKENS,
    covers,
    effective,
    is_permission,
    is_wildcard,
)
from gatepass.core.reason import STATUS, Reason
from gatepass.core.rehearsal import refuses
from gatepass.core.routes import CatalogueRoute, RequestLine

__all__ = [
    "STATUS",
    "Call",
    "Decision",
    "Reason",
    "admin_key_refusal",
    "admit",
    "admit_verifier",
    "decide",
    "decide_within",
    "held",
    "introspect",
]


_PREFIXES = {"api": ACCESS_TOKEN + "_", "ui": ACCESS_TOKEN + "_", "login": LOGIN_TOKEN + "_"}
# The control plane accepts portal sessions as well; a decision about a call never does.
_PREFIXES_OF_CALLERS = {**_PREFIXES, "portal": PORTAL_SESSION + "_"}
_NO_PREFIX = "\0"
_KINDS_OF_IMPORTED = ("api", "ui")
#: Pairs of sets of permissions whose intersection is cached: tokens have equal ones.
_EFFECTIVE_KEPT = 1_024
_NOTHING: frozenset[str] = frozenset()
_NEVER_MS = 1 << 62
# Bound once: an enumeration looks up its members at each use. isinstance(x, Reason) is slow, too,
# so the hot path tests for the non-enum type.
_ALLOWED = Reason.allowed
_TOKEN_MISSING = Reason.token_missing
_TOKEN_INVALID = Reason.token_invalid
_PATH_AMBIGUOUS = Reason.path_ambiguous


class Call(msgspec.Struct, frozen=True, gc=False):
    """What is being attempted.

    Attributes:
        credential: of the request; ``token_missing`` if there is none, ``token_invalid`` if it is
            malformed.
        permission: the permission asked for by name, if any.
        route: the result of ``Routes.match`` for method and path, if they were given.
        address: as ``parse_address`` returned it; None if absent or unreadable.
        address_garbage: a trusted gateway forwarded an unreadable address.
        origin: the Origin header; None only if it is absent.
        referer: the Referer header; None only if it is absent.
        line: the method and path that *route* was found by; None where the application found it.
    """

    credential: Credential | Reason
    permission: str | None = None
    route: CatalogueRoute | Reason | None = None
    address: bytes | None = None
    address_garbage: bool = False
    origin: str | None = None
    referer: str | None = None
    line: RequestLine | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Allowed or denied, and exactly one reason.

    Attributes:
        grant: the token's grant; None unless the token's secret matched.
        role: the current permissions of the user's role.
        call: the decided call.
        owner: the token's; None unless the token's secret matched and its owner is known.
        decoy: the decoy that was used, for its report alone: no answer depends on it.
        at: when it was made, in Unix ms.
    """

    reason: Reason
    grant: Grant | None
    role: frozenset[str]
    call: Call
    owner: Holder | None = None
    decoy: Grant | None = None
    at: int = 0

    @property
    def allowed(self) -> bool:
        """Whether the call may proceed."""
        return self.reason is _ALLOWED

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return STATUS[self.reason]

    @property
    def effective(self) -> tuple[str, ...]:
        """The token's current permissions, sorted; empty unless its secret matched."""
        # Without a time, no exception counts.
        at = self.at or _NEVER_MS
        return () if self.grant is None else _effective(self.grant, self.role, at)

    @property
    def needed(self) -> tuple[str, ...]:
        """The permissions this call needed, the one asked for first."""
        permission, route = self.call.permission, self.call.route
        named = () if permission is None else (permission,)
        if type(route) is not CatalogueRoute or route.permission == permission:
            return named
        return (*named, route.permission)


def decide(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None, call: Call, now: int
) -> Decision:
    """Decide whether *call* may proceed.

    The checks run in the order of docs/reference/rules.md and stop at the first refusal. Status is
    looked at only after the secret matched, so that a guesser learns nothing about a token.

    Args:
        grant: of the token id; None if the id is unknown.
        holder: the state and role of the grant's user.
        company: the rules of the grant's company.
        call: the credential and what it is used for.
        now: Unix time in milliseconds, by the caller's clock.

    Returns:
        A Decision with exactly one Reason. A call with neither permission nor route is denied, as
        there is nothing to check.
    """
    role = _admitted_role(grant, holder, company, call, now)
    if not isinstance(role, frozenset):
        return _refused(role, grant, holder, company, call, now)
    assert grant is not None  # check 2
    permission = call.permission
    route = call.route

    # 9. The path is unambiguous and a catalogue route matches.
    if route is not None and type(route) is not CatalogueRoute:
        unmatched = _PATH_AMBIGUOUS if route is _PATH_AMBIGUOUS else Reason.route_unknown
        return Decision(unmatched, grant, role, call, holder, None, now)

    # 10. What is asked for and what the route needs are held, by the token or by an exception.
    if (
        (route is None and permission is None)
        or (route is not None and not _may(grant, role, route.permission, now))
        or (permission is not None and not _may(grant, role, permission, now))
    ):
        return Decision(Reason.permission_missing, grant, role, call, holder, None, now)
    return Decision(_ALLOWED, grant, role, call, holder, None, now)


def decide_within(
    companies: frozenset[str],
    grant: Grant | None,
    holder: Holder | None,
    company: CompanyRules | None,
    call: Call,
    now: int,
) -> Decision:
    """Decide for a limited verifier key, to which all but *companies* are unknown.

    A token of another company is refused, and counted, like an id that doesn't exist. A decoy is
    unknown to everybody, so its own company is told of its use.
    """
    return decide(_known_to(companies, grant), holder, company, call, now)


def admit(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None, call: Call, now: int
) -> Decision:
    """Decide as ``decide`` does, without routes and permissions.

    Only for the control plane, which then checks each operation's permission. It alone accepts
    admin keys and portal sessions.
    """
    if grant is not None and grant.kind == "admin":
        return _admit_admin_key(grant, company, call, now)
    role = _admitted_role(grant, holder, company, call, now, _PREFIXES_OF_CALLERS)
    if grant is not None and grant.kind == "portal" and isinstance(role, frozenset):
        # Check 8: it is used on its own pages alone.
        role = _page_refusal(grant.domains, call) or role
    if not isinstance(role, frozenset):
        return _refused(role, grant, holder, company, call, now)
    return Decision(_ALLOWED, grant, role, call, holder, None, now)


def introspect(
    companies: frozenset[str] | None,
    grant: Grant | None,
    holder: Holder | None,
    company: CompanyRules | None,
    call: Call,
    now: int,
) -> Decision:
    """Checks 1 to 8 for a verifier key that asks whether a token is valid.

    Args:
        companies: those that a limited key knows; None is all.
    """
    if companies is not None:
        grant = _known_to(companies, grant)
    role = _admitted_role(grant, holder, company, call, now)
    if not isinstance(role, frozenset):
        return _refused(role, grant, holder, company, call, now)
    return Decision(_ALLOWED, grant, role, call, holder, None, now)


def admit_verifier(grant: Grant | None, credential: Credential | Reason | None) -> Reason:
    """Decide whether *credential* is a verifier key that may ask for decisions.

    A limited one may ask about the companies in its grant's ``permissions`` only.
    """
    if credential is None or isinstance(credential, Reason):
        return _TOKEN_MISSING if credential is _TOKEN_MISSING else _TOKEN_INVALID
    if (
        grant is None
        or not compare_digest(credential.digest, grant.digest)
        or credential.prefix != VERIFIER_KEY
        or grant.kind not in ("verifier", "limited-verifier")
    ):
        return _TOKEN_INVALID
    return Reason.token_deactivated if grant.deactivated else _ALLOWED


def admin_key_refusal(
    grant: Grant,
    company: CompanyRules | None,
    address: bytes | None,
    now: int,
    *,
    address_garbage: bool = False,
) -> Reason | None:
    """Checks 3 to 7 for an admin key whose secret matched; None if it passes.

    Args:
        company: the rules of the company that the key is limited to; None if it isn't.
    """
    if grant.deactivated:
        return Reason.token_deactivated
    if grant.expires_at is not None and not now < grant.expires_at:
        return Reason.token_expired
    allowlist = None
    if grant.company:
        if company is None or company.id != grant.company or not company.active:
            return Reason.account_deactivated
        allowlist = company.allowlist_at(now)
    if address_garbage:
        return Reason.address_not_allowed
    if allowlist is not None and (address is None or not allowlist.contains(address)):
        return Reason.company_address_not_allowed
    if grant.networks is not None and (address is None or not grant.networks.contains(address)):
        return Reason.address_not_allowed
    return None


def held(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None, now: int
) -> tuple[str, ...]:
    """The effective permissions, sorted: the token's that its user's role has now.

    Of a portal session, those that its tokens may hold. It keeps the wildcards that the owner's
    role has, although an external owner's tokens permit by name alone: tokens have them, too.

    Args:
        now: Unix ms; exceptions count until they end.
    """
    if grant is None:
        return ()
    role = _role(grant, holder, company)
    if grant.kind == "portal" and role and holder is not None and company is not None:
        role = company.roles.get(role_of_key(holder.role), _NOTHING)
    return _effective(grant, role, now)


def _known_to(companies: frozenset[str], grant: Grant | None) -> Grant | None:
    if grant is None or grant.company in companies or grant.kind == DECOY:
        return grant
    return None


def _admit_admin_key(grant: Grant, company: CompanyRules | None, call: Call, now: int) -> Decision:
    credential = call.credential
    if not isinstance(credential, Credential):
        refusal = _TOKEN_MISSING if credential is _TOKEN_MISSING else _TOKEN_INVALID
        return Decision(refusal, None, _NOTHING, call, at=now)
    if credential.prefix != ADMIN_KEY or not compare_digest(credential.digest, grant.digest):
        return Decision(_TOKEN_INVALID, None, _NOTHING, call, at=now)
    refused = admin_key_refusal(
        grant, company, call.address, now, address_garbage=call.address_garbage
    )
    return Decision(refused or _ALLOWED, grant, _NOTHING, call, at=now)


def _admitted_role(
    grant: Grant | None,
    holder: Holder | None,
    company: CompanyRules | None,
    call: Call,
    now: int,
    prefixes: dict[str, str] = _PREFIXES,
) -> frozenset[str] | Reason:
    """Checks 1 to 8: whether the token is valid here and now.

    Args:
        prefixes: of the texts of each kind of token that is accepted.

    Returns:
        The permissions of its user's role if so, else the first refusal.
    """
    # 1. There is a token.
    credential = call.credential
    if not isinstance(credential, Credential):
        return _TOKEN_MISSING if credential is _TOKEN_MISSING else _TOKEN_INVALID

    # 2. It is a token, known, and its secret is the right one. (A digest needn't be compared with
    # itself: a verifier's cache has the grant's digest for a text whose secret matched.)
    if (
        grant is None
        or (
            credential.digest is not grant.digest
            and not compare_digest(credential.digest, grant.digest)
        )
        or not (
            credential.id.startswith(prefixes.get(grant.kind, _NO_PREFIX))
            or (grant.kind in _KINDS_OF_IMPORTED and is_imported(credential.id))
        )
    ):
        return _TOKEN_INVALID

    # 3., 4. It is neither deactivated, nor pending, nor rehearsed for this call, nor expired.
    if grant.deactivated:
        if grant.pending:
            return Reason.token_pending
        if grant.rehearsal is None:
            return Reason.token_deactivated
        if refuses(
            grant.rehearsal,
            grant.id,
            now,
            address=call.address,
            permission=call.permission,
            route=call.route.text if type(call.route) is CatalogueRoute else None,
        ):
            return Reason.token_rehearsed
    if grant.expires_at is not None and not now < grant.expires_at:
        return Reason.token_expired

    # 5. Its user and company are active. Rows of another user or company count as missing.
    if (
        holder is None
        or company is None
        or not holder.active
        or not company.active
        or holder.id != grant.user
        or holder.company != grant.company
        or company.id != grant.company
    ):
        return Reason.account_deactivated

    # 6., 7. The address is in the company's allowlist and in the token's networks.
    address = call.address
    if call.address_garbage:
        return Reason.address_not_allowed
    allowlist = company.allowlist if company.trial is None else company.allowlist_at(now)
    if allowlist is not None and (address is None or not allowlist.contains(address)):
        return Reason.company_address_not_allowed
    if grant.networks is not None and (address is None or not grant.networks.contains(address)):
        return Reason.address_not_allowed

    # 8. A token for UI access has an origin, and one of its domains.
    if grant.kind == "ui":
        refusal = _origin_refusal(grant.domains, call)
        if refusal is not None:
            return refusal
    return company.roles.get(holder.role, _NOTHING)


def _origin_refusal(domains: tuple[str, ...], call: Call) -> Reason | None:
    origin = call.origin
    if origin is None:
        if call.referer is None:
            return Reason.origin_missing
        origin = origin_of_referer(call.referer)
    if origin is None:
        return Reason.origin_not_allowed
    # Without domains any origin is allowed, but not "null", which any page can send.
    good = origin_allowed(domains, origin) if domains else parse_origin(origin) is not None
    return None if good else Reason.origin_not_allowed


def _page_refusal(origins: tuple[str, ...], call: Call) -> Reason | None:
    """Check 8 for a portal session, whose *origins* are compared as a whole."""
    refusal = _origin_refusal((), call)
    if refusal is not None:
        return refusal
    origin = origin_of_referer(call.referer) if call.origin is None else call.origin
    return None if is_one_of(origins, origin) else Reason.origin_not_allowed


def _may(grant: Grant, role: frozenset[str], name: str, now: int) -> bool:
    """Whether token, or one of its exceptions, and role both hold *name*."""
    # The usual case, without parsing the name; "*" can't be asked for.
    if (
        name in grant.permissions
        and name != EVERYTHING
        and (name in role or EVERYTHING in role)
        and name not in NOT_FOR_TOKENS
    ):
        return True
    if not (is_permission(name) or is_wildcard(name)) or not covers(role, name):
        return False
    if grant.kind == "login":
        return True
    if name in NOT_FOR_TOKENS:
        return False
    return name in grant.excepted(now) or covers(_chosen(grant), name)


def _effective(grant: Grant, role: frozenset[str], now: int) -> tuple[str, ...]:
    if grant.kind == "login":
        return tuple(sorted(role))
    # Most tokens have no exceptions.
    if grant.exceptions is None:
        return _effective_in(grant.permissions, role)
    return _effective_in(grant.permissions | grant.excepted(now), role)


@lru_cache(_EFFECTIVE_KEPT)
def _effective_in(permissions: frozenset[str], role: frozenset[str]) -> tuple[str, ...]:
    return effective(permissions - {EVERYTHING}, role)


def _chosen(grant: Grant) -> frozenset[str]:
    # Only a role may hold "*"; in a token it has no meaning.
    return grant.permissions - {EVERYTHING}


def _role(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None
) -> frozenset[str]:
    """The permissions of the user's role; empty if the rows don't belong together."""
    if (
        grant is None
        or holder is None
        or company is None
        or holder.id != grant.user
        or not grant.company == holder.company == company.id
    ):
        return _NOTHING
    return company.roles.get(holder.role, _NOTHING)


def _refused(
    refusal: Reason,
    grant: Grant | None,
    holder: Holder | None,
    company: CompanyRules | None,
    call: Call,
    now: int,
) -> Decision:
    """A refusal in checks 1 to 8. It reveals nothing of the grant until the secret matched."""
    if refusal is _TOKEN_MISSING or refusal is _TOKEN_INVALID:
        return Decision(refusal, None, _NOTHING, call, None, _decoy(grant, call), now)
    return Decision(refusal, grant, _role(grant, holder, company), call, holder, None, now)


def _decoy(grant: Grant | None, call: Call) -> Grant | None:
    """*grant* if it is an active decoy and the call has its text."""
    if grant is None or grant.kind != DECOY or grant.deactivated:
        return None
    credential = call.credential
    if not isinstance(credential, Credential):
        return None
    return grant if compare_digest(credential.digest, grant.digest) else None
