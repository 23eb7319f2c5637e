"""The dashboard's navigation: its sections, and the tabs of each that a visitor may open.

The bar and the profile menu link to a section's first tab, and leave out sections without tabs.
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
# No tab of its own: the service accounts link to it where there are some.
EXTERNAL_OWNERS = Tab("External owners", "/company/external-owners")
ROLES = Tab("Roles", "/company/roles")
WEBHOOKS = Tab("Webhooks", "/company/webhooks")
CATALOGUE = Tab("Catalogue", "/company/catalogue")
NODES = Tab("Nodes", "/company/nodes")
VERIFIER_KEYS = Tab("Verifier keys", "/company/verifier-keys")
ADMIN_KEYS = Tab("Admin keys", "/company/admin-keys")
AUDIT_LOG = Tab("Audit log", "/audit-log")
MY_PROFILE = Tab("Profile", "/account")
PASSWORD = Tab("Password", "/account/password")
TWO_FACTOR = Tab("Two-factor", "/account/two-factor")
# No tab of its own: the profile links to it where there is a provider.
IDENTITY = Tab("Sign-in provider", "/account/sign-in-provider")

#: The API reference, which is open to everyone.
DOCS = Tab("Docs", "/v1/docs")


@dataclass(frozen=True)
class Section:
    """One section of the dashboard, as a visitor may open it.

    Attributes:
        icon: the name of its drawing.
        path: of its first tab.
    """

    name: str
    icon: str
    path: str


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
    return found + (CATALOGUE, NODES, VERIFIER_KEYS, ADMIN_KEYS) * visitor.actor.operator


def of_audit(visitor: Visitor) -> tuple[Tab, ...]:
    """The audit log, which is one page."""
    return (AUDIT_LOG,) if visitor.actor.may("audit:get") else ()


def of_account(visitor: Visitor) -> tuple[Tab, ...]:
    """The tabs of My account, which access tokens can't open."""
    return () if visitor.actor.kind == "token" else (MY_PROFILE, PASSWORD, TWO_FACTOR)


def sections(visitor: Visitor) -> tuple[Section, ...]:
    """The sections that *visitor* may open, in the order of the profile menu."""
    tabs = (
        ("Access Tokens", "key", of_tokens(visitor)),
        ("My Company", "company", of_company(visitor)),
        ("Audit log", "list", of_audit(visitor)),
        ("My account", "person", of_account(visitor)),
    )
    return tuple(Section(name, icon, reached[0].path) for name, icon, reached in tabs if reached)


def in_bar(visitor: Visitor) -> tuple[Section, ...]:
    """The entries of the bar: the sections but My account, which is in the profile menu alone, and
    the documentation."""
    shown = tuple(section for section in sections(visitor) if section.name != "My account")
    return (*shown, Section(DOCS.name, "book", DOCS.path))


def section_of(path: str) -> str:
    """The name of the section that the page at *path* belongs to, or ""."""
    return _SECTION_OF.get(path if path == DOCS.path else path.split("/")[1], "")


# By the first part of the path, but for the documentation.
_SECTION_OF = {
    "access-tokens": "Access Tokens",
    "authentications": "Access Tokens",
    "access-requests": "Access Tokens",
    "decisions": "Access Tokens",
    "company": "My Company",
    "audit-log": "Audit log",
    "account": "My account",
    DOCS.path: DOCS.name,
}
