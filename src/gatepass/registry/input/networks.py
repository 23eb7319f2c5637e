"""Strict parsing of a credential's networks."""

from gatepass.core.networks import InvalidNetwork, parse_network
from gatepass.registry.input.text import Problems, read_items

MOST_NETWORKS = 500


def read_networks(value: object, problems: Problems) -> list[str]:
    """The networks of the field ``networks`` in canonical form; errors are added to *problems*."""
    found: dict[str, None] = {}
    for number, text in enumerate(read_items("networks", value, MOST_NETWORKS, problems)):
        try:
            found[str(parse_network(text))] = None
        except InvalidNetwork as error:
            problems.add(f"networks.{number}", str(error))
    return list(found)
