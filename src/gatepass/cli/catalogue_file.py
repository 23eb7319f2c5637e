"""Reads the catalogue file."""

from pathlib import Path

from gatepass.core.catalogue import Catalogue, CatalogueError, parse_catalogue
from gatepass.core.errors import Misconfigured
from gatepass.settings import Settings

_LARGEST = 1 << 20


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


def read_file(path: Path, what: str, most: int = _LARGEST) -> str:
    """The text of the file *path*, which errors call *what*; at most *most* bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise Misconfigured(f"{what}: {path} must not be larger than {most >> 20} MiB")
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Misconfigured(f"{what}: {path} must be UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a file name"
        raise Misconfigured(f"{what}: {path} can't be read: {reason}") from None
