"""Calls that are sent through the gateway, each told apart by an origin of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from gatepass.core.observed_call import is_decision_id
from gatepass.doctor.wire import Answer, Gateway, Headers

#: Their answer to a refused call.
REFUSED = (401, 403)


@dataclass(frozen=True, slots=True)
class Probe:
    """A call and its answer.

    Attributes:
        method, target: as sent.
        origin: that only this call had.
        counted: whether it had a token, so that Gatepass counts it if it is asked.
    """

    method: str
    target: str
    origin: str
    counted: bool
    answer: Answer

    @property
    def call(self) -> str:
        """The call, for a report."""
        return f"{self.method} {self.target.partition('?')[0]}"

    @property
    def refused(self) -> bool:
        """Whether it was answered as a refusal."""
        return self.answer.status in REFUSED

    @property
    def told(self) -> str | None:
        """The reason that the answer names; None if it names none."""
        return self.answer.header("x-gatepass-reason") or None

    @property
    def decision(self) -> str | None:
        """The id of the refusal that the answer names; None if it names none."""
        id = (self.answer.header("x-gatepass-help") or "").rpartition("/")[2]
        return id if is_decision_id(id) else None


@dataclass(slots=True)
class Prober:
    """Sends calls.

    Args:
        gateway: to send them to.
        path: of the API, by default.
        token: the text to send, unless a call says otherwise.
        run: letters of this examination alone.

    Attributes:
        sent: all calls.
    """

    gateway: Gateway
    path: str
    token: str
    run: str
    sent: list[Probe] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def call(
        self,
        method: str = "GET",
        target: str | None = None,
        headers: Headers = (),
        *,
        credential: Sequence[tuple[str, str]] | None = None,
        origin: str | None = None,
        origin_in: str = "Origin",
    ) -> Probe:
        """Send a call.

        Args:
            target: by default the path, with a query that no cache has seen.
            credential: the headers with one; by default ``Authorization`` with the token.
            origin: by default one of its own.
            origin_in: the header with the origin: ``Origin`` or ``Referer``.

        Raises:
            Unreachable: there was no answer.
        """
        number = next(self._numbers)
        target = f"{self.path}?doctor={number}-{self.run}" if target is None else target
        if credential is None:
            credential = (("Authorization", f"Bearer {self.token}"),)
        origin = origin or f"https://p{number}-{self.run}.gatepass-doctor.invalid"
        page = origin if origin_in == "Origin" else f"{origin}/page?x=1"
        answer = self.gateway.ask(method, target, (*credential, (origin_in, page), *headers))
        probe = Probe(method, target, origin, bool(credential), answer)
        self.sent.append(probe)
        return probe
