"""Detects a dashboard that is open at another origin than ``GATEPASS_PUBLIC_URL``.

Only explains refusals to people and in the log; it admits nothing. On plain http browsers omit
``Sec-Fetch-Site``, so a form of our own page at another origin looks like another site's and is
refused.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

import idna
from starlette.requests import Request

# Only well-formed origins are shown on pages or logged.
_read_origin = re.compile(
    r"https?://(?P<authority>(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?)"
).fullmatch
_DEFAULT_PORT = re.compile(r":(?:80|443)$")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A request from a page at another origin.

    Attributes:
        origin: the page's origin.
        expected: the origin of GATEPASS_PUBLIC_URL.
        is_ours: Host or Sec-Fetch-Site shows that the page is this dashboard's. If False, a proxy
            may have changed the Host, or the page is another site's.
    """

    origin: str
    expected: str
    is_ours: bool


def opened_elsewhere(request: Request, public_url: str) -> Elsewhere | None:
    """The other origin that *request* was sent from.

    None if it is the expected one, is unknown, or certainly another site's.
    """
    origins = request.headers.getlist("origin")
    found = _read_origin(origins[0].lower()) if len(origins) == 1 else None
    expected = origin_of(public_url)
    said = request.headers.getlist("sec-fetch-site")
    if found is None or found[0] == expected or said not in ([], ["same-origin"]):
        return None
    named = request.headers.getlist("host") + request.headers.getlist("x-forwarded-host")
    hosts = {_DEFAULT_PORT.sub("", host.strip().lower()) for host in named}
    if said or _DEFAULT_PORT.sub("", found["authority"]) in hosts:
        return Elsewhere(found[0], expected, is_ours=True)
    # At a loopback address browsers send Sec-Fetch-Site, so the page wasn't opened there.
    if expected.partition("://")[2] in hosts and not is_loopback(expected):
        return None
    return Elsewhere(found[0], expected, is_ours=False)


@lru_cache(maxsize=8)
def origin_of(url: str) -> str:
    """The origin of *url* as browsers write it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode("ascii")
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_loopback(origin: str) -> bool:
    """Whether *origin* is on this machine."""
    host = urlsplit(origin).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
