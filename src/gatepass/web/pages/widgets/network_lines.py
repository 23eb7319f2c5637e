"""A token's networks as lines of text, one a line: to paste a list, or to copy it elsewhere."""

from collections.abc import Sequence

from gatepass.core.networks import InvalidNetwork
from gatepass.registry.input.networks import MOST_NETWORKS
from gatepass.web.pages.widgets.network_rows import line_breaks, row_of
from gatepass.web.pages.widgets.typed_networks import is_plain, read_network

ONE_PER_LINE = "Must be one network per line."

_MOST_PROBLEMS = 10


def lines_of(rows: Sequence[tuple[str, str]]) -> str:
    """The rows as text, as they were typed; blank ones are left out."""
    return "\n".join("/".join(filter(None, row)) for row in rows if any(row))


def too_many(text: str) -> str:
    """That the text has more lines than a token has networks; else ""."""
    count = sum(1 for _, line in _numbered(text))
    if count <= MOST_NETWORKS:
        return ""
    return f"Must be at most {MOST_NETWORKS} networks, not {count:,}."


def rows_of(text: str) -> list[tuple[str, str]]:
    """The lines as rows; an invalid line becomes a row's address, with its message beside it."""
    return [_row(line) for _, line in _numbered(text)]


def read_lines(text: str) -> tuple[list[str], list[str]]:
    """The networks of the lines, and a message for each invalid line: at most ten, and a count of
    the others."""
    networks, problems = [], []
    for number, line in _numbered(text):
        try:
            networks.append(str(read_network(line)))
        except InvalidNetwork as error:
            problems.append(f"Line {number}: {error}")
    more = len(problems) - _MOST_PROBLEMS
    if more > 0:
        rest = f"{more} more {'line' if more == 1 else 'lines'} with errors."
        problems = [*problems[:_MOST_PROBLEMS], rest]
    return networks, problems


def _numbered(text: str) -> list[tuple[int, str]]:
    """The lines that aren't blank, with their numbers from 1."""
    lines = enumerate(line_breaks.split(text), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _row(line: str) -> tuple[str, str]:
    try:
        network = read_network(line)
    except InvalidNetwork:
        return line, ""
    return row_of(line if is_plain(line, network) else str(network))
