"""Opens the installation for a command: settings, catalogue and node."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from gatepass.cli.output import warn_unconfirmed
from gatepass.core.catalogue import Catalogue, CatalogueError, parse_catalogue
from gatepass.core.errors import Misconfigured
from gatepass.node.node import Node, open_node
from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.paging import LARGEST_PAGE, Page, each
from gatepass.registry.storage.schema import SchemaState, schema_state
from gatepass.settings import Settings

T = TypeVar("T")

_LARGEST_CATALOGUE = 1 << 20

_CURRENT: tuple[SchemaState, ...] = ("current",)
_WHAT_TO_DO = {
    "empty": "there is no installation yet: run gatepass init",
    "old": "the database's schema is older than this version of Gatepass: run gatepass migrate",
    "newer": "the database's schema is newer than this version of Gatepass: run the newer version",
}


def catalogue_text(settings: Settings) -> str:
    """The text of the catalogue file in the settings; "" without one.

    Raises:
        Misconfigured: the file can't be read.
    """
    return "" if settings.catalogue is None else read_file(settings.catalogue, "GATEPASS_CATALOGUE")


def read_catalogue(settings: Settings) -> Catalogue:
    """The catalogue.

    Raises:
        Misconfigured: the file can't be read or isn't valid; ``gatepass catalogue check`` lists the
            errors.
    """
    try:
        return parse_catalogue(catalogue_text(settings))
    except CatalogueError as error:
        raise Misconfigured(f"GATEPASS_CATALOGUE: {settings.catalogue}: {error.message}") from None


def read_file(path: Path, what: str) -> str:
    """The text of the file *path*, which errors call *what*."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_CATALOGUE + 1)
        if len(content) > _LARGEST_CATALOGUE:
            raise Misconfigured(f"{what}: {path} must not be larger than 1 MiB")
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Misconfigured(f"{what}: {path} must be UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise Misconfigured(f"{what}: {path} can't be read: {reason}") from None


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
        yield node
    finally:
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
