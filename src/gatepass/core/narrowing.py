"""Least privilege: the narrowest limits of an access token that would have sufficed for its calls.

A limit is narrowed only if it is known what all calls needed of it. Calls that were too many to be
told apart show nothing, so every limit then stays as it is.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from gatepass.core.catalogue import CONTROL_PLANE
from gatepass.core.domains import InvalidDomain, origin_allowed, parse_domain
from gatepass.core.networks import parse_network
from gatepass.core.permissions import covers, is_wildcard, resource_wildcard
from gatepass.core.replay import SeenCall

#: A list of more addresses says nothing about the programs behind them: networks then stay.
MOST_ADDRESSES = 100

_OWN = frozenset(each.name for each in CONTROL_PLANE)
_OWN_WILDCARDS = frozenset(map(resource_wildcard, _OWN))


class Limits(NamedTuple):
    """What an access token may do, and from where, as its record has it.

    Attributes:
        networks, domains: empty is any.
    """

    permissions: tuple[str, ...]
    networks: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


class Narrowed(NamedTuple):
    """The narrowest limits that would have sufficed.

    Attributes:
        unused: the entries of the present limits that no call needed.
    """

    limits: Limits
    unused: Limits


def narrowed(kind: str, present: Limits, calls: Collection[SeenCall]) -> Narrowed:
    """Narrow the *present* limits of a token to what its *calls* needed.

    Args:
        kind: of the token.
        calls: all that were allowed. Those that the present limits no longer allow need nothing.
    """
    permissions = _permissions(present.permissions, calls)
    networks = _networks(present.networks, calls)
    domains = _domains(present.domains, calls) if kind == "ui" else present.domains
    limits = Limits(permissions, networks, domains)
    return Narrowed(limits, _unused(present, limits))


def is_narrower(limits: Limits, than: Limits) -> bool:
    """Whether *limits* allow less *than* others, and nothing else."""
    return list(map(set, limits)) != list(map(set, than)) and all(
        (
            all(covers(than.permissions, name) for name in limits.permissions),
            _within(limits.networks, than.networks, _network_within),
            _within(limits.domains, than.domains, _domain_within),
        )
    )


class _Range(NamedTuple):
    """A network as its ends, which are cheap to compare."""

    width: int
    first: bytes
    last: bytes
    text: str

    @classmethod
    def of(cls, text: str) -> "_Range":
        network = parse_network(text)
        return cls(len(network.address), network.first, network.last, str(network))

    def holds(self, other: "_Range") -> bool:
        """Whether all of *other* is in it."""
        return self.width == other.width and self.first <= other.first and other.last <= self.last


def _permissions(present: Sequence[str], calls: Iterable[SeenCall]) -> tuple[str, ...]:
    needed: set[str] = set()
    for call in calls:
        if not call.apart:
            return tuple(present)
        if call.permission is None:
            # Gatepass's own API, which doesn't say what the call needed.
            needed.update(name for name in present if name in _OWN or name in _OWN_WILDCARDS)
        else:
            names = (call.permission, call.second_permission)
            needed.update(name for name in names if name is not None and covers(present, name))
    kept = {name for name in needed if is_wildcard(name) or resource_wildcard(name) not in needed}
    # A token has at least one.
    return tuple(sorted(kept)) if kept and kept != set(present) else tuple(present)


def _networks(present: Sequence[str], calls: Iterable[SeenCall]) -> tuple[str, ...]:
    seen: set[str] = set()
    for call in calls:
        # With a list, a call from an unknown address would be refused.
        if not call.apart or call.address is None:
            return tuple(present)
        seen.add(call.address)
    if len(seen) > MOST_ADDRESSES:
        return tuple(present)
    found = set(map(_Range.of, seen))
    if present:
        # Of two networks one holds the other, or they have nothing in common.
        pairs = [(each, one) for one in map(_Range.of, present) for each in found]
        found = {each for each, one in pairs if one.holds(each)}
        found |= {one for each, one in pairs if each.holds(one)}
    kept = [each for each in found if not any(one.holds(each) for one in found - {each})]
    limited = tuple(each.text for each in sorted(kept))
    return limited if limited and set(limited) != set(present) else tuple(present)


def _domains(present: Sequence[str], calls: Iterable[SeenCall]) -> tuple[str, ...]:
    found: set[str] = set()
    for call in calls:
        if not call.apart or call.origin is None:
            return tuple(present)
        if present and not origin_allowed(present, call.origin):
            continue
        domain = domain_of(call.origin)
        if domain is None:
            return tuple(present)
        found.add(domain)
    if not found or found == set(present):
        return tuple(present)
    return tuple(sorted(found))


def domain_of(origin: str) -> str | None:
    """The narrowest domain entry that allows an origin; None if none can."""
    for text in (origin.partition("://")[2], origin):
        try:
            domain = parse_domain(text)
        except InvalidDomain:
            continue
        if origin_allowed((domain,), origin):
            return domain
    return None


def _unused(present: Limits, limits: Limits) -> Limits:
    """The entries of *present* within which none of *limits* is."""
    networks = list(map(_Range.of, limits.networks))
    return Limits(
        tuple(
            name
            for name in present.permissions
            if not any(covers((name,), each) for each in limits.permissions)
        ),
        tuple(
            each.text
            for each in map(_Range.of, present.networks)
            if not any(map(each.holds, networks))
        ),
        tuple(
            domain
            for domain in present.domains
            if not any(_domain_within(each, (domain,)) for each in limits.domains)
        ),
    )


def _within(
    entries: Sequence[str], wider: Sequence[str], is_within: Callable[[str, Sequence[str]], bool]
) -> bool:
    """Whether a restriction to *entries* allows nothing that one to *wider* doesn't."""
    return not wider or (bool(entries) and all(is_within(each, wider) for each in entries))


def _network_within(network: str, wider: Sequence[str]) -> bool:
    its = _Range.of(network)
    return any(_Range.of(each).holds(its) for each in wider)


def _domain_within(domain: str, wider: Sequence[str]) -> bool:
    return domain in wider or ("*" not in domain and origin_allowed(wider, f"https://{domain}"))
