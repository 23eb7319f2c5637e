"""Authenticates the caller of a request: credential, address, checks 1 to 8 of the rules.

API endpoints take ``Authenticated`` or ``SignedIn`` as a parameter; ``administering(area)`` where
an admin key may act, too; and one of the dependencies ``…OrPortal`` where a portal session may,
from pages of other origins. Pages, which show a sign-in form where the API answers 401, call
:func:`admit` and :func:`caller_of` themselves.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query

from gatepass.core.decision import Decision, Reason, held
from gatepass.core.errors import Forbidden, InvalidInput
from gatepass.core.grants import Grant
from gatepass.core.networks import format_address, parse_address
from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import totp_policy
from gatepass.registry.directory import owner_records, users
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import published_of_actor
from gatepass.registry.storage.database import Reading
from gatepass.verify.http.client_address import client_address
from gatepass.verify.http.header_lines import asgi_lines
from gatepass.verify.http.request_credentials import read_credential, read_single
from gatepass.web.access_log import TOLD
from gatepass.web.body_limits import allow_large_body, sender_authenticated
from gatepass.web.cookies import cookie_counts, login_cookie
from gatepass.web.cross_origin import cross_origin, name_origin, page_origin
from gatepass.web.misconfiguration import Fault
from gatepass.web.public_origin import origin_of
from gatepass.web.strict_json import field_name

# What a user without the second factor that their company requires can reach.
_WAY_TO_SECOND_FACTOR = frozenset(("/account/two-factor", "/sign-out", "/v1/me", "/v1/sign-out"))

# Key of a request's scope.
_DECISION = "gatepass.decision"

_UNKNOWN = "Must be left out: there is no such parameter."
_MOST_ERRORS = 20


class NotAdmitted(Exception):
    """The caller isn't admitted.

    Attributes:
        decision: says why.
    """

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.reason.value)
        self.decision = decision


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller.

    Attributes:
        actor: for registry operations.
        grant: the token's grant.
        owner: the token's; a signed-in caller's is a user.
    """

    actor: Actor
    grant: Grant
    owner: User | Owner

    @property
    def user(self) -> User:
        """The signed-in user."""
        assert isinstance(self.owner, User)
        return self.owner


def node_of(request: Request) -> Node:
    """The node of the application."""
    node: Node = request.app.state.node
    return node


def address_of(request: Request) -> bytes | None:
    """The packed client address; None if it can't be determined."""
    return _address(request)[0]


def header_credential(request: Request) -> str | Reason:
    """The credential in the request's headers, or why there is none."""
    lines = asgi_lines(request.scope)
    return read_credential(lines("authorization"), lines("x-access-token"))


def admit(request: Request, credential: str | Reason) -> Decision:
    """Decide checks 1 to 8 of the rules for a credential of the request.

    Raises:
        Unavailable: this node can't decide now.
    """
    address, garbage = _address(request)
    node = node_of(request)
    origin, referer = _page_of(request, node)
    decision = node.admit(
        credential,
        address=address,
        origin=origin,
        referer=referer,
        address_garbage=garbage,
    )
    request.scope[_DECISION] = decision
    _note_sender(request, decision)
    grant = decision.grant
    if grant is not None and grant.kind == "portal":
        name_origin(request, grant.domains)
    return decision


def admission_of(request: Request) -> Decision | None:
    """The last decision of ``admit`` about the request, if there was one."""
    decision: Decision | None = request.scope.get(_DECISION)
    return decision


def _page_of(request: Request, node: Node) -> tuple[str | None, str | None]:
    """The Origin and the Referer of a request.

    A browser that sends no Referer sends neither with a GET of our own page. But it says
    ``Sec-Fetch-Site: same-origin``, which no page can set.
    """
    lines = asgi_lines(request.scope)
    origin, referer = page_origin(request), read_single(lines("referer"))
    if origin is None and referer is None and lines("sec-fetch-site") == ["same-origin"]:
        origin = origin_of(node.settings.public_url)
    return origin, referer


def caller_of(request: Request, decision: Decision, *, portal: bool = False) -> Caller:
    """The caller that *decision* admitted.

    Args:
        portal: whether it may be a portal session.

    Raises:
        NotAdmitted: the decision is a refusal.
        Forbidden: ``admin_key``: the credential is one; only ``administering`` accepts those.
            ``portal_session``. ``second_factor_required``: the company requires one, and this user
            has none; never for access tokens.
        Unavailable: the registry can't be read now.
    """
    grant = decision.grant
    if not decision.allowed or grant is None:
        raise NotAdmitted(decision)
    if grant.kind == "admin":
        _admin_actor(decision, grant).refuse_admin_key()
    node = node_of(request)
    if grant.kind == "portal":
        return _portal_caller(node, decision, grant, portal)
    signed_in = grant.kind == "login"
    with node.database.read(node.clock.now()) as reading:
        owner, lacking = _owner_and_lacking(reading, grant)
    if signed_in and lacking and request.url.path not in _WAY_TO_SECOND_FACTOR:
        raise Forbidden(
            "Your company requires a second factor. Set one up to go on.",
            reason="second_factor_required",
        )
    actor = Actor(
        kind="user" if signed_in else "token",
        company=grant.company,
        user=owner.id,
        name=owner.name,
        permissions=frozenset(decision.effective),
        credential=grant.id,
        address=_address_text(decision),
        # An access token never carries its owner's operator rights.
        operator=signed_in and isinstance(owner, User) and owner.operator,
    )
    return Caller(actor, grant, owner)


def _owner_and_lacking(reading: Reading, grant: Grant) -> tuple[User | Owner, bool]:
    """The owner of a token, and whether they lack the second factor that their company requires."""
    if users.is_user(grant.user):
        return totp_policy.user_and_lacking(reading, grant.user, grant.id)
    return owner_records.find(reading, grant.company, grant.user), False


def _admin_actor(decision: Decision, grant: Grant) -> Actor:
    return Actor(
        kind="admin_key",
        company=grant.company or None,
        user=None,
        name=grant.label,
        permissions=grant.permissions,
        credential=grant.id,
        address=_address_text(decision),
    )


def _portal_caller(node: Node, decision: Decision, grant: Grant, accepted: bool) -> Caller:
    with node.database.read(node.clock.now()) as reading:
        owner = owner_records.find(reading, grant.company, grant.user)
        rows = published_of_actor(reading, grant.id, grant.user, grant.company)
        permissions = held(*rows, reading.now)
    actor = Actor(
        kind="portal_session",
        company=grant.company,
        user=owner.id,
        name=owner.name,
        permissions=frozenset(permissions),
        credential=grant.id,
        address=_address_text(decision),
        opened_by=grant.label,
    )
    if not accepted:
        actor.refuse_portal_session()
    return Caller(actor, grant, owner)


def _address_text(decision: Decision) -> str | None:
    address = decision.call.address
    return None if address is None else format_address(address)


def _note_sender(request: Request, decision: Decision) -> None:
    grant = decision.grant
    told = request.scope.get(TOLD)
    if told is not None:
        told["reason"] = decision.reason.value
    if grant is None:
        return
    if told is not None:
        told["token"] = grant.id
        told["company"] = grant.company or ""
    # A ``ui`` token authenticates nobody: anyone who opens its page has it.
    if decision.allowed and grant.kind != "ui":
        sender_authenticated(request.scope, grant.id)
    elif grant.kind == "login":
        # An expired or revoked sign-in: the typed text is shown again after the next one.
        allow_large_body(request.scope)


def unlisted_proxy_of(request: Request) -> str | None:
    """The peer's address if it sent X-Forwarded-For and isn't a trusted proxy; else None."""
    peer = _peer(request)
    if peer is None or request.app.state.trusted.contains(peer):
        return None
    return format_address(peer) if asgi_lines(request.scope)("x-forwarded-for") else None


def _address(request: Request) -> tuple[bytes | None, bool]:
    """The packed address, and whether a forwarding header is garbage, as ``client_address``."""
    # Read on demand and cached, so that a misconfiguration is counted once per request.
    found: tuple[bytes | None, bool] | None = request.scope.get("gatepass.address")
    if found is None:
        found = request.scope["gatepass.address"] = _read_address(request)
    return found


def _read_address(request: Request) -> tuple[bytes | None, bool]:
    peer = _peer(request)
    if peer is None:
        return None, True
    state = request.app.state
    found = client_address(peer, asgi_lines(request.scope)("x-forwarded-for"), state.trusted)
    unlisted = unlisted_proxy_of(request)
    if unlisted is not None:
        state.misconfigurations.note(Fault.forwarded_by_untrusted, unlisted)
    elif found[1]:
        state.misconfigurations.note(Fault.forwarded_unreadable, format_address(peer))
    return found


def _peer(request: Request) -> bytes | None:
    client = request.scope.get("client")
    return parse_address(client[0]) if client else None


def credential_in_use(request: Request) -> str | Reason:
    """The request's credential. The cookie is used only without a credential in the headers."""
    credential = header_credential(request)
    if credential is Reason.token_missing and cookie_counts(request):
        return login_cookie(request) or credential
    return credential


def refuse_from_outside(request: Request) -> None:
    """Refuse a valid credential from outside its company's allowlist, on a public endpoint.

    Raises:
        NotAdmitted: the request has such a credential.
        Unavailable: this node can't decide now.
    """
    decision = admit(request, credential_in_use(request))
    if decision.reason is Reason.company_address_not_allowed:
        raise NotAdmitted(decision)


F = TypeVar("F", bound=Callable[..., Any])


def accepting(*schemes: str) -> Callable[[F], F]:
    """Declare the credentials that a dependency accepts.

    Args:
        schemes: security schemes of the OpenAPI document; one of them is enough.
    """

    def declare(dependency: F) -> F:
        dependency.accepts = schemes  # type: ignore[attr-defined]  # read by web.openapi
        return dependency

    return declare


@accepting("bearer", "x-access-token", "dashboard")
def _caller(request: Request) -> Caller:
    return _authenticated(request, portal=False)


@cross_origin
@accepting("bearer", "x-access-token", "dashboard", "portal-session")
def _caller_or_portal(request: Request) -> Caller:
    return _authenticated(request, portal=True)


def _authenticated(request: Request, *, portal: bool) -> Caller:
    caller = caller_of(request, admit(request, credential_in_use(request)), portal=portal)
    # After the credential, so that an unauthenticated caller gets 401 before any 422.
    _refuse_unknown_parameters(request)
    return caller


@accepting("bearer", "x-access-token")
def _own_access_token(request: Request) -> Actor:
    decision, node = admit(request, header_credential(request)), node_of(request)
    grant = decision.grant
    if decision.reason is Reason.token_expired and grant is not None and grant.kind != "login":
        # Like any call with an old text, it may be told of (``membership.token_alarms``).
        node.usage.note(decision, node.clock.now())
    actor = caller_of(request, decision).actor
    if actor.kind != "token":
        raise Forbidden("This needs an access token.", reason="access_token_required")
    _refuse_unknown_parameters(request)
    return actor


def administering(area: str) -> Callable[[Request], Actor]:
    """The dependency of an endpoint for operators and for admin keys with the permission *area*.

    The actor of an admin key that is limited to a company has that ``company``; the operation must
    answer 404 for any other. An operator's reaches all.
    """

    @accepting("bearer", "x-access-token", "dashboard")
    def administrator(request: Request) -> Actor:
        decision = admit(request, credential_in_use(request))
        grant = decision.grant
        if decision.allowed and grant is not None and grant.kind == "admin":
            actor = _admin_actor(decision, grant)
        else:
            actor = caller_of(request, decision).actor
        actor.require_area(area)
        _refuse_unknown_parameters(request)
        return actor

    return administrator


def _refuse_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that the route doesn't have, or that are repeated.

    A misspelt or ignored filter would show more than was asked for. The names come from the route's
    own parameters. Pages don't do this: browsers and mail programs append parameters to their URLs.
    """
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if not counts:
        return
    parameters = get_flat_params(request.scope["route"].dependant)
    known = {each.alias for each in parameters if isinstance(each.field_info, Query)}
    wrong = [
        (field_name((name,)), _UNKNOWN if name not in known else "Must be given only once.")
        for name, count in counts.items()
        if name not in known or count > 1
    ]
    if wrong:
        raise InvalidInput(wrong[:_MOST_ERRORS])


# Async, because FastAPI would run it in a thread otherwise.
async def _node(request: Request) -> Node:
    return node_of(request)


async def _actor(caller: Annotated[Caller, Depends(_caller)]) -> Actor:
    return caller.actor


async def _signed_in(actor: Annotated[Actor, Depends(_actor)]) -> Actor:
    actor.require_signed_in()
    return actor


async def _actor_or_portal(caller: Annotated[Caller, Depends(_caller_or_portal)]) -> Actor:
    return caller.actor


async def _signed_in_or_portal(actor: Annotated[Actor, Depends(_actor_or_portal)]) -> Actor:
    if not actor.is_portal_session:
        actor.require_signed_in()
    return actor


CurrentNode = Annotated[Node, Depends(_node)]
#: The caller's actor, with any token.
Authenticated = Annotated[Actor, Depends(_actor)]
#: The actor of a signed-in user; an access token is 403 ``signed_in_user_required``.
SignedIn = Annotated[Actor, Depends(_signed_in)]
#: The actor of an access token, which isn't looked for in a cookie; any other credential is 403
#: ``access_token_required``.
OwnAccessToken = Annotated[Actor, Depends(_own_access_token)]
#: The caller, with the token's grant and owner. Like the next two, it may be a portal session,
#: which the operation must limit to its owner's records (``acting(…, portal=True)``); pages of
#: other origins can call the endpoint.
CallerOrPortal = Annotated[Caller, Depends(_caller_or_portal)]
AuthenticatedOrPortal = Annotated[Actor, Depends(_actor_or_portal)]
SignedInOrPortal = Annotated[Actor, Depends(_signed_in_or_portal)]
