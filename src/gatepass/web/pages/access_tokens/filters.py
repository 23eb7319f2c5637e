"""The filters of the list of access tokens, as its address has them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gatepass.core.display_text import marked
from gatepass.registry.input.text import search_text
from gatepass.registry.tokens import search as token_search
from gatepass.web.pages.layout.lists import address_of_page

PATH = "/access-tokens"
_STATUSES = ("active", "expired", "deactivated", "any")
_KINDS = ("api", "ui")


@dataclass(frozen=True)
class Filters:
    """The list's filters."""

    q: str = ""
    status: str = "active"
    kind: str = "any"
    owner: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "Filters":
        """The filters in an address or a form. An unknown value means the default."""
        status, kind = query.get("status", ""), query.get("kind", "")
        return cls(
            search_text(query.get("q")),
            status if status in _STATUSES else "active",
            kind if kind in _KINDS else "any",
            query.get("owner", ""),
        )

    @property
    def narrowed(self) -> bool:
        """Whether any filter differs from its default."""
        return self != Filters()

    @property
    def any(self) -> bool:
        """Whether there is any filter, so that all that match can be selected."""
        return any(self.search().values())

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address; "" is a default that it can lack."""
        return {"q": self.q, "status": self.status, "kind": self.kind, "owner": self.owner}

    def address(self, cursor: str = "", **more: str) -> str:
        """The address of the page at *cursor*, or of the first page."""
        return address_of_page(PATH, self.query | {"cursor": cursor, **more})

    @property
    def of_all_owners(self) -> str:
        """The address of the first page without the filter by owner."""
        return replace(self, owner="").address()

    def search(self) -> token_search.Filters:
        """The filters, as the registry takes them."""
        return token_search.Filters(
            q=self.q or None,
            status=None if self.status == "any" else self.status,
            kind=None if self.kind == "any" else self.kind,
            owner=self.owner or None,
        )

    @property
    def no_match(self) -> str:
        """That nothing matches, in a sentence."""
        kind = {"api": "API ", "ui": "UI "}.get(self.kind, "")
        status = "" if self.status == "any" else f"{self.status} "
        if self.q:
            return f"No {status}{kind}token has “{marked(self.q, self.q)}” in its label or id."
        return f"There are no {status}{kind}tokens."
