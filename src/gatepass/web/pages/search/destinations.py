"""The pages that a search finds: their names, and the words that people look for them by."""

from dataclasses import dataclass

from gatepass.registry.input.text import folded
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.navigation import Tab
from gatepass.web.pages.layout.visitor import Visitor


@dataclass(frozen=True)
class Destination:
    """A page.

    Attributes:
        section: where the navigation has it.
        words: more words that find it.
    """

    name: str
    path: str
    section: str
    words: str = ""


_WORDS = {
    navigation.TOKENS: "access tokens keys credentials list",
    navigation.AUTHENTICATIONS: "sign-ins sessions logins",
    navigation.PROFILE: "company name rename",
    navigation.SECURITY: "allowlist whitelist ip addresses networks bits vpn locked out",
    navigation.TOKEN_POLICY: "rules longest life approval unused",
    navigation.USERS: "people invitations members colleagues",
    navigation.SERVICE_ACCOUNTS: "owners programs machines",
    navigation.ROLES: "permissions",
    navigation.WEBHOOKS: "events deliveries hooks",
    navigation.NODES: "servers replicas verifiers sync",
    navigation.VERIFIER_KEYS: "gateway gpvk",
    navigation.ADMIN_KEYS: "backend provisioning gpak",
    navigation.AUDIT_LOG: "events history who changed export",
    navigation.MY_PROFILE: "account name e-mail appearance theme dark light",
    navigation.PASSWORD: "account change",
    navigation.TWO_FACTOR: "account 2fa totp second factor authenticator recovery codes",
}


def destinations(visitor: Visitor) -> list[Destination]:
    """The pages that *visitor* may open, in the order of the navigation."""
    sections: tuple[tuple[str, tuple[Tab, ...]], ...] = (
        ("Access Tokens", navigation.of_tokens(visitor)),
        ("My Company", navigation.of_company(visitor)),
        ("", navigation.of_audit(visitor)),
        ("My account", navigation.of_account(visitor)),
    )
    found = [
        Destination(tab.name, tab.path, section, _WORDS.get(tab, ""))
        for section, tabs in sections
        for tab in tabs
    ]
    found += [
        Destination(name, path, section, words)
        for permission, name, path, section, words in _ACTIONS
        if visitor.may_change(permission)
    ]
    docs = Destination("API documentation", navigation.DOCS.path, "", "docs rest reference openapi")
    return [*found, docs]


def matching(visitor: Visitor, q: str) -> list[Destination]:
    """The pages whose names or words have each word of *q*, those whose names begin with it first;
    all of them if it is blank."""
    start, wanted = folded(q), folded(q).split()
    found = [
        page
        for page in destinations(visitor)
        if all(word in folded(f"{page.name} {page.section} {page.words}") for word in wanted)
    ]
    return sorted(found, key=lambda page: not folded(page.name).startswith(start))


_ACTIONS = (
    (
        "access-tokens:create",
        "Create an access token",
        "/access-tokens/new",
        "Access Tokens",
        "new make key",
    ),
    (
        "access-requests:decide",
        "Access requests",
        "/access-requests",
        "Access Tokens",
        "ask for access permission agent program allow deny exception",
    ),
    ("users:manage", "Invite someone", "/company/users/invite", "My Company", "new user person"),
    ("roles:manage", "Create a role", "/company/roles/new", "My Company", "new permissions"),
)
