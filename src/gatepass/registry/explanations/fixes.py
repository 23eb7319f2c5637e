"""What would make a refused call possible: the smallest changes with which it is allowed.

Each is found by asking again: a change that removes the first obstacle is explained, and if another
check fails then, extended. So a fix is never a guess.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from gatepass.core.approval import needing_approval
from gatepass.core.display_text import isolated
from gatepass.core.domains import InvalidDomain, origin_of_referer, parse_domain, parse_origin
from gatepass.core.explanation import Explanation, utc_text
from gatepass.core.grants import EXTERNAL, USER
from gatepass.core.networks import Network
from gatepass.core.permissions import EVERYTHING, NOT_FOR_TOKENS, covers, is_permission
from gatepass.registry.directory import role_records
from gatepass.registry.directory.role_records import Role
from gatepass.registry.explanations.asked import Asked
from gatepass.registry.explanations.change import Change, may_have
from gatepass.registry.input.expiry import LATEST_EXPIRY
from gatepass.registry.input.networks import MOST_NETWORKS
from gatepass.registry.input.permissions import MOST_PERMISSIONS
from gatepass.registry.network_policy.allowlist_entries import MOST_ENTRIES, Entry
from gatepass.registry.tokens.input import MOST_DOMAINS
from gatepass.registry.tokens.rotation_records import LONGEST_CLOSING_S

FixName = Literal[
    "add_network",
    "add_domain",
    "add_permission",
    "extend_expiry",
    "add_allowlist_entry",
    "change_role",
]
MOST = 5

#: Permissions to change something, the strongest first.
_STRENGTH = ("company:modify", "users:manage", "service-accounts:manage", "access-tokens:modify")


@dataclass(frozen=True, slots=True)
class Fix:
    """A change with which a refused call is allowed.

    Attributes:
        fix: what removes the first obstacle.
        summary: the change in words, as something to do.
        change: all of it, with what was asked about.
        permission: the strongest that making it takes.
        held: all permissions that one must hold to make it.
    """

    fix: FixName
    summary: str
    change: Change
    permission: str
    held: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Step:
    """One member of a change.

    Attributes:
        what: in words, after "to".
        permission: that changing it takes.
        held: what one must hold besides.
    """

    fix: FixName
    member: str
    value: Any
    what: str
    permission: str = "access-tokens:modify"
    held: Sequence[str] = ()


def find(asked: Asked) -> list[Fix]:
    """At most ``MOST`` fixes of a call, those with the fewest members first; none if it is allowed.

    None removes checks 3, 5 and 9, or what can't be read of a call.
    """
    found: list[Fix] = []
    untried: deque[tuple[Change, tuple[_Step, ...]]] = deque([(asked.change, ())])
    while untried and len(found) < MOST:
        change, steps = untried.popleft()
        explanation = asked.explain(change)
        if not explanation.decision.allowed:
            made = {step.member for step in steps}
            untried.extend(
                (cast(Change, {**change, step.member: step.value}), (*steps, step))
                for step in _steps(asked, change, explanation)
                if step.member not in made
            )
        elif steps:
            found.append(_fix(change, steps, asked))
    return found


def _fix(change: Change, steps: Sequence[_Step], asked: Asked) -> Fix:
    needed = {step.permission for step in steps}
    held = needed.union(*(step.held for step in steps))
    if "access-tokens:modify" in needed:
        held |= set(asked.token.permissions)
    sentence = " and ".join(step.what for step in steps)
    return Fix(
        steps[0].fix,
        f"{sentence[0].upper()}{sentence[1:]}.",
        change,
        next(name for name in _STRENGTH if name in needed),
        frozenset(held),
    )


def _steps(asked: Asked, change: Change, explanation: Explanation) -> Iterator[_Step]:
    """What removes the obstacle of *explanation*, each as one member more of *change*."""
    match explanation.failed:
        case 4:
            yield from _extend_expiry(asked, change)
        case 6:
            yield from _add_entry(asked, change)
        case 7:
            yield from _add_network(asked, change)
        case 8:
            yield from _add_domain(asked, change)
        case 10:
            yield from _add_permission(asked, change, explanation)


def _extend_expiry(asked: Asked, change: Change) -> Iterator[_Step]:
    token = asked.token
    expires_at = change.get("expires_at", token.expires_at)
    if expires_at is None:
        return
    # As long as it was made for, once more.
    start = max(asked.at, asked.now)
    limits = [start + expires_at - token.created_at, LATEST_EXPIRY]
    latest = asked.policy.latest_expiry(token.created_at)
    if latest is not None:
        limits.append(latest)
    if token.replaced_by is not None:
        limits.append(token.rotated_at + 1_000 * LONGEST_CLOSING_S)
    until = min(limits)
    if until > start:
        what = f"let the token expire on {utc_text(until)}"
        yield _Step("extend_expiry", "expires_at", until, what)


def _add_entry(asked: Asked, change: Change) -> Iterator[_Step]:
    network, allowlist = _network(asked), asked.allowlist
    if network is None or allowlist is None:
        return
    trial = allowlist.trial_until is not None and asked.at < allowlist.trial_until
    present = allowlist.entries if trial else allowlist.settled
    entries = [*change.get("allowlist", present), Entry(str(network))]
    if len(entries) <= MOST_ENTRIES:
        what = f"add {_address(network)} to the company's allowlist"
        yield _Step("add_allowlist_entry", "allowlist", entries, what, "company:modify")


def _add_network(asked: Asked, change: Change) -> Iterator[_Step]:
    network = _network(asked)
    if network is None:
        return
    networks = [*change.get("networks", asked.token.networks), str(network)]
    if len(networks) <= MOST_NETWORKS:
        what = f"add {_address(network)} to the token's networks"
        yield _Step("add_network", "networks", networks, what)


def _add_domain(asked: Asked, change: Change) -> Iterator[_Step]:
    domain = _domain(asked)
    if domain is None:
        return
    domains = [*change.get("domains", asked.token.domains), domain]
    if len(domains) <= MOST_DOMAINS:
        yield _Step("add_domain", "domains", domains, f"add {domain} to the token's domains")


def _add_permission(asked: Asked, change: Change, explanation: Explanation) -> Iterator[_Step]:
    present = list(change.get("permissions", asked.token.permissions))
    chosen = (frozenset(present) - {EVERYTHING}) | asked.grant.excepted(asked.at)
    needed = explanation.decision.needed
    if not needed:
        return
    missing = [name for name in needed if not covers(chosen, name)]
    if not missing:
        # The token has them, and the role of its owner lacks one.
        yield from _change_role(asked, needed)
    elif len(present) + len(missing) <= MOST_PERMISSIONS and _can_be_added(asked, missing):
        what = f"add {' and '.join(missing)} to the token's permissions"
        yield _Step("add_permission", "permissions", [*present, *missing], what, held=missing)


def _can_be_added(asked: Asked, names: Sequence[str]) -> bool:
    """Whether PATCH could add *names* to the token."""
    token, catalogue = asked.token, asked.catalogue
    return all(
        is_permission(name)
        and name not in NOT_FOR_TOKENS
        and catalogue.knows(name)
        and (token.owner_type != EXTERNAL or name in catalogue.for_external)
        for name in names
    ) and not needing_approval(names, asked.policy.approval_required, held=token.permissions)


def _change_role(asked: Asked, needed: Sequence[str]) -> Iterator[_Step]:
    """Other roles that hold what is *needed*, those with the fewest permissions first."""
    roles, token, catalogue = asked.roles or {}, asked.token, asked.catalogue
    permits = {role: role_records.permits(each, catalogue) for role, each in roles.items()}

    def suffices(role: str) -> bool:
        its = permits[role]
        grants = catalogue.external(its) if token.owner_type == EXTERNAL else its
        return may_have(token.owner_type, its) and all(covers(grants, name) for name in needed)

    def size(role: str) -> int:
        return sum(covers(permits[role], name) for name in catalogue.names)

    present = permits.get(token.owner_role, frozenset())
    fitting = sorted((role for role in permits if suffices(role)), key=size)
    for role in fitting[:MOST]:
        yield _Step(
            "change_role",
            "role",
            role,
            f"give the token's owner the role {_name(roles[role])}",
            "users:manage" if token.owner_type == USER else "service-accounts:manage",
            held=sorted(present | permits[role]),
        )


def _network(asked: Asked) -> Network | None:
    """The call's address as a network; None if it has none that can be read."""
    address = asked.call.address
    return None if address is None else Network(address, 8 * len(address))


def _address(network: Network) -> str:
    return str(network).partition("/")[0]


def _name(role: Role) -> str:
    return isolated(role.name)


def _domain(asked: Asked) -> str | None:
    """The domain entry that the call's origin matches; None if there is none."""
    call = asked.call
    origin = origin_of_referer(call.referer) if call.origin is None else call.origin
    parsed = parse_origin(origin)
    if parsed is None:
        return None
    port = {"http": 80, "https": 443}.get(parsed.scheme)
    # An origin of an app is an entry by itself; a loopback address needs its port.
    for text in (origin, parsed.authority, f"{parsed.host}:{parsed.port or port}"):
        try:
            return parse_domain(text)
        except InvalidDomain:
            continue
    return None
