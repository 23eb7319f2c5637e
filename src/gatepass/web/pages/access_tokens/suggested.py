"""A link to the form of a token with a change filled in, which isn't saved by opening it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, cast
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from gatepass.core.catalogue import Catalogue
from gatepass.core.domains import InvalidDomain, parse_domain
from gatepass.core.networks import InvalidNetwork, parse_network
from gatepass.registry.explanations.change import Change
from gatepass.registry.tokens.records import AccessToken
from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.text.local_times import written
from gatepass.web.pages.widgets.expiry import AT, NEVER
from gatepass.web.pages.widgets.network_rows import row_of
from gatepass.web.times import format_time, parse_time

_ADDED: Mapping[str, str] = {
    "add_network": "networks",
    "add_domain": "domains",
    "add_permission": "permissions",
}
_EXPIRES = "expires_at"


def query_of(token: AccessToken, change: Change) -> str:
    """The query of a link to the form with what *change* adds to *token*."""
    return urlencode(list(_parameters(token, change)))


def _parameters(token: AccessToken, change: Change) -> Iterator[tuple[str, str]]:
    for parameter, field in _ADDED.items():
        present = getattr(token, field)
        wanted = cast(Mapping[str, Any], change).get(field, ())
        yield from ((parameter, each) for each in wanted if each not in present)
    if "expires_at" in change:
        until = change["expires_at"]
        yield _EXPIRES, NEVER if until is None else format_time(until)


def fill_in(form: TokenForm, query: QueryParams, catalogue: Catalogue) -> bool:
    """Add what *query* suggests to *form*; whether it suggests anything.

    What isn't valid is left out: a link is no input of the visitor's.
    """
    before = form.networks[:], form.domains[:], form.permissions[:], form.expire, form.expires_on
    for text in query.getlist("add_network"):
        with suppress(InvalidNetwork):
            form.networks.append(row_of(str(parse_network(text))))
    for text in query.getlist("add_domain") if form.kind == "ui" else ():
        with suppress(InvalidDomain):
            form.domains.append(parse_domain(text))
    for name in query.getlist("add_permission"):
        if catalogue.knows(name) and name not in form.permissions:
            form.permissions.append(name)
    if query.get(_EXPIRES) == NEVER:
        form.expire = NEVER
    elif _EXPIRES in query:
        with suppress(ValueError):
            form.expire, form.expires_on = AT, written(parse_time(query[_EXPIRES]))
    return before != (
        form.networks,
        form.domains,
        form.permissions,
        form.expire,
        form.expires_on,
    )
