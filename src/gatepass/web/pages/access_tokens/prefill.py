"""Filling the form of a new token: from a link, or from another token.

``/access-tokens/new?label=…&permissions=…&expires=…&networks=…&domains=…&kind=…`` fills the form
and submits nothing. Anybody may have written the link, so the page says so and names what it asks
for, permissions are chosen only as far as the visitor has them, and texts that aren't a
permission's name are counted, never shown.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gatepass.core.catalogue import Catalogue
from gatepass.core.permissions import NOT_FOR_TOKENS, is_permission, is_wildcard
from gatepass.registry.actor import Actor
from gatepass.registry.input.text import label_problem
from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.layout.resuming import LONGEST_PATH
from gatepass.web.pages.text.forms import Fields, whole_number
from gatepass.web.pages.widgets.expiry import MOST_DAYS, read_written
from gatepass.web.pages.widgets.network_rows import row_of
from gatepass.web.pages.widgets.permission_groups import without_covered
from gatepass.web.pages.widgets.permission_presets import held_of

FIELDS = ("label", "kind", "permissions", "expires", "networks", "domains")

_separators = re.compile(r"[\s,]+").split
#: As ``TokenForm.errors`` calls them.
_CHECKED = ("expires_at", "networks", "domains")


@dataclass(frozen=True)
class LeftOut:
    """Permissions that were asked for and aren't chosen, by why.

    Attributes:
        unknown: the catalogue doesn't have them.
        not_held: the visitor doesn't have them; of a ``resource:*``, what they have is chosen.
        not_for_tokens: no access token can have them.
        unreadable: how many aren't the name of a permission.
    """

    unknown: tuple[str, ...] = ()
    not_held: tuple[str, ...] = ()
    not_for_tokens: tuple[str, ...] = ()
    unreadable: int = 0

    @property
    def in_part(self) -> bool:
        """Whether one that isn't held is a ``resource:*``."""
        return any(map(is_wildcard, self.not_held))

    def __bool__(self) -> bool:
        return bool(self.unknown or self.not_held or self.not_for_tokens or self.unreadable)


@dataclass(frozen=True)
class Link:
    """What a link asked for.

    Attributes:
        given: its fields, each with its values.
        too_long: it is longer than a sign-in would keep, so it filled nothing.
        domains_ignored: it named domains for a token for API, which has none.
    """

    given: dict[str, list[str]] = field(default_factory=dict)
    left_out: LeftOut = LeftOut()
    too_long: bool = False
    domains_ignored: bool = False

    @property
    def days(self) -> int:
        """The number of days that it gives the token; 0 if it says otherwise."""
        (text,) = self.given.get("expires", ["0"])
        days = whole_number(text) or 0
        return days if 0 < days <= MOST_DAYS else 0


def choose_held(
    form: TokenForm, names: Iterable[str], catalogue: Catalogue, actor: Actor
) -> LeftOut:
    """Choose those of *names* in *form* that *actor* can give a token.

    Returns:
        The others.
    """
    chosen: list[str] = []
    unknown: list[str] = []
    not_held: list[str] = []
    not_for_tokens: list[str] = []
    unreadable = 0
    for name in dict.fromkeys(names):
        if not (is_permission(name) or is_wildcard(name)):
            unreadable += 1
        elif name in NOT_FOR_TOKENS:
            not_for_tokens.append(name)
        elif not catalogue.knows(name):
            unknown.append(name)
        else:
            if not actor.may(name):
                not_held.append(name)
            chosen += held_of([name], actor, _for_tokens(catalogue))
    form.permissions = without_covered(chosen)
    return LeftOut(tuple(unknown), tuple(not_held), tuple(not_for_tokens), unreadable)


def fill(
    form: TokenForm, path: str, fields: Fields, catalogue: Catalogue, actor: Actor, now: int
) -> Link | None:
    """Fill *form* from the link *fields*; None if it has no field of a link.

    What can't be read is an error at its field.

    Args:
        path: the link's path and query.
        now: Unix ms.
    """
    given = {name: values for name in FIELDS if (values := _values(fields, name))}
    if not given:
        return None
    form.by_link = True
    if len(path) > LONGEST_PATH:
        return Link(too_long=True)
    errors = {}
    form.label = " ".join(given.get("label", []))
    if form.label and (problem := label_problem(form.label)):
        errors["label"] = problem
    form.networks = [row_of(network) for network in given.get("networks", [])]
    form.domains = given.get("domains", [])
    # Only a token for UI has domains.
    form.kind = "ui" if form.domains else form.kind
    if "kind" in given:
        (form.kind,) = given["kind"]
        if form.kind not in ("api", "ui"):
            form.kind, errors["kind"] = "api", 'Must be "api" or "ui".'
    ignored = bool(form.domains) and form.kind != "ui"
    form.domains = [] if ignored else form.domains
    if "expires" in given:
        try:
            form.expire, form.expires_on = read_written(given["expires"][0], now)
        except ValueError as error:
            errors["expires_at"] = str(error)
    left_out = choose_held(form, given.get("permissions", []), catalogue, actor)
    form.check(now, _CHECKED)
    form.errors |= errors
    return Link(given, left_out, domains_ignored=ignored)


def _values(fields: Fields, name: str) -> list[str]:
    """What a link has of a field: for lists, entries separated by commas or space."""
    if name in ("permissions", "networks", "domains"):
        return [entry for text in fields.all(name) for entry in _separators(text) if entry]
    return [text] if (text := fields.one(name).strip()) else []


def _for_tokens(catalogue: Catalogue) -> list[str]:
    return [name for name in catalogue.names if name not in NOT_FOR_TOKENS]
