"""Where things are: the tabs of each part of the dashboard, as far as a visitor may go there.

The profile menu leads to the first tab of a part; a part without any is left out.
"""

from dataclasses import dataclass

from gatepass.web.pages.layout.visitor import Visitor


@dataclass(frozen=True)
class Place:
    """One tab: its name, and the path of its page."""

    name: str
    path: str


TOKENS = Place("Tokens", "/access-tokens")
AUTHENTICATIONS = Place("Recent Authentications", "/authentications")
PROFILE = Place("Profile", "/company")
SECURITY = Place("Security", "/company/security")
USERS = Place("Users", "/company/users")
ROLES = Place("Roles", "/company/roles")
NODES = Place("Nodes", "/company/nodes")
AUDIT_LOG = Place("Audit log", "/audit-log")
MY_PROFILE = Place("Profile", "/account")
PASSWORD = Place("Password", "/account/password")
TWO_FACTOR = Place("Two-factor", "/account/two-factor")

_COMPANY = (
    (PROFILE, "company:get"),
    (SECURITY, "company:get"),
    (USERS, "users:get"),
    (ROLES, "roles:get"),
)


def of_tokens(visitor: Visitor) -> tuple[Place, ...]:
    """Access Tokens: a person's sign-ins are their own, an access token has none."""
    may_search = visitor.actor.may("access-tokens:search")
    signed_in = visitor.actor.kind != "token"
    return (TOKENS,) * may_search + (AUTHENTICATIONS,) * signed_in


def of_company(visitor: Visitor) -> tuple[Place, ...]:
    """My Company; what belongs to the installation is for operators."""
    found = tuple(place for place, permission in _COMPANY if visitor.actor.may(permission))
    return found + (NODES,) * visitor.actor.operator


def of_audit(visitor: Visitor) -> tuple[Place, ...]:
    """The audit log."""
    return (AUDIT_LOG,) if visitor.actor.may("audit:get") else ()


def of_account(visitor: Visitor) -> tuple[Place, ...]:
    """My account: a person's alone."""
    return () if visitor.actor.kind == "token" else (MY_PROFILE, PASSWORD, TWO_FACTOR)
