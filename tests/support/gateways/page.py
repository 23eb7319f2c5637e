"""The configuration files that a page in docs shows."""

import re
from pathlib import Path

_DOCS = Path(__file__).parents[3] / "docs/how-to/gateways"
# A block whose first line is a comment with the path of a file.
_file = re.compile(r"^```\w+\n((?:#|--) (?:/[\w.-]+)*?/?([\w.-]+\.\w+|\w+)\n.*?)^```$", re.S | re.M)


def files(name: str) -> dict[str, str]:
    """The files on the page of the gateway *name*, by their names without directories."""
    text = (_DOCS / f"{name}.md").read_text()
    return {found[2]: found[1] for found in _file.finditer(text)}
