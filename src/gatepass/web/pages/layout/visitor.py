"""Who looks at a page."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from gatepass.core.decision import Reason
from gatepass.core.display_text import has_visible
from gatepass.core.networks import format_address, parse_network
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, role_records
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.caller import (
    NotAdmitted,
    address_of,
    admit,
    caller_of,
    header_credential,
    node_of,
    unlisted_proxy_of,
)
from gatepass.web.cookies import login_cookie
from gatepass.web.pages.layout.after_change import is_unconfirmed


@dataclass(frozen=True)
class Visitor:
    """A person who is signed in, as pages show and ask about them.

    Attributes:
        actor: what registry operations take.
        role_name: the name of their role, as people know it.
        signed_in_until: when the login token in use expires (Unix ms); None with an access token.
        unconfirmed: this page follows a change that this node has not caught up with.
        unlisted_proxy: their request's peer, if it sent X-Forwarded-For without being a trusted
            proxy.
    """

    actor: Actor
    name: str
    email: str
    role_name: str
    company_name: str
    signed_in_until: int | None = None
    unconfirmed: bool = False
    unlisted_proxy: str | None = None

    @property
    def initials(self) -> str:
        """One or two letters for the round thing at the top."""
        words = "".join(sign if has_visible(sign) else " " for sign in self.name).split()
        return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()

    @property
    def address(self) -> str | None:
        """Where they are, as the server sees it."""
        return self.actor.address

    @property
    def own_network(self) -> str | None:
        """What *Add mine* adds: their address, or of an IPv6 one the first 64 bits.

        Devices change the rest every day (RFC 8981): tomorrow's address would be refused.
        """
        if self.address is None or ":" not in self.address or self.address == "::1":
            return self.address
        return str(parse_network(f"{self.address}/64"))

    @property
    def may_create(self) -> bool:
        """Whether to offer making tokens. An access token as the credential never makes others."""
        return self.actor.kind != "token" and self.actor.may("access-tokens:create")

    @property
    def may_modify(self) -> bool:
        """Whether to offer changing tokens."""
        return self.actor.kind != "token" and self.actor.may("access-tokens:modify")

    def may_change(self, permission: str) -> bool:
        """Whether to offer a change that needs *permission*: to people, never to access tokens."""
        return self.actor.kind != "token" and self.actor.may(permission)

    def may_deactivate(self, token: AccessToken) -> bool:
        """Whether to offer ending *token*: with the permission, or where it is their own."""
        own = token.created_by.id is not None and token.created_by.id == self.actor.user
        return own or self.actor.may("access-tokens:deactivate")


def visiting(request: Request) -> Visitor:
    """The visitor of *request*.

    Raises:
        NotAdmitted: nobody is signed in, or may not be from here; the decision says why.
        Unavailable: it can't be told now.
    """
    caller = caller_of(request, admit(request, presented(request)))
    node = node_of(request)
    user = caller.user
    with node.database.read(node.clock.now()) as reading:
        company = companies.get(reading, user.company)
        role = role_records.of_company(reading, node.catalogue, user.company).get(user.role)
    return Visitor(
        actor=caller.actor,
        name=user.name,
        email=user.email,
        role_name=role.name if role else user.role,
        company_name=company.name,
        signed_in_until=caller.grant.expires_at if caller.grant.kind == "login" else None,
        unconfirmed=is_unconfirmed(request),
        unlisted_proxy=unlisted_proxy_of(request),
    )


def not_from_outside(request: Request) -> None:
    """For pages that are open to everyone: a credential that is good, but not from here, opens
    nothing.

    Raises:
        NotAdmitted: it is such a credential.
        Unavailable: it can't be decided now.
    """
    decision = admit(request, presented(request))
    if decision.reason is Reason.company_address_not_allowed:
        raise NotAdmitted(decision)


def presented(request: Request) -> str | Reason:
    """The credential of *request*: headers first, then the cookie.

    A link from another site may bring the cookie along, or nobody could follow one into the
    dashboard; what changes something is refused across sites before this is asked.
    """
    found = header_credential(request)
    return (login_cookie(request) or found) if found is Reason.token_missing else found


def address_text(request: Request) -> str | None:
    """Where *request* comes from; None if that can't be told."""
    address = address_of(request)
    return None if address is None else format_address(address)


#: The parameter of a page for people who are signed in.
Visiting = Annotated[Visitor, Depends(visiting)]
