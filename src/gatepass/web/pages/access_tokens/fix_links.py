"""Fixes of a refused call, with the forms that make them, or the people who can."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from gatepass.core.grants import EXTERNAL, USER
from gatepass.registry.directory.people_holding import people_holding
from gatepass.registry.explanations.change import OF_TOKEN, Change
from gatepass.registry.explanations.fixes import Fix
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.suggested import query_of
from gatepass.web.pages.layout.navigation import SECURITY, SERVICE_ACCOUNTS, USERS
from gatepass.web.pages.layout.screen import Screen

_ASKED = 3


@dataclass(frozen=True)
class OfferedFix:
    """A fix as a page offers it.

    Attributes:
        summary: what to do.
        forms: (name, path) of each form that makes a part of it, filled in, if the visitor may.
        ask: the names of people who may, if the visitor may not.
        note: why there is neither.
    """

    summary: str
    forms: tuple[tuple[str, str], ...] = ()
    ask: tuple[str, ...] = ()
    note: str = ""


def offered(screen: Screen, reading: Reading, token: AccessToken, fix: Fix) -> OfferedFix:
    """*fix* as the visitor can make it, or others."""
    summary, forms, held = fix.summary, tuple(_forms(token, fix.change)), fix.held
    if token.status == "expired":
        # It can't be changed any more.
        summary = "Create a replacement of the token."
        forms = ((summary, f"/access-tokens/new?replace={token.id}"),)
        held = frozenset(("access-tokens:create", *token.permissions))
    if not forms:
        return OfferedFix(summary, note="The product that the owner comes from can do this.")
    if all(screen.visitor.may_change(name) for name in held):
        return OfferedFix(summary, forms)
    people = people_holding(reading, token.company, held, most=_ASKED)
    if not people:
        return OfferedFix(summary, note="Nobody in the company may do this at the moment.")
    return OfferedFix(summary, ask=tuple(each.name for each in people))


def _forms(token: AccessToken, change: Change) -> Iterator[tuple[str, str]]:
    if any(name in change for name in OF_TOKEN):
        yield "Edit the token", f"/access-tokens/{token.id}/edit?{query_of(token, change)}"
    if "role" in change and token.owner.type != EXTERNAL:
        users = token.owner.type == USER
        page = "role" if users else "edit"
        path = f"{(USERS if users else SERVICE_ACCOUNTS).path}/{token.owner.id}/{page}"
        yield "Change the owner's role", f"{path}?role={quote(change['role'])}"
    if "allowlist" in change:
        # A fix adds one entry, the last.
        added = urlencode({"add": change["allowlist"][-1].network})
        yield "Edit the allowlist", f"{SECURITY.path}?{added}"
