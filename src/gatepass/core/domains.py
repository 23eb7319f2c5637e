"""Domain entries, and whether a call's Origin matches one of them.

An entry is ``host``, ``host:port`` or ``*.host`` in one canonical spelling: lower-case A-labels
(UTS #46), no trailing dot, no default port. It matches ``https`` origins. Names of this machine,
``localhost`` and all below it, match ``http`` and ``https``, and so does a loopback address, which
must have a port. An entry may also be the complete origin of an app or a browser extension.
"""

import re
from collections.abc import Collection
from functools import cache

import idna
import msgspec
from publicsuffixlist import PublicSuffixList

from gatepass.core.networks import Networks, format_address, parse_address, parse_network

_DEFAULT_PORTS = {"https": 443, "http": 80}
_LONGEST_HOST = 253
# Longer than any origin: a scheme, a host with its trailing dot, a port.
_LONGEST_ORIGIN = 320
_LOOPBACK = Networks.of(map(parse_network, ("127.0.0.0/8", "::1/128")))

_label = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?").fullmatch
# Hosts that the URL standard parses as an IPv4 address, in any of its old notations.
_ends_in_number = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)").fullmatch
_origin = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]+))?"
).fullmatch
# Origins of apps and browser extensions, which the operating system or the browser denies to web
# pages. They name no DNS host, and are compared literally.
_app_origin = re.compile(
    r"(?:capacitor|chrome-extension|ionic|moz-extension|safari-web-extension|tauri)"
    r"://[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::([1-9][0-9]{0,4}))?"
).fullmatch
_no_host = re.compile(r"[*/]").search
_port = re.compile(r"[1-9][0-9]{0,4}").fullmatch
_referer = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)(?:[/?#].*)?").fullmatch
_unprintable = re.compile(r"[\s\x00-\x1f\x7f-\x9f]").search


class InvalidDomain(ValueError):
    """The text isn't a domain entry; the message is a sentence for the person who typed it."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """A web origin (RFC 6454). ``port`` is None where it is the scheme's default."""

    scheme: str
    host: str
    port: int | None

    @property
    def authority(self) -> str:
        """Host and port, spelt as in an entry."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_domain(text: object) -> str:
    """Parse a domain entry as typed; return its canonical spelling.

    Raises:
        InvalidDomain: it isn't a host name, it is an IP address (or a loopback address without a
            port), or it is a wildcard directly below a public suffix, such as ``*.co.uk``, which
            would match sites of other people.
    """
    if not isinstance(text, str):
        raise InvalidDomain("Must be a domain such as shop.example.com.")
    if _is_app_origin(text):
        return text
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() not in _DEFAULT_PORTS:
        raise InvalidDomain(
            "The origin of an app or extension must have the scheme capacitor, chrome-extension, "
            "ionic, moz-extension, safari-web-extension or tauri, and no path."
        )
    if "/" in text:
        raise InvalidDomain("Must have no https:// and no path, like shop.example.com.")
    loopback = _loopback(text)
    if loopback is not None:
        return loopback
    host_text, colon, port_text = text.partition(":")
    wildcard = host_text.startswith("*.")
    host = _canonical_host(host_text.removeprefix("*."))
    if host is None:
        if _loopback_address(text):
            raise InvalidDomain("A loopback address must have a port, like 127.0.0.1:3000.")
        raise InvalidDomain("Must be a domain name such as shop.example.com.")
    if wildcard and colon:
        raise InvalidDomain(
            "A wildcard must have no port: write *.example.com, or each host with its port."
        )
    port = _parse_port(port_text) if colon else None
    if colon and port is None:
        raise InvalidDomain("The port must be a whole number from 1 to 65535.")
    if port == 443 and not _is_local(host):
        port = None
    if wildcard and not _is_local(host) and _public_suffixes().publicsuffix(host) == host:
        raise InvalidDomain(f"Must not cover other people's sites, as *.{host} would.")
    return ("*." if wildcard else "") + (host if port is None else f"{host}:{port}")


def origin_allowed(entries: Collection[str], origin: str) -> bool:
    """Whether *origin* matches one of *entries*, which ``parse_domain`` returned."""
    # Browsers send canonical origins. A host has no asterisk or slash, so an origin with one must
    # not match a wildcard or a complete origin literally.
    authority = origin[8:]
    if origin[:8] == "https://" and authority in entries and not _no_host(authority):
        return True
    if origin in entries and _is_app_origin(origin):
        return True
    parsed = parse_origin(origin)
    if parsed is None or parsed.scheme not in _DEFAULT_PORTS:
        return False
    authority = parsed.authority
    if _is_local(parsed.host) or _loopback_address(parsed.host):
        # This machine: with or without TLS, and an entry may name the default ports.
        if parsed.port is None:
            named = f"{parsed.host}:{_DEFAULT_PORTS[parsed.scheme]}"
            return named in entries or _host_allowed(entries, parsed.host)
        return authority in entries
    return parsed.scheme == "https" and _host_allowed(entries, authority)


def parse_page_origin(text: object) -> str | None:
    """The canonical spelling of the origin of a web page with a domain entry's protection.

    None for anything but an ``https`` origin with a host name, or an ``http`` or ``https`` origin
    of this machine.
    """
    origin = parse_origin(text)
    if origin is None or origin.scheme not in _DEFAULT_PORTS:
        return None
    if _is_local(origin.host) or _loopback_address(origin.host):
        return str(origin)
    secure = origin.scheme == "https" and _canonical_host(origin.host) is not None
    return str(origin) if secure else None


def is_one_of(origins: Collection[str], origin: str | None) -> bool:
    """Whether an Origin header is one of *origins*, which are in their canonical spelling."""
    parsed = parse_origin(origin)
    return parsed is not None and str(parsed) in origins


def _host_allowed(entries: Collection[str], authority: str) -> bool:
    return authority in entries or any(
        entry[0] == "*" and authority.endswith(entry[1:]) for entry in entries
    )


def parse_origin(text: object) -> Origin | None:
    """Parse one serialised origin, ``scheme://host[:port]``; None for anything else.

    That includes ``null``, lists, user-info, paths (even ``/``), escapes, space and control
    characters. The host is normalised like an entry's; unlike an entry it may be an IP address.
    """
    if not isinstance(text, str) or len(text) > _LONGEST_ORIGIN:
        return None
    match = _origin(text)
    if match is None:
        return None
    scheme, host_text, port_text = match.groups()
    host = _canonical_host(host_text) or _address_host(host_text)
    port = None if port_text is None else _parse_port(port_text)
    if host is None or (port_text is not None and port is None):
        return None
    scheme = scheme.lower()
    return Origin(scheme, host, None if port == _DEFAULT_PORTS.get(scheme) else port)


def origin_of_referer(text: object) -> str | None:
    """The origin of a Referer, in its canonical spelling; None if it has none."""
    if not isinstance(text, str) or _unprintable(text):
        return None
    match = _referer(text)
    origin = None if match is None else parse_origin(match[1])
    return None if origin is None else str(origin)


def _is_app_origin(text: str) -> bool:
    match = _app_origin(text)
    return match is not None and (match[1] is None or _parse_port(match[1]) is not None)


def _is_local(host: str) -> bool:
    """Whether *host* names this machine (RFC 6761, 6.3)."""
    return host == "localhost" or host.endswith(".localhost")


def _loopback(text: str) -> str | None:
    """The canonical spelling of ``127.0.0.1:3000`` or ``[::1]:3000``; None for anything else."""
    host_text, colon, port_text = text.rpartition(":")
    host, port = _address_host(host_text), _parse_port(port_text)
    if not colon or host is None or port is None or not _loopback_address(host):
        return None
    return f"{host}:{port}"


def _loopback_address(host: str) -> bool:
    bracketed = host[:1] == "["
    packed = parse_address(host[1:-1] if bracketed else host)
    return packed is not None and bracketed == (len(packed) == 16) and _LOOPBACK.contains(packed)


def _canonical_host(text: str) -> str | None:
    """Lower-case A-labels without a trailing dot; None for an address or an invalid host."""
    # The limit first: normalising is slow on long texts.
    if len(text) > _LONGEST_HOST + 1:
        return None
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    host = text.lower().removesuffix(".")
    if len(host) > _LONGEST_HOST or _ends_in_number(host):
        return None
    return host if all(_is_label(label) for label in host.split(".")) else None


def _is_label(label: str) -> bool:
    if _label(label) is None:
        return False
    if not label.startswith("xn--"):
        return True
    # Punycode that no browser would produce is no host, and could disguise one.
    try:
        return idna.alabel(idna.ulabel(label)) == label.encode("ascii")
    except (idna.IDNAError, UnicodeError):
        return False


def _address_host(text: str) -> str | None:
    bracketed = text[:1] == "["
    address_text = text[1:-1] if bracketed else text
    packed = parse_address(address_text)
    if packed is None or bracketed != (":" in address_text):
        return None
    # Canonical spelling. An IPv4-mapped address stays IPv6, as browsers don't unmap it.
    return f"[{format_address(packed)}]" if len(packed) == 16 else text


def _parse_port(text: str) -> int | None:
    if _port(text) is None:
        return None
    number = int(text)
    return number if number <= 65_535 else None


@cache
def _public_suffixes() -> PublicSuffixList:
    """ICANN's and private suffixes; an unlisted top-level domain counts as a suffix."""
    return PublicSuffixList(accept_unknown=True, only_icann=False)
