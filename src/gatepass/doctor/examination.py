"""One examination of a gateway: which calls are sent, in which order, with which token."""

import re
import time
from dataclasses import dataclass

from gatepass.core.catalogue import Catalogue
from gatepass.core.networks import parse_address
from gatepass.core.reason import Reason
from gatepass.core.routes import CatalogueRoute
from gatepass.doctor import decided, findings, received
from gatepass.doctor.account import Account
from gatepass.doctor.caching import caching
from gatepass.doctor.decided import NO_RECORD, NOBODYS_NETWORK, Examined
from gatepass.doctor.echo import Echo
from gatepass.doctor.findings import Finding
from gatepass.doctor.probes import Probe, Prober
from gatepass.doctor.received import Behind
from gatepass.doctor.timing import added_time, clock
from gatepass.doctor.wire import Gateway
from gatepass.node.node import Node
from gatepass.verify.http.client_address import TrustedProxies

#: How long nodes may take to know a new token, and to count calls.
KNOWN_WITHIN_S, COUNTED_WITHIN_S = 10.0, 15.0
#: How long other nodes may take to know that a token ended.
ENDED_WITHIN_S = 2.0

# A permission of Gatepass's own that changes nothing.
_HARMLESS = "access-tokens:get"
_MOST_ROUTES = 30
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Examination:
    """A gateway, and how to look at it.

    Attributes:
        node: of the installation that the gateway asks.
        path: of the API, which a GET route of the catalogue matches.
        company: the id of the one that the doctor's account is made in.
        address: that calls come from; None is this computer's.
        echo: in the API's place; None if the API is there.
        timed_calls: how many calls are timed.
    """

    node: Node
    gateway: Gateway
    path: str
    company: str
    address: str | None
    echo: Echo | None
    timed_calls: int

    def findings(self) -> list[Finding]:
        """Make all checks but that of an outage. What it creates has ended when it returns.

        Raises:
            Unreachable: the gateway doesn't answer.
            GatepassError: the installation doesn't let it create a token.
        """
        with Account(self.node, self.company) as account:
            return self._examine(account)

    def _examine(self, account: Account) -> list[Finding]:
        route = self.node.catalogue.routes.match("GET", self.path)
        assert isinstance(route, CatalogueRoute)
        # A token that had to wait for approval would ask people for it.
        approved = account.may_hold(route.permission)
        token = account.token(route.permission if approved else _HARMLESS, NOBODYS_NETWORK)
        prober = Prober(self.gateway, self.path, token.text, account.run)
        first = _once_known(prober)
        if not first.refused or first.told in (Reason.token_missing, "peer_not_trusted"):
            return [findings.ASKED.failed(_undecided(first))]
        examined = self._examined(prober, first)
        steps = decided.started(examined, (*decided.CHECKS, clock))
        calls = account.calls(token, prober.sent, wait_s=COUNTED_WITHIN_S)
        row = calls.of(first)
        if row is None:
            return [findings.ASKED.failed(_undecided(first))]
        found = [*decided.judged(steps, calls.of), added_time(examined, self.timed_calls)]
        behind = None
        if self.echo is not None:
            if approved and row.address is not None:
                allowed = account.token(route.permission, row.address)
                sender = Prober(self.gateway, self.path, allowed.text, account.run)
                behind = Behind(sender, self.echo, self.node.catalogue.routes, route.permission)
                found += received.examine(behind)
            else:
                why = "the address must arrive" if approved else "the permission needs an approval"
                found += [check.not_checked(why) for check in findings.BEHIND]
        found.append(
            caching(
                prober,
                account.end_tokens,
                None if behind is None else (behind.prober, behind.reached),
                0.0 if self.node.settings.is_sqlite else ENDED_WITHIN_S,
            )
        )
        return found

    def _examined(self, prober: Prober, first: Probe) -> Examined:
        address = self.address or first.answer.address
        packed = parse_address(address)
        trusted = TrustedProxies.of(self.node.settings.trusted_proxies)
        targets = [each for each in paths_of(self.node.catalogue) if each != self.path]
        return Examined(
            prober,
            first,
            self.node.catalogue.routes,
            tuple(prober.call(target=target) for target in targets[:_MOST_ROUTES]),
            address,
            packed is not None and trusted.contains(packed),
        )


def paths_of(catalogue: Catalogue) -> list[str]:
    """A path of each GET route that the catalogue's file has; those without parameters first."""
    routes = [route for known in catalogue.permissions for route in known.routes]
    paths = [route.removeprefix("GET ") for route in routes if route.startswith("GET ")]
    return [re.sub(r"\{[^/{}]*\}", NO_RECORD, path) for path in sorted(paths, key=_parameters)]


def _parameters(path: str) -> int:
    return path.count("{")


def _once_known(prober: Prober) -> Probe:
    """The first call whose token the gateway's node knows; else the last one."""
    until = time.monotonic() + KNOWN_WITHIN_S
    while (probe := prober.call()).told == Reason.token_invalid and time.monotonic() < until:
        time.sleep(_POLL_S)
    return probe


def _undecided(probe: Probe) -> str:
    """Why a call that must be refused and counted says nothing."""
    answer = f"{probe.call} was answered {probe.answer.status}"
    where = probe.answer.header("location")
    if where is not None and probe.answer.status < 400:
        return f"{answer} to {where}: check that URL"
    if probe.answer.status >= 500:
        return f"{answer}: the gateway gets no decision from Gatepass"
    if probe.told == "peer_not_trusted":
        return f"{answer} {probe.told}: the gateway isn't in GATEPASS_TRUSTED_PROXIES"
    if probe.told == Reason.token_missing:
        return f"{answer} {probe.told}: Authorization doesn't arrive"
    if probe.told == Reason.token_invalid:
        return f"{answer} {probe.told}: the gateway asks another installation than this one"
    if probe.refused:
        return f"{answer}, and this installation wasn't asked{_unfound(probe)}"
    return f"{answer} without a decision"


def _unfound(probe: Probe) -> str:
    return "" if probe.told else ", or neither Origin nor X-Gatepass-Help gets through"
