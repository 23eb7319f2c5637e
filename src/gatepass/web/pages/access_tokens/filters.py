"""The filters of the list of access tokens, as its address has them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from gatepass.core import credentials
from gatepass.core.display_text import marked
from gatepass.core.permissions import is_permission, is_wildcard
from gatepass.registry.input.text import search_text
from gatepass.registry.tokens.lists.selection import NETWORKS
from gatepass.registry.tokens.lists.selection import Filters as TokenFilters
from gatepass.web.pages.layout.lists import address_of_page
from gatepass.web.pages.text.times import DAY

PATH = "/access-tokens"
EXPIRING_DAYS = 7
UNUSED_DAYS = 60
#: Tokens to look at, all of them active: a title for each value of the parameter ``show``.
SHOWN = {
    "expiring": f"Expiring in {EXPIRING_DAYS} days",
    "never-used": "Never used",
    "unused": f"Unused {UNUSED_DAYS} days",
    "no-limits": "No limits",
}
# The order of what is to be looked at first, unless another is chosen.
_SORT_OF = {"expiring": "expires", "unused": "used-desc"}
#: The registry's order, and a title, for each value of the parameter ``sort``.
SORTS = {
    "": ("created_at", "desc", "Newest"),
    "oldest": ("created_at", "asc", "Oldest"),
    "label": ("label", "asc", "Label, A to Z"),
    "label-desc": ("label", "desc", "Label, Z to A"),
    "expires": ("expires_at", "asc", "Expires first"),
    "expires-desc": ("expires_at", "desc", "Expires last"),
    "used": ("last_used", "desc", "Used last"),
    "used-desc": ("last_used", "asc", "Unused longest"),
}
# The values of ``sort`` that a column's heading switches between, the first one first.
_COLUMNS = {
    "label": ("label", "label-desc"),
    "created_at": ("", "oldest"),
    "expires_at": ("expires", "expires-desc"),
    "last_used": ("used", "used-desc"),
}
_STATUSES = ("active", "pending", "expired", "deactivated", "any")
_KINDS = ("api", "ui", "decoy")


@dataclass(frozen=True)
class Heading:
    """A column's heading, which sorts by it.

    Attributes:
        url: of the list in the order that pressing it chooses.
        order: ``ascending`` or ``descending`` if the list is sorted by it; else "".
    """

    url: str
    order: str


@dataclass(frozen=True)
class Filters:
    """The list's filters and its order.

    Attributes:
        owner, made_by: ids.
        network: ``any``, only tokens with networks; ``none``, only those without; or "".
        show: one of ``SHOWN``, or "".
        sort: one of ``SORTS``.
    """

    q: str = ""
    status: str = "active"
    kind: str = "any"
    owner: str = ""
    made_by: str = ""
    permission: str = ""
    network: str = ""
    show: str = ""
    sort: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filters":
        """The filters in an address or a form. An unknown value means the default."""
        status, kind = query.get("status", ""), query.get("kind", "")
        permission = query.get("permission", "")
        show, sort = query.get("show", ""), query.get("sort", "")
        network = query.get("network", "")
        return cls(
            _searched(query.get("q")),
            status if status in _STATUSES else "active",
            kind if kind in _KINDS else "any",
            query.get("owner", ""),
            query.get("made_by", ""),
            permission if is_permission(permission) or is_wildcard(permission) else "",
            network if network in NETWORKS else "",
            show if show in SHOWN else "",
            sort if sort in SORTS else "",
        )

    @property
    def narrowed(self) -> bool:
        """Whether any filter differs from its default."""
        return replace(self, sort="") != Filters()

    @property
    def any(self) -> bool:
        """Whether there is any filter, so that all that match can be selected."""
        return any(self.search(0).values())

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address; "" is a default that it can lack."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def address(self, cursor: str = "", **more: str) -> str:
        """The address of the page at *cursor*, or of the first page."""
        return address_of_page(PATH, self.query | {"cursor": cursor, **more})

    def file(self, format: str) -> str:
        """The address of the list as a file."""
        return address_of_page(f"{PATH}/export", self.query | {"format": format})

    @property
    def of_all_owners(self) -> str:
        """The address of the first page without the filter by owner."""
        return replace(self, owner="").address()

    @property
    def is_detailed(self) -> bool:
        """Whether a filter is set that the page shows under *More filters*."""
        return bool(self.owner or self.made_by or self.permission or self.network)

    def heading(self, column: str) -> Heading:
        """The heading of a column, one of ``_COLUMNS``."""
        first, second = _COLUMNS[column]
        order = {"asc": "ascending", "desc": "descending"}[SORTS[self.sort][1]]
        shown = order if self.sort in (first, second) else ""
        return Heading(replace(self, sort=second if self.sort == first else first).address(), shown)

    def showing(self, show: str) -> str:
        """The address of the list with the tokens of *show*, one of ``SHOWN``, or of all."""
        chosen = "" if self.sort == _SORT_OF.get(self.show, "") else self.sort
        show = "" if show == self.show else show
        return Filters(show=show, sort=chosen or _SORT_OF.get(show, "")).address()

    @property
    def pending(self) -> str:
        """The address of the list with the pending tokens; with the active ones if it has those."""
        status = "active" if self.status == "pending" else "pending"
        return Filters(status=status, sort=self.sort).address()

    def search(self, now: int) -> TokenFilters:
        """The filters, as the registry takes them.

        Args:
            now: Unix ms; ``show`` counts days from or to it.
        """
        found = TokenFilters(
            q=self.q or None,
            status=None if self.status == "any" else self.status,
            kind=None if self.kind == "any" else self.kind,
            owner=self.owner or None,
            created_by=self.made_by or None,
            permission=self.permission or None,
            network=self.network or None,
        )
        if self.show == "expiring":
            found["expires_before"] = now + EXPIRING_DAYS * DAY
        elif self.show == "never-used":
            found["used"] = "never"
        elif self.show == "unused":
            found |= TokenFilters(used="ever", unused_since=now - UNUSED_DAYS * DAY)
        elif self.show == "no-limits":
            found["network"] = "none"
        return found

    @property
    def no_match(self) -> str:
        """That nothing matches, in a sentence."""
        kind = {"api": "API ", "ui": "UI "}.get(self.kind, "")
        noun = "decoy" if self.kind == "decoy" else "token"
        status = "" if self.status == "any" else f"{self.status} "
        if self.q:
            return f"No {status}{kind}{noun} has “{marked(self.q, self.q)}” in its label or id."
        return f"There are no {status}{kind}{noun}s."


def _searched(q: str | None) -> str:
    """What to search for; of a token's whole text its id, so that no link repeats the secret."""
    text = search_text(q)
    pasted = credentials.parse(text)
    return text if pasted is None else pasted.id
