"""Log lines about a deployment that is set up wrongly, at most one a minute of each kind.

Such faults show in requests, so a stranger can provoke them, and a proxy shows one with every
request: what is logged is bounded, and what a request said is quoted, never repeated as it came.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

_SECONDS_BETWEEN: Final = 60.0
_LONGEST_QUOTE: Final = 100

_log = logging.getLogger("gatepass.misconfiguration")


class Fault(StrEnum):
    """A kind of misconfiguration; the value is the log line, with ``{}`` for what shows it."""

    forwarded_by_untrusted = (
        "X-Forwarded-For from {} is ignored, because GATEPASS_TRUSTED_PROXIES doesn't list that "
        "address. If it is your proxy's, list it"
    )
    forwarded_unreadable = (
        "the trusted proxy {} sends an X-Forwarded-For that can't be read; its calls are refused "
        "(address_not_allowed). It must send IP addresses, with or without a port"
    )
    gateway_untrusted = (
        "{} asks /authz/nginx and is refused (peer_not_trusted), because GATEPASS_TRUSTED_PROXIES "
        "doesn't list that address. If it is your gateway's, list it"
    )
    form_from_elsewhere = (
        "a form sent from {} was refused (cross_site), because GATEPASS_PUBLIC_URL is {}. If "
        "people are to open the dashboard there, set it to that"
    )
    opened_elsewhere = (
        "the dashboard is open at {}, and GATEPASS_PUBLIC_URL is {}: links in mail lead there. If "
        "people are to open it at the former, set it to that"
    )
    source_missing = (
        "the gateway {} doesn't send {} exactly once; its calls are refused (route_unknown)"
    )


class Misconfigurations:
    """Counts faults and logs them, each kind at most once a minute.

    Attributes:
        counts: how often each was seen since the start.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[Fault] = Counter()
        self._monotonic = monotonic
        # The time and the count of the last line. Two threads may both write one: no harm.
        self._logged: dict[Fault, tuple[float, int]] = {}

    def note(self, fault: Fault, *seen: str) -> None:
        """Count *fault*, and log it unless it was logged within the last minute.

        Args:
            seen: what shows it, such as the peer's address: one for each ``{}``. It is quoted and
                cut in the log.
        """
        self.counts[fault] = count = self.counts[fault] + 1
        now = self._monotonic()
        last, counted = self._logged.get(fault, (now - _SECONDS_BETWEEN, 0))
        if now - last < _SECONDS_BETWEEN:
            return
        self._logged[fault] = (now, count)
        more = "" if count - counted == 1 else f" ({count - counted} times since the last line)"
        _log.warning("%s%s", fault.value.format(*map(_quoted, seen)), more)


def _quoted(text: str) -> str:
    """*text* as a literal in ASCII, cut: no line feed or control of a stranger's is logged."""
    return ascii(text[:_LONGEST_QUOTE])
