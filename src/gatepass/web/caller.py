"""From a request to who is calling: the credential, the address, rows 1 to 8 of the rules.

The API takes ``Authenticated`` or ``SignedIn`` as a parameter. Pages, which show a sign-in form
where the API answers 401, call :func:`admit` and :func:`caller_of` themselves.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query

from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import Forbidden, InvalidInput
from gatepass.core.grants import Grant
from gatepass.core.networks import format_address, parse_address
from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import totp_policy
from gatepass.registry.directory import users
from gatepass.registry.directory.users import User
from gatepass.verify.http.client_address import client_address
from gatepass.verify.http.request_credentials import read_credential, read_single
from gatepass.web.bodies import body_may_be_large, sender_is_known
from gatepass.web.cookies import cookie_counts, login_cookie
from gatepass.web.misconfiguration import Fault
from gatepass.web.strict_json import field_name

# All that a person reaches who has no second factor although their company requires one.
_WAY_TO_SECOND_FACTOR = frozenset(("/account/two-factor", "/sign-out", "/v1/me", "/v1/sign-out"))

_UNKNOWN = "Must be left out: there is no such parameter."
_MOST_ERRORS = 20


class Refused(Exception):
    """Whoever calls isn't admitted; the decision says why."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(decision.reason.value)
        self.decision = decision


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling.

    Attributes:
        actor: what registry operations take.
        grant: the facts of the token in use.
        user: whose token it is.
    """

    actor: Actor
    grant: Grant
    user: User


def node_of(request: Request) -> Node:
    """The node that answers."""
    node: Node = request.app.state.node
    return node


def address_of(request: Request) -> bytes | None:
    """The address the request comes from, packed; None if it can't be told."""
    return _address(request)[0]


def lines(request: Request, name: str) -> Sequence[str | None]:
    """The values of a header's lines in order; None for one with bytes outside ASCII, which is
    garbage and never "absent"."""
    wanted = name.encode()
    return [
        value.decode("ascii") if value.isascii() else None
        for key, value in request.scope["headers"]
        if key == wanted
    ]


def admit(request: Request, presented: str | Reason) -> Decision:
    """Rows 1 to 8 of the rules for a credential that this request came with.

    Raises:
        Unavailable: it can't be decided now.
    """
    address, garbage = _address(request)
    decision = node_of(request).admit(
        presented,
        address=address,
        origin=read_single(lines(request, "origin")),
        referer=read_single(lines(request, "referer")),
        address_garbage=garbage,
    )
    _note_sender(request, decision)
    return decision


def caller_of(request: Request, decision: Decision) -> Caller:
    """Who it is that *decision* admitted.

    Raises:
        Refused: it didn't.
        Forbidden: ``second_factor_required``: the company requires one, by now, and this person has
            none. Access tokens are not concerned.
        Unavailable: the registry can't be read now.
    """
    grant = decision.grant
    if not decision.allowed or grant is None:
        raise Refused(decision)
    node = node_of(request)
    signed_in = grant.kind == "login"
    with node.database.read(node.clock.now()) as reading:
        user = users.get(reading, grant.user)
        lacking = signed_in and totp_policy.lacking(reading, user.id)
    if lacking and request.url.path not in _WAY_TO_SECOND_FACTOR:
        raise Forbidden(
            "Your company requires a second factor. Set one up to go on.",
            reason="second_factor_required",
        )
    address = decision.call.address
    actor = Actor(
        kind="user" if signed_in else "token",
        company=grant.company,
        user=user.id,
        name=user.name,
        permissions=frozenset(decision.effective),
        credential=grant.id,
        address=None if address is None else format_address(address),
        # A token holds what was put into it; looking after the installation never was.
        operator=signed_in and user.operator,
    )
    return Caller(actor, grant, user)


def _note_sender(request: Request, decision: Decision) -> None:
    grant = decision.grant
    if grant is None:
        return
    # A ``ui`` token is in the hands of everybody who opens the page that has it.
    if decision.allowed and grant.kind != "ui":
        sender_is_known(request.scope, grant.id)
    elif grant.kind == "login":
        # One that has ended: what was typed too late is shown again after signing in.
        body_may_be_large(request.scope)


def unlisted_proxy_of(request: Request) -> str | None:
    """The peer's address if it sent X-Forwarded-For and isn't a trusted proxy: it is ignored."""
    peer = _peer(request)
    if peer is None or request.app.state.trusted.contains(peer):
        return None
    return format_address(peer) if lines(request, "x-forwarded-for") else None


def _address(request: Request) -> tuple[bytes | None, bool]:
    """The packed address, and whether a forwarding header is garbage, as ``client_address``."""
    # Asked for by whoever needs it; what it shows of the deployment is noted once a request.
    found: tuple[bytes | None, bool] | None = request.scope.get("gatepass.address")
    if found is None:
        found = request.scope["gatepass.address"] = _read_address(request)
    return found


def _read_address(request: Request) -> tuple[bytes | None, bool]:
    peer = _peer(request)
    if peer is None:
        return None, True
    state = request.app.state
    found = client_address(peer, lines(request, "x-forwarded-for"), state.trusted)
    unlisted = unlisted_proxy_of(request)
    if unlisted is not None:
        state.misconfigurations.note(Fault.forwarded_by_untrusted, unlisted)
    elif found[1]:
        state.misconfigurations.note(Fault.forwarded_unreadable, format_address(peer))
    return found


def _peer(request: Request) -> bytes | None:
    client = request.scope.get("client")
    return parse_address(client[0]) if client else None


def _presented(request: Request) -> str | Reason:
    """Headers first. Only a request without a Gatepass credential in them may use the cookie."""
    presented = read_credential(lines(request, "authorization"), lines(request, "x-access-token"))
    if presented is Reason.token_missing and cookie_counts(request):
        return login_cookie(request) or presented
    return presented


def refuse_from_outside(request: Request) -> None:
    """For what is open to everyone: a credential that is good, but not from here, opens nothing.

    Raises:
        Refused: it is such a credential.
        Unavailable: it can't be decided now.
    """
    decision = admit(request, _presented(request))
    if decision.reason is Reason.company_address_not_allowed:
        raise Refused(decision)


def _caller(request: Request) -> Caller:
    caller = caller_of(request, admit(request, _presented(request)))
    # After the credential: whoever has none is told that first, whatever else is wrong.
    _refuse_odd_queries(request)
    return caller


def _refuse_odd_queries(request: Request) -> None:
    """Refuse a query that says something twice, or that the route doesn't know: a filter that isn't
    the one that was meant, or a misspelt one, shows more than was asked for.

    What is known is what the route's own parameters are called, so nothing is listed twice. Pages
    don't come here: browsers and mail programs append to their addresses what they like.
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


# What reads nothing is async, or FastAPI would lend it a thread.
async def _node(request: Request) -> Node:
    return node_of(request)


async def _actor(caller: Annotated[Caller, Depends(_caller)]) -> Actor:
    return caller.actor


async def _signed_in(actor: Annotated[Actor, Depends(_actor)]) -> Actor:
    actor.require_signed_in()
    return actor


OurNode = Annotated[Node, Depends(_node)]
#: Whoever is calling, with the facts of the token in use.
Calling = Annotated[Caller, Depends(_caller)]
#: Whoever is calling, with any token.
Authenticated = Annotated[Actor, Depends(_actor)]
#: A person who signed in; an access token is 403 ``signed_in_user_required``.
SignedIn = Annotated[Actor, Depends(_signed_in)]
