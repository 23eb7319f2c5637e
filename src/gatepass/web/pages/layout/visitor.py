"""The visitor of a page: the signed-in user, and the credential of the request."""

from dataclasses import dataclass

from fastapi import Request

from gatepass.core.decision import Reason
from gatepass.core.display_text import has_visible
from gatepass.core.grants import DECOY, USER
from gatepass.core.networks import format_address, parse_network
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies, role_records
from gatepass.registry.directory.users import User
from gatepass.registry.tokens.policy import approval
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
    """A signed-in user, as pages show them.

    Attributes:
        actor: the user as registry operations take them.
        role_name: the name of their role.
        signed_in_until: when the login token in use expires (Unix ms); None with an access token.
        unconfirmed: whether the page follows a change that this node hasn't applied yet.
        unlisted_proxy: the request's peer, if it sent X-Forwarded-For without being a trusted
            proxy.
        path: of the page.
        sent: whether the page answers a submitted form.
    """

    actor: Actor
    name: str
    email: str
    role_name: str
    company_name: str
    signed_in_until: int | None = None
    unconfirmed: bool = False
    unlisted_proxy: str | None = None
    path: str = "/"
    sent: bool = False

    @property
    def initials(self) -> str:
        """One or two letters for the avatar in the top bar."""
        words = "".join(sign if has_visible(sign) else " " for sign in self.name).split()
        return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()

    @property
    def address(self) -> str | None:
        """The visitor's address, as the server sees it."""
        return self.actor.address

    @property
    def own_network(self) -> str | None:
        """The network that *Add my network* adds: the visitor's address, or its first 64 bits if
        it is an IPv6 address.

        Devices change the rest every day (RFC 8981), so tomorrow's address would be refused.
        """
        if self.address is None or ":" not in self.address or self.address == "::1":
            return self.address
        return str(parse_network(f"{self.address}/64"))

    @property
    def may_create(self) -> bool:
        """Whether to offer creating tokens. An access token can't create others."""
        return self.may_change("access-tokens:create")

    @property
    def may_modify(self) -> bool:
        """Whether to offer editing tokens."""
        return self.may_change("access-tokens:modify")

    def may_change(self, permission: str) -> bool:
        """Whether to offer a change that requires *permission*: never with an access token."""
        return self.actor.kind != "token" and self.actor.may(permission)

    def may_rotate(self, token: AccessToken) -> bool:
        """Whether to offer rotating *token*, while it is active: one's own, or one of a service
        account or an external owner; never a decoy."""
        if token.kind == DECOY:
            return False
        if token.owner.type == USER:
            return self.may_create and token.owner.id == self.actor.user
        return self.may_create and self.may_change("service-accounts:manage")

    def owners_page(self, token: AccessToken) -> str:
        """The address of the page of *token*'s owner; "" if the visitor may open none."""
        has_page = token.owner.type == USER and self.actor.may("users:get")
        return f"/company/users/{token.owner.id}" if has_page else ""

    def may_approve(self, token: AccessToken) -> bool:
        """Whether to offer approving *token*, which is pending."""
        actor = self.actor
        return actor.kind == "user" and approval.may_approve(actor.user, actor.permissions, token)

    def may_deactivate(self, token: AccessToken) -> bool:
        """Whether to offer deactivating *token*: with the permission, or to its owner."""
        return token.owner.id == self.actor.user or self.actor.may("access-tokens:deactivate")


def visiting(request: Request) -> Visitor:
    """The visitor of *request*.

    Raises:
        NotAdmitted: the visitor isn't signed in, or may not be from this address; the decision says
            why.
        Unavailable: the registry can't be read now.
    """
    caller = caller_of(request, admit(request, credential_of(request)))
    node = node_of(request)
    if not isinstance(caller.owner, User):
        # The token of a service account or an external owner, which have no pages.
        caller.actor.require_signed_in()
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
        path=request.url.path,
        sent=request.method == "POST",
    )


def require_allowed_address(request: Request) -> None:
    """Refuse a valid credential from an address that its company's allowlist excludes, also on
    pages that are open to everyone.

    Raises:
        NotAdmitted: the address isn't allowed.
        Unavailable: the credential can't be checked now.
    """
    decision = admit(request, credential_of(request))
    if decision.reason is Reason.company_address_not_allowed:
        raise NotAdmitted(decision)


def credential_of(request: Request) -> str | Reason:
    """The credential of *request*: headers first, then the cookie.

    Links from other sites send the cookie too, so that they can lead into the dashboard. Requests
    that change something are refused across sites before the credential is read.
    """
    found = header_credential(request)
    return (login_cookie(request) or found) if found is Reason.token_missing else found


def address_text(request: Request) -> str | None:
    """The address *request* comes from; None if it is unknown."""
    address = address_of(request)
    return None if address is None else format_address(address)
