"""The checks of a gateway, and what each of them found."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

_punctuation = re.compile(r"[^\w\- ]").sub

Outcome = Literal["passed", "failed", "not_checked"]

#: The page with a section for each check.
PAGE: Final = "docs/how-to/check-a-gateway.md"


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    Attributes:
        name: stable, for programs.
        title: what holds if it passes.
        fix: what to change if it fails.
    """

    name: str
    title: str
    fix: str

    @property
    def link(self) -> str:
        """Its section of the documentation, which has its title."""
        return f"{PAGE}#{_punctuation('', self.title.lower()).replace(' ', '-')}"

    def passed(self, seen: str) -> "Finding":
        """It holds: *seen* says what was seen."""
        return Finding(self, "passed", seen)

    def failed(self, seen: str) -> "Finding":
        """It doesn't hold."""
        return Finding(self, "failed", seen)

    def not_checked(self, why: str) -> "Finding":
        """It wasn't tried, or can't be told from here; *why* says how to have it checked."""
        return Finding(self, "not_checked", why)

    def of(self, problems: Iterable[str], seen: str) -> "Finding":
        """It failed with *problems* if there are any; else it passed, and *seen* says how."""
        found = "; ".join(dict.fromkeys(problems))
        return self.failed(found) if found else self.passed(seen)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    check: Check
    outcome: Outcome
    seen: str


ASKED: Final = Check(
    "asked",
    "Gatepass is asked about every call",
    "Let the gateway ask for every path and every method, and let nobody in without an answer.",
)
REFUSALS: Final = Check(
    "refusals",
    "Refusals reach the caller as they are",
    "Pass on the status of Gatepass's answer, X-Gatepass-Reason, X-Gatepass-Help and "
    "WWW-Authenticate.",
)
ADDRESS: Final = Check(
    "address",
    "The caller's address is the caller's",
    "Send the caller's address as X-Forwarded-For with the question, and list each proxy in front "
    "in GATEPASS_TRUSTED_PROXIES.",
)
FORWARDED: Final = Check(
    "forwarded_addresses",
    "A caller can't choose its address",
    "The outermost proxy must replace X-Forwarded-For by the address of its peer, and read no "
    "address from a header of the caller.",
)
SOURCES: Final = Check(
    "sources",
    "A caller can't choose the method and path that are decided",
    "Set the headers that the endpoint reads in the gateway, and ask the endpoint that is made for "
    "it.",
)
ORIGIN: Final = Check(
    "origin",
    "Origin and Referer arrive",
    "Send Origin and Referer with the question: tokens for UI access are refused without them.",
)
METHODS: Final = Check(
    "methods",
    "The method arrives",
    "Send the call's own method with the question, not that of the gateway's sub-request.",
)
PATHS: Final = Check(
    "paths",
    "The path arrives",
    "Send the path as the caller sent it, and rewrite it neither before nor after the question.",
)
CREDENTIALS: Final = Check(
    "credentials",
    "Both ways to send a token work",
    "Send Authorization and X-Access-Token with the question.",
)
ENDPOINTS: Final = Check(
    "endpoints",
    "Callers can't reach /authz/ and /metrics",
    "Refuse /authz/ and /metrics in the gateway, which is a trusted proxy.",
)
CACHING: Final = Check(
    "caching",
    "No decision is kept",
    "Cache neither Gatepass's answers nor refusals, and change no Cache-Control of a refusal.",
)
CLOCK: Final = Check(
    "clock",
    "The clocks agree",
    "Synchronize the clocks of the gateway, the nodes and this computer (NTP).",
)
TIME: Final = Check("time", "Added time", "")
IDENTITY: Final = Check(
    "identity",
    "A caller can't forge who calls",
    "Remove every X-Gatepass-… header of the caller, in each spelling, before the gateway sets its "
    "own.",
)
SECRETS: Final = Check(
    "secrets",
    "The API gets no token",
    "Remove Authorization and X-Access-Token once the call is decided.",
)
OVERRIDES: Final = Check(
    "overrides",
    "No header changes the call for the API",
    "Remove the headers that some frameworks read as another method, path or address.",
)
SAME_CALL: Final = Check(
    "same_call",
    "The API gets the call that was decided",
    "Let the gateway send the API the path and method that it asked about.",
)
UNDECIDED: Final = Check(
    "undecided",
    "The API gets no call without a decision",
    "Answer preflights in the gateway, or have them decided like any call.",
)
OUTAGE: Final = Check(
    "outage",
    "Nobody gets in while Gatepass is away",
    "Let the gateway answer 5xx when it gets no answer: switch off every fail-open setting.",
)

#: Without anything to set up.
ALWAYS: Final = (
    *(ASKED, REFUSALS, ADDRESS, FORWARDED, SOURCES, ORIGIN, METHODS, PATHS, CREDENTIALS),
    *(ENDPOINTS, CACHING, CLOCK, TIME),
)
#: With ``--echo``.
BEHIND: Final = (IDENTITY, SECRETS, OVERRIDES, SAME_CALL, UNDECIDED)
#: In the order of the report.
CHECKS: Final = (*ALWAYS, *BEHIND, OUTAGE)


def in_order(found: Iterable[Finding], why_not: Callable[[Check], str]) -> Iterator[Finding]:
    """All checks in the order of the report; *why_not* says why one wasn't made."""
    by_check = {finding.check.name: finding for finding in found}
    for check in CHECKS:
        yield by_check.get(check.name) or check.not_checked(why_not(check))
