"""When a call is allowed: the one rule that dashboard, API, gateways and embedders share."""

from hmac import compare_digest

import msgspec

from gatepass.core.credentials import ACCESS_TOKEN, LOGIN_TOKEN, VERIFIER_KEY, Credential
from gatepass.core.domains import origin_allowed, origin_of_referer, parse_origin
from gatepass.core.grants import CompanyRules, Grant, Holder
from gatepass.core.permissions import EVERYTHING, covers, effective, is_permission, is_wildcard
from gatepass.core.reason import STATUS, Reason

__all__ = ["STATUS", "Call", "Decision", "Reason", "admit", "admit_verifier", "decide", "held"]


_PREFIXES = {"api": ACCESS_TOKEN + "_", "ui": ACCESS_TOKEN + "_", "login": LOGIN_TOKEN + "_"}
_NO_PREFIX = "\0"
_NOTHING: frozenset[str] = frozenset()
# Bound once: an enumeration looks its members up anew at each use. Asking whether something is an
# instance of one is dear, too; below it is asked the other way round where calls pass.
_ALLOWED = Reason.allowed
_TOKEN_MISSING = Reason.token_missing
_TOKEN_INVALID = Reason.token_invalid
_PATH_AMBIGUOUS = Reason.path_ambiguous


class Call(msgspec.Struct, frozen=True, gc=False):
    """What is being attempted.

    Attributes:
        credential: what was presented; ``token_missing`` if nothing was, ``token_invalid`` if it
            was malformed.
        permission: the permission asked for by name, if one was.
        route: what ``Routes.match`` said of method and path, if they were given.
        address: as ``parse_address`` returned it; None if absent or unreadable.
        address_garbage: a trusted gateway named an address that can't be read.
        origin: the Origin header; None only if there is none.
        referer: the Referer header; None only if there is none.
    """

    credential: Credential | Reason
    permission: str | None = None
    route: str | Reason | None = None
    address: bytes | None = None
    address_garbage: bool = False
    origin: str | None = None
    referer: str | None = None


class Decision(msgspec.Struct, frozen=True, gc=False):
    """Allowed or denied, and exactly one reason.

    Attributes:
        grant: the token's facts, known only once its secret matched.
        role: what the user's role permits now.
        call: what was decided on.
    """

    reason: Reason
    grant: Grant | None
    role: frozenset[str]
    call: Call

    @property
    def allowed(self) -> bool:
        """Whether the call may proceed."""
        return self.reason is _ALLOWED

    @property
    def status(self) -> int:
        """The HTTP status that an endpoint answers with."""
        return STATUS[self.reason]

    @property
    def effective(self) -> tuple[str, ...]:
        """What the token may do now, sorted; nothing while its secret hasn't matched."""
        return () if self.grant is None else _effective(self.grant, self.role)

    @property
    def needed(self) -> tuple[str, ...]:
        """The permissions this call needed, the one asked for first."""
        permission, route = self.call.permission, self.call.route
        named = () if permission is None else (permission,)
        if route is None or route == permission or isinstance(route, Reason):
            return named
        return (*named, route)


def decide(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None, call: Call, now: int
) -> Decision:
    """Decide whether *call* may proceed.

    The checks run in the order of docs/reference/rules.md and stop at the first refusal. Status is
    looked at only after the secret matched, so that a guesser learns nothing about a token.

    Args:
        grant: what is stored for the token id, or None if the id is unknown.
        holder: the state and role of the grant's user.
        company: the rules of the grant's company.
        call: what was presented and what is attempted.
        now: Unix time in milliseconds, by the caller's clock.

    Returns:
        A Decision with exactly one Reason. A call that names no permission and no route is denied:
        there would be nothing to check.
    """
    role = _admitted_role(grant, holder, company, call, now)
    if not isinstance(role, frozenset):
        return _refused(role, grant, holder, company, call)
    assert grant is not None  # or check 2 would have refused
    permission = call.permission
    route = call.route

    # 9. The path is unambiguous and a catalogue route matches.
    if type(route) is Reason:
        unmatched = _PATH_AMBIGUOUS if route is _PATH_AMBIGUOUS else Reason.route_unknown
        return Decision(unmatched, grant, role, call)

    # 10. What is asked for and what the route needs are held.
    if (
        (route is None and permission is None)
        or (route is not None and not _may(grant, role, route))
        or (permission is not None and not _may(grant, role, permission))
    ):
        return Decision(Reason.permission_missing, grant, role, call)
    return Decision(_ALLOWED, grant, role, call)


def admit(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None, call: Call, now: int
) -> Decision:
    """Decide as ``decide`` does, but for routes and permissions.

    For the control plane alone, which then checks each operation's permission itself.
    """
    role = _admitted_role(grant, holder, company, call, now)
    if not isinstance(role, frozenset):
        return _refused(role, grant, holder, company, call)
    return Decision(_ALLOWED, grant, role, call)


def admit_verifier(grant: Grant | None, credential: Credential | Reason | None) -> Reason:
    """Decide whether *credential* is a verifier key that may ask for decisions."""
    if credential is None or isinstance(credential, Reason):
        return _TOKEN_MISSING if credential is _TOKEN_MISSING else _TOKEN_INVALID
    if (
        grant is None
        or not compare_digest(credential.digest, grant.digest)
        or credential.prefix != VERIFIER_KEY
        or grant.kind != "verifier"
    ):
        return _TOKEN_INVALID
    return Reason.token_deactivated if grant.deactivated else _ALLOWED


def held(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None
) -> tuple[str, ...]:
    """The effective permissions: the token's, within its user's role now. Sorted."""
    return () if grant is None else _effective(grant, _role(grant, holder, company))


def _admitted_role(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None, call: Call, now: int
) -> frozenset[str] | Reason:
    """Checks 1 to 8: is this token good, here, now?

    Returns:
        What its user's role permits if so, else the first refusal.
    """
    # 1. A token was presented.
    credential = call.credential
    if not isinstance(credential, Credential):
        return _TOKEN_MISSING if credential is _TOKEN_MISSING else _TOKEN_INVALID

    # 2. It is a token, known, and its secret is the right one. (One and the same digest needn't be
    # compared with itself: that is what a verifier remembers of a text whose secret matched.)
    if (
        grant is None
        or (
            credential.digest is not grant.digest
            and not compare_digest(credential.digest, grant.digest)
        )
        or not credential.id.startswith(_PREFIXES.get(grant.kind, _NO_PREFIX))
    ):
        return _TOKEN_INVALID

    # 3., 4. It is neither deactivated nor expired.
    if grant.deactivated:
        return Reason.token_deactivated
    if grant.expires_at is not None and not now < grant.expires_at:
        return Reason.token_expired

    # 5. Its user and company are active. Facts that belong to someone else count as none.
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

    # 8. A token for the browser says where it is used, and is used where it may be.
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
    # Without domains any origin will do, but an origin it must be: "null" is anyone's.
    good = origin_allowed(domains, origin) if domains else parse_origin(origin) is not None
    return None if good else Reason.origin_not_allowed


def _may(grant: Grant, role: frozenset[str], name: str) -> bool:
    """Whether token and role both hold *name*."""
    # The usual case, without reading the name; "*" is no permission that could be asked for.
    if name in grant.permissions and name != EVERYTHING and (name in role or EVERYTHING in role):
        return True
    if not (is_permission(name) or is_wildcard(name)) or not covers(role, name):
        return False
    return grant.kind == "login" or covers(_chosen(grant), name)


def _effective(grant: Grant, role: frozenset[str]) -> tuple[str, ...]:
    if grant.kind == "login":
        return tuple(sorted(role))
    return effective(_chosen(grant), role)


def _chosen(grant: Grant) -> frozenset[str]:
    # Only a role may hold everything; in a token the asterisk means nothing.
    return grant.permissions - {EVERYTHING}


def _role(
    grant: Grant | None, holder: Holder | None, company: CompanyRules | None
) -> frozenset[str]:
    """What the role of the grant's user permits; nothing if the facts don't belong together."""
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
) -> Decision:
    """A refusal in checks 1 to 8. What is stored stays untold until the secret matched."""
    if refusal is _TOKEN_MISSING or refusal is _TOKEN_INVALID:
        return Decision(refusal, None, _NOTHING, call)
    return Decision(refusal, grant, _role(grant, holder, company), call)
