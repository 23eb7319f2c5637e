"""Where events may be sent: the URLs of webhooks."""

import re

from gatepass.core.domains import Origin, parse_origin
from gatepass.core.networks import Networks, parse_address
from gatepass.core.reachability import reachable

LONGEST_URL = 2_000

_PORTS = "Must have no port, 443, or one from 1024 to 65535."
# Visible ASCII, without what browsers would rewrite.
_url = re.compile(r"(https://[^/?#\\]+)([/?][!-~]*)?").fullmatch


class InvalidURL(ValueError):
    """The text can't be a webhook's URL; the message is a sentence for the person who typed it."""


def parse_url(text: object, networks: Networks | None) -> str:
    """The canonical spelling of a webhook's URL.

    A name's addresses are looked up, and checked, at each delivery.

    Args:
        networks: what an operator may use beside globally reachable addresses.

    Raises:
        InvalidURL: it isn't one.
    """
    if not isinstance(text, str) or len(text) > LONGEST_URL:
        raise InvalidURL(f"Must be a URL of at most {LONGEST_URL:,} characters.")
    scheme, _, rest = text.partition("://")
    match = _url(f"{scheme.lower()}://{rest}")
    if match is None or "#" in rest or "\\" in rest:
        raise InvalidURL("Must be an https URL such as https://hooks.example.com/gatepass.")
    if "@" in match[1]:
        raise InvalidURL("Must have no user name or password.")
    origin = parse_origin(match[1])
    if origin is None:
        raise InvalidURL("Must have a host name, such as hooks.example.com.")
    if origin.port is not None and origin.port < 1024:
        raise InvalidURL(_PORTS)
    address = parse_address(origin.host.strip("[]"))
    if address is not None and not reachable(address, networks):
        raise InvalidURL("Must have a globally reachable address.")
    path = match[2] or "/"
    return f"{origin}{path if path.startswith('/') else '/' + path}"


def host_of(url: str) -> str:
    """The host, with the port if it isn't 443, of a URL that ``parse_url`` returned.

    The rest of a URL may be a secret, and belongs in no log.
    """
    return origin_of(url).authority


def origin_of(url: str) -> Origin:
    """The origin of a URL that ``parse_url`` returned."""
    origin = parse_origin(url[: url.index("/", len("https://"))])
    assert origin is not None
    return origin
