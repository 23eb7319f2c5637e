"""The endpoints for services, which authenticate with a verifier key."""

from collections.abc import Callable
from functools import partial
from typing import Final

from gatepass.verify.verifier import Verifier
from gatepass.web.body_limits import MOST_BODY_BYTES
from gatepass.web.gateway import introspection
from gatepass.web.gateway.authzen import EVALUATION, EVALUATIONS, Evaluations
from gatepass.web.gateway.introspection import INTROSPECT
from gatepass.web.gateway.reply import Reply, refusal
from gatepass.web.gateway.verification import BATCH, VERIFY, Verification, failing_closed

#: The paths, all of which are POSTed to.
PATHS: Final = frozenset((VERIFY, BATCH, INTROSPECT, EVALUATION, EVALUATIONS))
#: Those of AuthZEN: they answer 400 to another media type than JSON's, and repeat a request's
#: X-Request-ID (AuthZEN 1.0, 10.1).
AUTHZEN: Final = frozenset((EVALUATION, EVALUATIONS))


class Services:
    """Answers services whose verifier key has just been checked.

    Args:
        verifier: makes the decisions.
    """

    def __init__(self, verifier: Verifier) -> None:
        verification = Verification(verifier)
        evaluations = Evaluations(verification)
        self._answers: dict[str, Callable[[bytes, frozenset[str] | None], Reply]] = {
            VERIFY: verification.one,
            BATCH: verification.batch,
            INTROSPECT: partial(introspection.answer, verifier),
            EVALUATION: evaluations.one,
            EVALUATIONS: evaluations.several,
        }

    def answer(self, path: str, body: bytes, companies: frozenset[str] | None) -> Reply:
        """Answer a request: 200 with what it asks for, or a problem document; never raises.

        Args:
            path: one of ``PATHS``.
            companies: the ids of those that the service's key is limited to; None is no limit.
        """
        if len(body) > MOST_BODY_BYTES:
            return refusal(413)
        return failing_closed(partial(self._answers[path], body, companies))
