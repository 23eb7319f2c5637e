"""Load a catalogue file for an application that embeds Gatepass."""

from pathlib import Path

from gatepass.core.catalogue import Catalogue, parse_catalogue
from gatepass.core.errors import Misconfigured


def read_catalogue(path: str | Path) -> Catalogue:
    """Read a catalogue file.

    Raises:
        Misconfigured: the file can't be read.
        CatalogueError: its contents are invalid.
    """
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise Misconfigured(f"the catalogue {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"the catalogue {path} isn't UTF-8 text") from error
    return parse_catalogue(text)
