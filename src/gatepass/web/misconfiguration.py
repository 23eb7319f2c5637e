"""Log lines about a misconfigured deployment, at most one a minute of each kind.

Such faults show in requests, so a stranger can provoke them, and a misconfigured proxy shows one
with every request. So the number of lines is bounded, and text from a request is quoted and cut.
"""

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from gatepass.log_limit import LogLimit
from gatepass.node_counters import Counter
from gatepass.shared_words import Area

_LONGEST_QUOTE: Final = 100

_log = logging.getLogger("gatepass.misconfiguration")


class Fault(StrEnum):
    """A kind of misconfiguration; the value is the log line, with ``{}`` for the evidence."""

    forwarded_by_untrusted = (
        "X-Forwarded-For from {} is ignored, because GATEPASS_TRUSTED_PROXIES doesn't list that "
        "address. If it is your proxy's address, add it"
    )
    forwarded_unreadable = (
        "the trusted proxy {} sends an X-Forwarded-For that can't be read; its calls are refused "
        "(address_not_allowed). It must send IP addresses, with or without a port"
    )
    gateway_untrusted = (
        "calls of {} from {} are refused (peer_not_trusted), because "
        "GATEPASS_TRUSTED_PROXIES doesn't list that address. If it is your gateway's address, "
        "add it"
    )
    form_from_elsewhere = (
        "a form from {} was refused (cross_site), because GATEPASS_PUBLIC_URL is {}. If people "
        "should open the dashboard at the first address, set GATEPASS_PUBLIC_URL to it"
    )
    opened_elsewhere = (
        "the dashboard was opened at {}, but GATEPASS_PUBLIC_URL is {}, where links in mail lead. "
        "If people should open it at the first address, set GATEPASS_PUBLIC_URL to it"
    )
    source_missing = (
        "the gateway {} doesn't send {} exactly once; its calls are refused (route_unknown)"
    )
    address_missing = (
        "the gateway {} doesn't send X-Forwarded-For; calls that a list of addresses limits are "
        "refused ({}). It must send the address of its client"
    )


class Misconfigurations:
    """Counts faults and logs each kind at most once a minute.

    Args:
        area: where the node counts them (``NodeCounters.misconfigurations``).

    Attributes:
        counter: of the node's faults.
    """

    def __init__(self, area: Area, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.counter = Counter(area, tuple(Fault))
        self._limit = LogLimit(monotonic)

    def note(self, fault: Fault, *seen: str) -> None:
        """Count *fault*, and log it unless it was logged within the last minute.

        Args:
            seen: the evidence, such as the peer's address: one text for each ``{}``. The log line
                has it quoted and cut.
        """
        self.counter.add(fault)
        left_out = self._limit.left_out(fault)
        if left_out is None:
            return
        more = f" ({left_out + 1} times since the last line)" if left_out else ""
        _log.warning("%s%s", fault.value.format(*map(_quoted, seen)), more)


def _quoted(text: str) -> str:
    """*text* as an ASCII literal, cut: a stranger can't log a line feed or control character."""
    return ascii(text[:_LONGEST_QUOTE])
