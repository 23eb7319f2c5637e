"""Replays calls that were allowed under changed rules: which would newly be refused.

Each call is decided twice by ``decide()``, with the rules before and after a change, at the same
moment. So the answer can't differ from what a verifier will say. Expiry counts as at that moment,
and a rehearsal, which lasts minutes, not at all.

What is kept of a call may lack a part: its address is one of a /64, or its origin was too long.
That part is taken to be fine, as it was when the call was allowed, unless the change restricts it:
then it is unknown what would become of the call.
"""

from typing import Literal, NamedTuple

import msgspec

from gatepass.core.credentials import Credential
from gatepass.core.decision import Call, Decision, admit, decide, held
from gatepass.core.grants import CompanyRules, Grant, Holder
from gatepass.core.networks import Networks, parse_address, parse_network
from gatepass.core.permissions import covers
from gatepass.core.reason import Reason
from gatepass.core.rehearsal import unrehearsed
from gatepass.core.routes import CatalogueRoute

Part = Literal["address", "origin", "permission"]

#: Where a call's own isn't known: any origin will do for a token without domains.
_SOME_ORIGIN = "https://unknown.invalid"
_ALL: frozenset[Part] = frozenset(("address", "origin", "permission"))


class Rules(NamedTuple):
    """What a decision reads about a token."""

    grant: Grant
    holder: Holder | None
    company: CompanyRules | None


class SeenCall(NamedTuple):
    """What is kept of a call that was allowed (``observed_call``).

    Attributes:
        apart: False for calls that were too many to be told apart, which lack all that follows.
        permission: the one asked for by name, else the route's. None for Gatepass's own API.
        second_permission: the route's, if another one was asked for by name.
        route, method: of the catalogue's route.
        address: or the /64 of many; None if it wasn't known.
    """

    apart: bool
    permission: str | None = None
    second_permission: str | None = None
    route: str | None = None
    method: str | None = None
    address: str | None = None
    origin: str | None = None


class Replayed(NamedTuple):
    """What becomes of a call.

    Attributes:
        outcome: ``refused before``: already without the change, because the rules were changed
            since the call.
        reason: why it would newly be refused; else None.
    """

    outcome: Literal["refused before", "allowed", "refused", "unknown"]
    reason: Reason | None = None


class Replay:
    """Replays calls of one token.

    Args:
        before, after: the rules without and with the change.
        now: Unix ms.
    """

    def __init__(self, before: Rules, after: Rules, now: int) -> None:
        self._before, self._after, self._now = _Side(before, now), _Side(after, now), now
        self._restricted = _restricted(self._before, self._after)

    def outcome(self, call: SeenCall) -> Replayed:
        """What becomes of *call*."""
        sides = (self._before, self._after)
        lacking = _lacking(call, sides)
        before, after = (side.decide(call, lacking) for side in sides)
        if not before.allowed:
            return Replayed("refused before")
        if not after.allowed:
            return Replayed("refused", after.reason)
        return Replayed("unknown" if lacking & self._restricted else "allowed")


class _Side:
    """The rules before, or after, the change."""

    def __init__(self, rules: Rules, now: int) -> None:
        grant = unrehearsed(rules.grant)
        self.rules = rules._replace(grant=grant)
        company = rules.company
        allowlist = None if company is None else company.allowlist_at(now)
        #: The lists that an address must be in, of which None is no restriction.
        self.lists: tuple[Networks | None, ...] = (allowlist, grant.networks)
        self.effective = held(*self.rules, now)
        self._now = now
        self._credential = Credential(grant.id, grant.digest)
        self._lenient: dict[frozenset[Part], Rules] = {}

    def decide(self, call: SeenCall, lacking: frozenset[Part]) -> Decision:
        """Decide *call*, whose *lacking* parts are taken to be fine."""
        grant, holder, company = self._without(lacking)
        permission, route = call.permission, None
        if call.route is not None or call.second_permission is not None:
            needs = call.second_permission or call.permission
            if call.second_permission is None:
                permission = None
            if needs is not None:
                method, path = call.method or "", call.route or ""
                route = CatalogueRoute(f"{method} {path}", method, path, needs)
        attempted = Call(
            self._credential,
            permission,
            route,
            address=None if call.address is None else _first_address(call.address),
            origin=_SOME_ORIGIN if "origin" in lacking else call.origin,
        )
        decided = admit if "permission" in lacking else decide
        return decided(grant, holder, company, attempted, self._now)

    def _without(self, lacking: frozenset[Part]) -> Rules:
        """The rules without restrictions of the parts *lacking*."""
        found = self._lenient.get(lacking)
        if found is None:
            grant, holder, company = self.rules
            if "address" in lacking:
                grant = msgspec.structs.replace(grant, networks=None)
                if company is not None:
                    company = msgspec.structs.replace(company, allowlist=None, trial=None)
            if "origin" in lacking:
                grant = msgspec.structs.replace(grant, domains=())
            found = self._lenient[lacking] = Rules(grant, holder, company)
        return found


def _lacking(call: SeenCall, sides: tuple[_Side, _Side]) -> frozenset[Part]:
    """The parts of *call* that aren't known, although a decision may depend on them."""
    if not call.apart:
        return _ALL
    found: set[Part] = set()
    if call.permission is None:
        found.add("permission")
    # A call of a token for UI was allowed, so it had an origin.
    if call.origin is None and sides[0].rules.grant.kind == "ui":
        found.add("origin")
    if call.address is not None and "/" in call.address:
        network = parse_network(call.address)
        lists = (each for side in sides for each in side.lists if each is not None)
        if any(each.holds(network) is None for each in lists):
            found.add("address")
    return frozenset(found)


def _restricted(before: _Side, after: _Side) -> frozenset[Part]:
    """The parts of a call that *after* restricts in another way than *before*."""
    found: set[Part] = set()
    lists = zip(before.lists, after.lists, strict=True)
    if any(now is not None and now != former for former, now in lists):
        found.add("address")
    former_domains, domains = (set(side.rules.grant.domains) for side in (before, after))
    if domains and not (former_domains and former_domains <= domains):
        found.add("origin")
    if not all(covers(after.effective, name) for name in before.effective):
        found.add("permission")
    return frozenset(found)


def _first_address(text: str) -> bytes | None:
    """The address, or the first one of a network that all lists treat alike."""
    return parse_network(text).first if "/" in text else parse_address(text)
