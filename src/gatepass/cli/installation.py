"""Opens the installation for a command: its settings, schema and node."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from gatepass.cli.catalogue_file import read_catalogue
from gatepass.cli.output import warn_unconfirmed
from gatepass.core.errors import Misconfigured
from gatepass.node.node import Node, open_node
from gatepass.registry.actor import Actor
from gatepass.registry.grants.published_catalogue import current_catalogue
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import LARGEST_PAGE, Page, each
from gatepass.registry.storage.schema import SchemaState, schema_state
from gatepass.settings import Settings

T = TypeVar("T")

_CURRENT: tuple[SchemaState, ...] = ("current",)
_WHAT_TO_DO = {
    "empty": "there is no installation yet: run gatepass init",
    "old": "the database's schema is older than this version of Gatepass: run gatepass migrate",
    "newer": "the database's schema is newer than this version of Gatepass: run the newer version",
}


@contextmanager
def opened(
    settings: Settings | None = None,
    *,
    accept_clock: bool = True,
    schemas: Collection[SchemaState] = _CURRENT,
) -> Iterator[Node]:
    """The node of this machine, for one command.

    Args:
        settings: read from the environment if not given.
        accept_clock: continue even if the clock is behind the latest time seen. A command makes no
            decisions, so only ``serve`` has a reason to refuse.
        schemas: the states of the schema that the command can work with.

    Raises:
        Misconfigured: there is no installation, or its schema is in another state.
    """
    settings = Settings.read() if settings is None else settings
    if "empty" not in schemas and settings.is_sqlite and not settings.grant_path.exists():
        # Checked first, so that a misspelt directory isn't created.
        raise Misconfigured(f"{settings.grant_path}: {_WHAT_TO_DO['empty']}")
    node = open_node(settings, read_catalogue(settings), accept=accept_clock)
    try:
        state = schema_state(node.database)
        if state not in schemas:
            raise Misconfigured(_WHAT_TO_DO[state])
        if state == "current" and not settings.is_sqlite:
            # This machine may have no copy that has it.
            with node.database.read(node.clock.now()) as reading:
                node.first_catalogue = current_catalogue(reading, node.first_catalogue)
        yield node
    finally:
        # The registry's connection is then the file's last, which empties its write-ahead log.
        node.file.disconnect()
        node.database.close()


@contextmanager
def reading() -> Iterator[Reading]:
    """A read transaction in the installation, for one command."""
    with opened() as node, node.database.read(node.clock.now()) as transaction:
        yield transaction


@contextmanager
def changing() -> Iterator[Change]:
    """A change of the installation, for one command; warns afterwards if it is unconfirmed."""
    with opened() as node, node.database.write(node.clock.now()) as change:
        yield change
    warn_unconfirmed(change)


def every(list_: Callable[..., Page[T]], *, most: int | None = None, **filters: Any) -> list[T]:
    """The records that an operation of the registry lists for the command line, at most *most*."""
    with reading() as transaction:
        page = partial(list_, transaction, Actor.command_line(), limit=LARGEST_PAGE, **filters)
        return list(islice(each(lambda cursor: page(cursor=cursor)), most))
