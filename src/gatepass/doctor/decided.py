"""Checks of what Gatepass sees of a call, by calls that are all refused.

Their token is valid from nobody's address. So none of them reaches the API if the gateway is set up
well, and Gatepass counts each with the address, origin, route and method that it saw.

A check is a generator: it sends its calls, waits until Gatepass has counted all, and judges them.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from gatepass.core.decision import STATUS, Reason
from gatepass.core.routes import CatalogueRoute, Routes
from gatepass.doctor import findings
from gatepass.doctor.findings import Finding
from gatepass.doctor.probes import Probe, Prober
from gatepass.registry.tokens.calls.observed_calls import CallRecord

#: The only network that the token is valid from, of those kept for documentation (RFC 5737).
NOBODYS_NETWORK = "192.0.2.1/32"
#: What the parameters of routes are filled with: no API has a record of that id.
NO_RECORD = "gatepass-doctor"

# Another network of RFC 5737: the addresses that calls pretend to come from.
_FORGED = "198.51.100."
_ADDRESS_HEADERS = (
    *("Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP"),
    *("X-Cluster-Client-IP", "Fastly-Client-IP", "X-Original-Forwarded-For"),
    *("X-Envoy-External-Address", "X-Azure-ClientIP"),
)
_NO_PATH = f"/{NO_RECORD}-forged"
_NO_METHOD = "DOCTOR"
_SOURCES = (
    ("X-Original-URI", _NO_PATH),
    ("X-Original-URL", f"https://doctor.invalid{_NO_PATH}"),
    ("X-Original-Method", _NO_METHOD),
    ("X-Forwarded-Uri", _NO_PATH),
    ("X-Forwarded-Method", _NO_METHOD),
    ("X-Rewrite-URL", _NO_PATH),
    ("X-Envoy-Original-Path", _NO_PATH),
    ("X-Envoy-Original-Method", _NO_METHOD),
    ("X-HTTP-Method-Override", _NO_METHOD),
)
_ENDPOINTS = ("/authz/nginx", "/authz/forward", "/authz/ingress-nginx", "/authz/envoy")
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
# Answers of a gateway that has no such path.
_NOT_SERVED = (404, 405, 421)
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Examined:
    """What the checks are about.

    Attributes:
        first: a call to the prober's path that was refused.
        others: calls to the catalogue's other GET routes.
        address: that calls come from.
        trusted: whether that one is a trusted proxy's.
    """

    prober: Prober
    first: Probe
    routes: Routes
    others: tuple[Probe, ...]
    address: str
    trusted: bool

    @property
    def below(self) -> str:
        """A path below the prober's that no API has."""
        return f"{self.prober.path.rstrip('/')}/{NO_RECORD}-{self.prober.run}"

    @property
    def record(self) -> str | None:
        """The path of a record that doesn't exist, of one of the calls; None if none is of one."""
        paths = (each.target.partition("?")[0] for each in (self.first, *self.others))
        return next((path for path in paths if path.endswith(f"/{NO_RECORD}")), None)

    def expected(self, probe: Probe) -> tuple[str, str] | None:
        """The route and its method that Gatepass must see; None if the catalogue has none."""
        found = self.routes.match(probe.method, probe.target)
        return (found.path, found.method) if isinstance(found, CatalogueRoute) else None


#: What Gatepass saw of a call; None if it saw none.
Seen = Callable[[Probe], CallRecord | None]
Step = Generator[None, Seen, Finding]


def started(examined: Examined, checks: Iterable[Callable[[Examined], Step]]) -> list[Step]:
    """Send the calls of checks.

    Raises:
        Unreachable: the gateway stopped answering.
    """
    steps = [check(examined) for check in checks]
    for step in steps:
        next(step)
    return steps


def judged(steps: Iterable[Step], seen: Seen) -> Iterator[Finding]:
    """Judge the checks that ``started`` returned, once their calls are counted."""
    for step in steps:
        try:
            step.send(seen)
        except StopIteration as ended:
            yield ended.value


def asked(examined: Examined) -> Step:
    """Every path and method is decided, with a token and without."""
    call = examined.prober.call
    anonymous = call(credential=())
    options = call("OPTIONS")
    preflight = call("OPTIONS", headers=[("Access-Control-Request-Method", "GET")], credential=())
    # A path of its own: rows of calls on one path may be told apart by nothing else.
    nowhere = call(target=f"{_NO_PATH}-at-all-{examined.prober.run}")
    must = [examined.first, *(call(method, examined.below) for method in _CHANGING)]
    may = examined.others
    seen = yield
    # Some gateways answer every OPTIONS as they answer preflights.
    as_preflight = seen(options) is None and options.answer.status == preflight.answer.status
    if not as_preflight:
        must.append(options)
    # An API that isn't guarded there may answer 404, too.
    elsewhere = [
        each
        for each in may
        if seen(each) is None
        and seen(nowhere) is None
        and each.answer.status in _NOT_SERVED
        and _said(each) == _said(nowhere)
    ]
    problems = [_got_in(each, seen) for each in (*must, *may) if each not in elsewhere]
    if not anonymous.refused:
        problems.append(f"{anonymous.call} without a token was answered {_status(anonymous)}")
    decided = f"{_number(len(must) + len(may) - len(elsewhere), 'call')} decided"
    if as_preflight:
        decided += "; OPTIONS is answered like a preflight: with --echo it must not reach the API"
    if elsewhere:
        named = ", ".join(each.target for each in elsewhere[:_MOST_NAMED])
        decided += f"; answered without a decision, like a path that doesn't exist: {named}"
        decided += ", …" * (len(elsewhere) > _MOST_NAMED)
    return findings.ASKED.of(filter(None, problems), decided)


def refusals(examined: Examined) -> Step:
    """Status, reason, help and challenge reach the caller."""
    first, anonymous = examined.first, examined.prober.call(credential=())
    seen = yield
    problems = []
    decided = _field(seen, first, "reason")
    status = first.answer.status if decided is None else STATUS[Reason(decided)]
    if status != first.answer.status:
        problems.append(f"{status} became {first.answer.status}")
    if anonymous.answer.status != STATUS[Reason.token_missing]:
        problems.append(f"{STATUS[Reason.token_missing]} became {anonymous.answer.status}")
    wanted = (
        (first, "x-gatepass-reason", "X-Gatepass-Reason"),
        (first, "x-gatepass-help", "X-Gatepass-Help"),
        (anonymous, "www-authenticate", "WWW-Authenticate"),
    )
    problems += [f"no {name}" for probe, key, name in wanted if not probe.answer.header(key)]
    return findings.REFUSALS.of(problems, f"{first.answer.status} {first.told}, with its page")


def address(examined: Examined) -> Step:
    """Gatepass sees the address that calls come from."""
    seen = yield
    found = _field(seen, examined.first, "address")
    if found == examined.address:
        return findings.ADDRESS.passed(f"{found}")
    return findings.ADDRESS.failed(
        f"Gatepass saw {found or 'no address'}, the calls came from {examined.address}. "
        f"If the way to the gateway changes addresses, as NAT does, repeat with --address"
    )


def forwarded_addresses(examined: Examined) -> Step:
    """No header of the caller replaces its address."""
    call = examined.prober.call
    lines = [("X-Forwarded-For", f"{_FORGED}2"), ("x-forwarded-for", f"{_FORGED}3, {_FORGED}4")]
    usual = [call(headers=[("X-Forwarded-For", f"{_FORGED}1")]), call(headers=lines)]
    named = {f"{_FORGED}{n}": name for n, name in enumerate(_ADDRESS_HEADERS, 21)}
    forged = [(name, f"for={at}" if name == "Forwarded" else at) for at, name in named.items()]
    other = call(headers=forged)
    # The gateway removes what it lists, perhaps before it asks.
    removed = call(headers=[("Connection", "X-Forwarded-For")])
    seen = yield
    own = _field(seen, examined.first, "address")
    problems = []
    found = _field(seen, other, "address")
    if seen(other) is not None and found != own:
        which = named.get(found or "", "one of " + ", ".join(_ADDRESS_HEADERS))
        problems.append(f"with a forged {which}, Gatepass saw {found or 'no address'}")
    if seen(removed) is not None and _field(seen, removed, "address") != own:
        problems.append("with Connection: X-Forwarded-For, Gatepass saw another address")
    chosen = {_field(seen, each, "address") for each in usual if seen(each) is not None} - {own}
    if chosen and examined.trusted and not problems:
        return findings.FORWARDED.not_checked(
            f"{examined.address} is in GATEPASS_TRUSTED_PROXIES, so what it forwards is believed: "
            "run the doctor on a computer that isn't"
        )
    problems += [
        f"with a forged X-Forwarded-For, Gatepass saw {each or 'no address'}" for each in chosen
    ]
    return findings.FORWARDED.of(problems, f"{own} in spite of forged headers")


def sources(examined: Examined) -> Step:
    """No header of the caller replaces the method and path that are decided."""
    call = examined.prober.call
    probes = {name: call(headers=[(name, value)]) for name, value in _SOURCES}
    seen = yield
    own = _route(seen(examined.first))
    misread = [n for n, each in probes.items() if seen(each) and _route(seen(each)) != own]
    return findings.SOURCES.of(
        (f"a forged {name} changed the call that was decided" for name in misread),
        f"{len(probes)} forged headers changed nothing",
    )


def origin(examined: Examined) -> Step:
    """Origin arrives, and Referer where there is none."""
    probes = {"Origin": examined.first, "Referer": examined.prober.call(origin_in="Referer")}
    seen = yield
    lost = [
        f"{name} didn't arrive"
        for name, each in probes.items()
        if seen(each) is not None and _field(seen, each, "origin") != each.origin
    ]
    return findings.ORIGIN.of(lost, "both arrived")


def methods(examined: Examined) -> Step:
    """The method arrives."""
    call, record = examined.prober.call, examined.record
    probes = [examined.first, *map(call, ("HEAD", "OPTIONS"))]
    # HEAD is decided as GET is, and some gateways answer OPTIONS themselves.
    if record is not None and call("DELETE", examined.below).refused:
        probes.append(call("DELETE", record))
    seen = yield
    wrong = [
        f"{each.method} was decided as {_told(seen, each)}"
        for each in probes
        if seen(each) is not None and _route(seen(each)) != examined.expected(each)
    ]
    return findings.METHODS.of(wrong, ", ".join(each.method for each in probes))


def paths(examined: Examined) -> Step:
    """The path arrives, whatever the query says."""
    path = examined.prober.path
    probes = [examined.first, examined.prober.call(target=f"{path}?{NO_RECORD}=%2F..")]
    probes += examined.others
    seen = yield
    wrong = [
        f"{each.call} was decided as {_told(seen, each)}"
        for each in probes
        if seen(each) is not None and _route(seen(each)) != examined.expected(each)
    ]
    some = wrong[:_MOST_NAMED] + [f"{len(wrong) - _MOST_NAMED} more"] * (len(wrong) > _MOST_NAMED)
    return findings.PATHS.of(some, f"{_number(len(probes), 'path')} read as the catalogue reads it")


def credentials(examined: Examined) -> Step:
    """A token may be in either header."""
    token = examined.prober.token
    probe = examined.prober.call(credential=[("X-Access-Token", token)])
    seen = yield
    arrived = seen(probe) is not None and probe.told != Reason.token_missing
    lost = [] if arrived else ["X-Access-Token didn't arrive"]
    return findings.CREDENTIALS.of(lost, "Authorization and X-Access-Token")


def endpoints(examined: Examined) -> Step:
    """Callers reach neither Gatepass's own endpoints nor its metrics."""
    call, path = examined.prober.call, examined.prober.path
    headers = (
        ("X-Original-URI", path),
        ("X-Original-Method", "GET"),
        ("X-Original-URL", f"https://doctor.invalid{path}"),
        ("X-Forwarded-Uri", path),
        ("X-Forwarded-Method", "GET"),
    )
    probes = [
        call(target=f"{each}{path}" if each.endswith("/envoy") else each, headers=headers)
        for each in _ENDPOINTS
    ]
    elsewhere = call(target=f"{_NO_PATH}-{examined.prober.run}", headers=headers)
    metrics = call(target="/metrics", credential=())
    seen = yield
    if _route(seen(elsewhere)) is not None:
        return findings.ENDPOINTS.not_checked("the call that is decided can be chosen: mend that")
    reached = [each.target for each in probes if _route(seen(each)) is not None]
    reached += [each.target for each in probes if each.told == "peer_not_trusted"]
    if metrics.answer.status == 200 and b"\ngatepass_" in metrics.answer.body:
        reached.append("/metrics")
    return findings.ENDPOINTS.of(
        (f"{each} can be reached" for each in reached), "neither can be reached"
    )


#: All checks of this module.
CHECKS = (
    *(asked, refusals, address, forwarded_addresses, sources, origin, methods, paths),
    *(credentials, endpoints),
)


def _got_in(probe: Probe, seen: Seen) -> str:
    if probe.refused:
        return ""
    if seen(probe) is None:
        return f"{probe.call} was answered {_status(probe)} without a decision"
    return f"Gatepass refused {probe.call}, and it was answered {_status(probe)} all the same"


def _said(probe: Probe) -> tuple[int, bytes]:
    """Status and body of an answer, without the path that was asked for."""
    return probe.answer.status, probe.answer.body.replace(probe.target.encode("latin-1"), b"")


def _status(probe: Probe) -> str:
    where = probe.answer.header("location")
    return f"{probe.answer.status}" + (f" to {where}" if where else "")


def _route(row: CallRecord | None) -> tuple[str, str] | None:
    return None if row is None or row.route is None else (row.route, row.method or "")


def _told(seen: Seen, probe: Probe) -> str:
    route = _route(seen(probe))
    return "a call that no route matches" if route is None else f"{route[1]} {route[0]}"


def _field(seen: Seen, probe: Probe, name: str) -> str | None:
    found: str | None = getattr(seen(probe), name, None)
    return found


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
