"""An answer of the data plane."""

from typing import Final

import msgspec

from gatepass.web.http.answers import CLOSE, header_lines, rest_of
from gatepass.web.problems import Problem, problem_of_status

#: Header lines of an answer in JSON.
JSON: Final = b"content-type: application/json\r\ncache-control: no-store\r\n"


class Reply(msgspec.Struct, gc=False):
    """Status, header lines and body of an answer."""

    status: int
    lines: bytes
    body: bytes = b""
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

    def closing(self, close: bool) -> "Reply":
        """This reply; with ``Connection: close`` if *close*."""
        return Reply(self.status, self.lines + CLOSE, self.body) if close else self


def refusal(status: int, *more_headers: tuple[str, str]) -> Reply:
    """A problem document for a fault that HTTP has a status for, such as 404."""
    return Reply.of(problem_of_status(status, more_headers))
