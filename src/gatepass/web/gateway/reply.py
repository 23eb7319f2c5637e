"""An answer of the data plane."""

from typing import Final

import msgspec

from gatepass.web import access_log
from gatepass.web.http.answers import CLOSE, header_lines, rest_of
from gatepass.web.problems import Problem, problem_of_status

#: Header lines of an answer in JSON.
JSON: Final = b"content-type: application/json\r\ncache-control: no-store\r\n"


class Reply(msgspec.Struct, gc=False):
    """Status, header lines and body of an answer.

    Attributes:
        token: for the access log, the id of the token it is about, if the token's secret matched;
            None where the answer names it, or nothing is logged.
        reason: for the access log, that of the decision; None where the answer names it.
    """

    status: int
    lines: bytes
    body: bytes = b""
    token: str | None = None
    reason: str | None = None
    _rest: bytes | None = None

    @classmethod
    def of(cls, problem: Problem, *more_headers: tuple[str, str]) -> "Reply":
        """A problem document."""
        lines = header_lines([*problem.headers(), *more_headers])
        return cls(problem.status, lines, problem.body())

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The header lines as pairs of name and value."""
        pairs = [line.partition(b": ") for line in self.lines.split(b"\r\n")[:-1]]
        return [(name, value) for name, _, value in pairs]

    def rest(self) -> bytes:
        """All of it after the first lines, for ``http.connection``; kept."""
        if self._rest is None:
            self._rest = rest_of(self.status, self.lines, self.body)
        return self._rest

    def told(self) -> tuple[str | None, str | None]:
        """The token's id and the reason, for the access log."""
        token, reason = access_log.told(self.headers, self.body)
        return self.token or token, self.reason or reason

    def adding(self, lines: bytes) -> "Reply":
        """This reply with more header lines. A new one: others may get the same reply."""
        return Reply(self.status, self.lines + lines, self.body, self.token, self.reason)

    def closing(self, close: bool) -> "Reply":
        """This reply; with ``Connection: close`` if *close*."""
        return self.adding(CLOSE) if close else self


def refusal(status: int, *more_headers: tuple[str, str]) -> Reply:
    """A problem document for a fault that HTTP has a status for, such as 404."""
    return Reply.of(problem_of_status(status, more_headers))
