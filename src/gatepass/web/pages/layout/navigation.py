"""The dashboard's navigation: the tabs of each section that a visitor may open.

The profile menu links to a section's first tab, and leaves out sections without tabs.
"""

from dataclasses import dataclass

from gatepass.web.pages.layout.visitor import Visitor


@dataclass(frozen=True)
class Tab:
    """One tab: its name, and the path of its page."""

    name: str
    path: str


TOKENS = Tab("Tokens", "/access-tokens")
AUTHENTICATIONS = Tab("Recent Authentications", "/authentications")
PROFILE = Tab("Profile", "/company")
SECURITY = Tab("Security", "/company/security")
TOKEN_POLICY = Tab("Token policy", "/company/token-policy")
USERS = Tab("Users", "/company/users")
SERVICE_ACCOUNTS = Tab("Service accounts", "/company/service-accounts")
ROLES = Tab("Roles", "/company/roles")
WEBHOOKS = Tab("Webhooks", "/company/webhooks")
NODES = Tab("Nodes", "/company/nodes")
VERIFIER_KEYS = Tab("Verifier keys", "/company/verifier-keys")
ADMIN_KEYS = Tab("Admin keys", "/company/admin-keys")
AUDIT_LOG = Tab("Audit log", "/audit-log")
MY_PROFILE = Tab("Profile", "/account")
PASSWORD = Tab("Password", "/account/password")
TWO_FACTOR = Tab("Two-factor", "/account/two-factor")
# No tab of its own: the profile links to it where there is a provider.
IDENTITY = Tab("Sign-in provider", "/account/sign-in-provider")

_COMPANY = (
    (PROFILE, "company:get"),
    (SECURITY, "company:get"),
    (TOKEN_POLICY, "company:get"),
    (USERS, "users:get"),
    (SERVICE_ACCOUNTS, "service-accounts:manage"),
    (ROLES, "roles:get"),
    (WEBHOOKS, "company:webhooks"),
)


def of_tokens(visitor: Visitor) -> tuple[Tab, ...]:
    """The tabs of Access Tokens. An access token has no sign-ins."""
    may_search = visitor.actor.may("access-tokens:search")
    signed_in = visitor.actor.kind != "token"
    return (TOKENS,) * may_search + (AUTHENTICATIONS,) * signed_in


def of_company(visitor: Visitor) -> tuple[Tab, ...]:
    """The tabs of My Company; operators also manage the installation."""
    found = tuple(tab for tab, permission in _COMPANY if visitor.actor.may(permission))
    return found + (NODES, VERIFIER_KEYS, ADMIN_KEYS) * visitor.actor.operator


def of_audit(visitor: Visitor) -> tuple[Tab, ...]:
    """The audit log, which is one page."""
    return (AUDIT_LOG,) if visitor.actor.may("audit:get") else ()


def of_account(visitor: Visitor) -> tuple[Tab, ...]:
    """The tabs of My account, which access tokens can't open."""
    return () if visitor.actor.kind == "token" else (MY_PROFILE, PASSWORD, TWO_FACTOR)
