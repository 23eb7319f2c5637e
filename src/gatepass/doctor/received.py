"""Checks of what the API behind the gateway gets, with the doctor in the API's place.

Their token is valid, for one permission and from one address, so the calls are allowed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from gatepass.core.routes import CatalogueRoute, Routes
from gatepass.doctor import findings
from gatepass.doctor.echo import Echo, Received
from gatepass.doctor.findings import Finding
from gatepass.doctor.probes import Probe, Prober
from gatepass.doctor.wire import Headers, Unreachable

_NAMES = ("Token", "Company", "User", "Owner", "External", "Kind", "Permissions", "Reason", "Help")
# Servers of CGI, WSGI and PHP make one name of several; some of them, of a dot as well.
_SEPARATORS = ("-", "_", ".")
# Some, of any character but letters and digits (lighttpd); this is one that gateways may forget.
_ODD = "~"
# Each is read by some framework as another method, path or address than the one that was decided.
_OVERRIDES = (
    *("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"),
    *("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Script-Name"),
)
# These are the gateway's own, but no gateway spells them so.
_MISSPELT = ("X_Forwarded_For", "X-Forwarded_For", "X_Forwarded-For", "SCRIPT_NAME")
_HEADERS_AT_ONCE = 20
_MOST_NAMED = 3
_SPELLINGS = (
    *("{path}", "{path}?x=%2F..", "{path}#x", "{path}/", "{path}//", "/{path}", "/.{path}"),
    *("{path}/.", "{path}/x/..", "/x/..{path}", "/x/../{path}", "/%2e{path}", "/x/%2e%2e{path}"),
    *("/x%2f..{path}", "/x/..%2f{bare}", "/x\\..{path}", "/x%5c..{path}", "/%2f{bare}"),
    *("{path}%2f", "{path}%2F", "{path}%252f", "{path}/%2e%2e", "{path};x=1", "{path}%3bx=1"),
    *("/x;/..{path}", "{path}%00", "{path}%0a", "{path}%20", "{path}\t", "{path}%23x"),
    *("{path}%3fx", "{escaped}", "{escaped_twice}", "{escaped_slash}", "{absolute}"),
)
_origin_of_url = re.compile("^https?://[^/]*", re.IGNORECASE).sub
# The first letter, and the last slash but the first one.
_letter = re.compile("[A-Za-z]").sub
_slash = re.compile("(?<=.)/(?=[^/]*$)").sub


@dataclass(frozen=True, slots=True)
class Behind:
    """What the checks are about.

    Attributes:
        prober: sends calls that are allowed.
        permission: the only one that the token has.
    """

    prober: Prober
    echo: Echo
    routes: Routes
    permission: str

    def received(self, probe: Probe) -> Received | None:
        """What the API got of a call; None if it got nothing."""
        return self.echo.received(probe.answer)

    def reached(self, probe: Probe) -> bool:
        """Whether a call reached the API."""
        return self.received(probe) is not None

    def headers_with(
        self, text: str, *, headers: Headers = (), credential: Headers | None = None
    ) -> list[str]:
        """The names of the headers in which *text* reaches the API."""
        got = self.received(self.prober.call(headers=headers, credential=credential))
        if got is None and len(headers) > 1:
            # A gateway that refuses one of them may let another through.
            return [name for each in headers for name in self.headers_with(text, headers=[each])]
        return [] if got is None else [name for name, value in got.headers if text in value]


def examine(behind: Behind) -> Iterator[Finding]:
    """Make all checks.

    Raises:
        Unreachable: the gateway stopped answering.
    """
    first = behind.prober.call()
    if behind.received(first) is None:
        why = (
            f"an allowed {first.call} was answered {first.answer.status}, and not by the doctor: "
            "let the gateway forward to it"
        )
        yield from (check.not_checked(why) for check in findings.BEHIND)
        return
    for check in (identity, secrets, overrides, same_call, undecided):
        yield check(behind)


def identity(behind: Behind) -> Finding:
    """No header about the caller is the caller's own."""
    forged = f"forged-{behind.prober.run}"
    passed: list[str] = []
    for name in _NAMES:
        spellings = [f"X{a}Gatepass{b}{name}" for a, b in product(_SEPARATORS, repeat=2)]
        spellings += [f"x-gatepass-{name.lower()}", f"X-GATEPASS-{name.upper()}"]
        spellings += [f"X{_ODD}Gatepass{_ODD}{name}"]
        passed += behind.headers_with(forged, headers=[(each, forged) for each in spellings])
    problems = [f"a forged {each} reached the API" for each in passed]
    if _removable(behind):
        problems.insert(0, "a caller's Connection header removed those of the gateway")
    return findings.IDENTITY.of(
        _some(problems),
        f"{len(_NAMES)} headers, each in {len(spellings)} spellings",
    )


def _removable(behind: Behind) -> bool:
    """Whether the gateway obeys a caller who lists its headers as those of the connection."""
    names = [f"X-Gatepass-{name}" for name in _NAMES]
    usual = behind.received(behind.prober.call())
    listed = behind.received(behind.prober.call(headers=[("Connection", ", ".join(names))]))
    if usual is None or listed is None:
        return False
    return any(usual.values(name) and not listed.values(name) for name in names)


def secrets(behind: Behind) -> Finding:
    """No header has the token."""
    text = behind.prober.token
    ways = (("Authorization", f"Bearer {text}"), ("X-Access-Token", text))
    passed: list[str] = []
    for way in ways:
        passed += behind.headers_with(text, credential=[way])
    return findings.SECRETS.of(
        (f"{each} reached the API" for each in passed), "neither header reached it"
    )


def overrides(behind: Behind) -> Finding:
    """No header of the caller changes method, path or address for a framework."""
    forged = f"forged-{behind.prober.run}"
    spellings = [
        "".join(parts)
        for name in _OVERRIDES
        for parts in product(*(["-", "_"] if part == "-" else [part] for part in _parts(name)))
    ]
    spellings += _MISSPELT
    passed: list[str] = []
    for start in range(0, len(spellings), _HEADERS_AT_ONCE):
        headers = [(each, forged) for each in spellings[start : start + _HEADERS_AT_ONCE]]
        passed += behind.headers_with(forged, headers=headers)
    return findings.OVERRIDES.of(
        _some(f"{each} reached the API" for each in passed), f"{len(spellings)} headers"
    )


def same_call(behind: Behind) -> Finding:
    """The API reads each path as the one that was decided, or doesn't get it."""
    path = behind.prober.path
    spelt = {
        "path": path,
        "bare": path[1:],
        "escaped": _letter(lambda found: f"%{ord(found[0]):02x}", path, count=1),
        "escaped_twice": _letter(lambda found: f"%25{ord(found[0]):02x}", path, count=1),
        "escaped_slash": _slash("%2f", path, count=1),
        "absolute": f"{behind.prober.gateway.url}{path}",
    }
    calls = [("GET", spelling.format(**spelt)) for spelling in _SPELLINGS] + [("HEAD", path)]
    wrong, passed = [], 0
    for method, target in calls:
        got = _got(behind, method, target)
        if got is None:
            continue
        passed += 1
        # The whole URL is a usual spelling, too, and every server takes its path.
        route = behind.routes.match(got.method, _origin_of_url("", got.target))
        # The token has one permission, so that of the route that was decided.
        if not isinstance(route, CatalogueRoute) or route.permission != behind.permission:
            read = f"{got.method} {got.target}"
            wrong.append(f"{method} {target} was allowed, and the API got {read}")
    return findings.SAME_CALL.of(
        _some(wrong), f"{len(calls)} spellings of the path: {passed} passed, the others refused"
    )


def undecided(behind: Behind) -> Finding:
    """What has no token doesn't reach the API, a preflight neither."""
    page = ("Access-Control-Request-Method", "GET")
    calls: tuple[Callable[[], Probe], ...] = (
        lambda: behind.prober.call("OPTIONS", headers=[page], credential=()),
        lambda: behind.prober.call("OPTIONS", credential=()),
        lambda: behind.prober.call("GET", headers=[page], credential=()),
        lambda: behind.prober.call("GET", credential=()),
    )
    probes = [call() for call in calls]
    names = ("a preflight", "OPTIONS", "GET as a preflight", "GET")
    passed = [
        name for name, each in zip(names, probes, strict=True) if behind.received(each) is not None
    ]
    return findings.UNDECIDED.of(
        (f"{each} without a token reached the API" for each in passed),
        "neither preflights nor calls without a token",
    )


def _got(behind: Behind, method: str, target: str) -> Received | None:
    try:
        return behind.received(behind.prober.call(method, target))
    except Unreachable:
        # It closed the connection, which is a refusal, too.
        return None


def _parts(name: str) -> list[str]:
    return re.split("(-)", name)


def _some(problems: Iterator[str] | list[str]) -> list[str]:
    """The first problems, and how many more there are."""
    found = list(problems)
    more = len(found) - _MOST_NAMED
    return found[:_MOST_NAMED] + [f"and {more} more"] * (more > 0)
