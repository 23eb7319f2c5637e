"""A connection whose requests may have a body, which is read whole before they are answered."""

from abc import abstractmethod

from httptools import HttpParserCallbackError, HttpParserError

from gatepass.web.body_limits import Body, BodyRefused
from gatepass.web.http.connection import MOST_HEAD_BYTES, Connection, Connections


class BodyConnection(Connection):
    """A connection that reads the bodies it asks for. A subclass answers its requests."""

    def __init__(self, server: Connections) -> None:
        super().__init__(server)
        self._body: Body | None = None
        self._content = bytearray()
        self._counted = 0
        self._waited = False

    # --- for subclasses -----------------------------------------------------------------------

    @abstractmethod
    def body_received(self, content: bytes, *, at_once: bool) -> None:
        """Answer the request whose body was asked for.

        Args:
            at_once: the body came with the head; nothing else has happened since.
        """

    @abstractmethod
    def body_refused(self, refused: BodyRefused) -> None:
        """Answer a request whose body isn't read any further. The connection closes."""

    def read_body(self, body: Body) -> None:
        """Read the body of this request within *body*'s limits."""
        self._body = body
        self._waited = False
        self.deadline = self.server.tick + body.seconds

    # --- ends of a body -----------------------------------------------------------------------

    def close(self) -> None:
        """Close, as every connection does; a body is given up."""
        if not self._closing:
            self._release_body()
        super().close()

    def time_out(self) -> None:
        """Close the connection because its deadline has passed."""
        if self._body is not None and not self._closing:
            self._end_body(BodyRefused(408))
        else:
            super().time_out()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(error)
        self._release_body()

    def eof_received(self) -> bool:
        """The client sends no more: its answers are still sent; half a body gets one."""
        if self._body is not None:
            self._end_body(BodyRefused(400))
        return super().eof_received()

    # --- from the parser ----------------------------------------------------------------------

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body, or skip it."""
        if self._body is None:
            super().on_body(piece)
        else:
            self._field_bytes = 0
            self._content += piece

    def on_message_complete(self) -> None:
        """Answer the request whose body is complete."""
        if self._body is not None and not self._closing:
            content, at_once = bytes(self._content), not self._waited
            self._release_body()
            self.body_received(content, at_once=at_once)
        super().on_message_complete()

    def _parsing_failed(self, error: HttpParserError) -> None:
        if self._body is None or self._closing or isinstance(error, HttpParserCallbackError):
            super()._parsing_failed(error)
        else:
            self.refuse(400)

    def _count(self, arrived: int) -> None:
        if self._body is None:
            super()._count(arrived)
            return
        self._field_bytes += arrived
        self._waited = True
        counted, self._counted = self._counted, len(self._content)
        try:
            self._body.receive(self._counted - counted)
            if self._field_bytes > MOST_HEAD_BYTES:
                raise BodyRefused(413)
        except BodyRefused as refused:
            self._end_body(refused)

    def _end_body(self, refused: BodyRefused) -> None:
        self.body_refused(refused)
        self.close()

    def _release_body(self) -> None:
        if self._body is not None:
            self._body.release()
            self._body = None
            self._content = bytearray()
            self._counted = 0
