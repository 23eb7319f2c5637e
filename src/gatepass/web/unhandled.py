"""Log lines about unexpected exceptions.

An exception's message may quote what a client sent, which may be a secret, so only its type and
place are logged. A client can repeat a request that provokes one, so each place is logged
once a minute.
"""

import logging
import traceback

from gatepass.log_limit import LogLimit

_log = logging.getLogger("gatepass.web")
_limit = LogLimit()


def log_unhandled(error: BaseException) -> None:
    """Log the type and traceback of an unexpected exception, without its message."""
    chain = _chain(error)
    kinds = " from ".join(f"{type(each).__module__}.{type(each).__qualname__}" for each in chain)
    places = [line for each in chain for line in traceback.format_tb(each.__traceback__)]
    if _limit.left_out((kinds, places[-1] if places else "")) is not None:
        _log.error("unhandled %s\n%s", kinds, "".join(places))


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain
