"""One page of a list screen: its rows, and the addresses of the pages around it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

from gatepass.core.errors import InvalidInput
from gatepass.registry.storage.paging import Page

T = TypeVar("T")


@dataclass(frozen=True)
class ListPage(Generic[T]):
    """What the macros of ``_lists.html`` show.

    Attributes:
        count: how many entries match in all; None if they weren't counted.
        problem: why there are no rows, or "".
        next_url, newest_url: the next and the first page; None where this is the last or first.
    """

    items: list[T]
    count: int | None
    problem: str
    next_url: str | None
    newest_url: str | None

    @property
    def status(self) -> int:
        """The status of the answer."""
        return 422 if self.problem else 200


def list_page(
    fetch: Callable[[], Page[T]], address: Callable[[str], str], cursor: str, *, of: str = "list"
) -> ListPage[T]:
    """The page that *fetch* returns; a page without rows if *cursor* is not valid.

    Args:
        address: the address of the page at a cursor, or of the first page at "".
        of: the name of the list.
    """
    page: Page[T] = Page([], None, 0)
    problem = ""
    try:
        page = fetch()
    except InvalidInput:
        problem = f"This page of the {of} no longer exists." if cursor else ""
    return ListPage(
        page.items,
        page.count,
        problem,
        address(page.next) if page.next else None,
        address("") if cursor else None,
    )


def address_of_page(path: str, query: Mapping[str, str]) -> str:
    """*path* with the parameters of *query* that aren't empty."""
    words = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{words}" if words else path
