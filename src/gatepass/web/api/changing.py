"""The change of a POST: carried out in one transaction, and once for each ``Idempotency-Key``."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Header, Request, Response

from gatepass.core.decision import Reason
from gatepass.core.errors import GatepassError, InvalidInput, NotConfirmed
from gatepass.node.node import Node
from gatepass.registry.storage.database import Change, Reading, Repeated
from gatepass.registry.storage.idempotent_answers import Answer, IdempotentRequest
from gatepass.web.api.confirmation import mark
from gatepass.web.api.shapes import Record
from gatepass.web.caller import credential_in_use, node_of

HEADER = "Idempotency-Key"

R = TypeVar("R", bound=Record)

_key = re.compile("[!-~]{16,255}").fullmatch
_KEPT_HEADERS = ("etag", "location")


@dataclass
class Changing:
    """Carries out the change of one request, and makes its answer.

    Attributes:
        node: answers the request.
        response: collects the answer's headers.
        status: of the answer.
        request: the request, if it has an ``Idempotency-Key``.
    """

    node: Node
    response: Response
    status: int
    request: IdempotentRequest | None

    def __call__(self, operation: Callable[[Change], R | GatepassError]) -> R:
        """Carry out *operation*, or answer a repeated request as the first time.

        Args:
            operation: returns the answer, which the change includes; or an error to raise once the
                change is committed, which a repetition doesn't get again.

        Raises:
            GatepassError: the operation returned it.
            Conflict: ``idempotency_mismatch``: the key was used with another body.
            NotConfirmed: this node's copy doesn't include the change yet, and it made nothing new.
        """
        change: Change | None = None
        try:
            with self.node.database.write(self.node.clock.now()) as change:
                self.begin(change)
                made = operation(change)
                if not isinstance(made, GatepassError):
                    self.keep(change, made)
        except Repeated as repeated:
            assert change is not None
            return cast(R, self.again(repeated, change.confirmed))
        if isinstance(made, GatepassError):
            raise made
        return self.settled(made, change.confirmed)

    def reading(self, operation: Callable[[Reading], R]) -> R:
        """Answer with what *operation* reads, which checks the actor; likewise once for each key.

        It reads outside the lock of all changes.
        """
        with self.node.database.read(self.node.clock.now()) as reading:
            made = operation(reading)
        return made if self.request is None else self(lambda _: made)

    def begin(self, change: Change) -> None:
        """Let *change* end if the request was carried out before."""
        if self.request is not None:
            self.request.watch(change)

    def keep(self, change: Change, made: R) -> None:
        """Store the answer for a repetition."""
        if self.request is not None:
            headers = self.response.headers
            kept = [(name, headers[name]) for name in _KEPT_HEADERS if name in headers]
            body = made.model_dump_json().encode()
            self.request.keep(change, Answer(self.status, kept, body))

    def settled(self, made: R, confirmed: bool) -> R:
        """The answer *made*: a creation's with a header if it is not confirmed yet.

        Raises:
            NotConfirmed: any other isn't.
        """
        if not confirmed and self.status == 200:
            raise NotConfirmed(made.model_dump(mode="json"))
        mark(self.response, confirmed)
        return made

    def again(self, repeated: Repeated, confirmed: bool) -> Any:
        """The answer to the first request."""
        answer = cast(Answer, repeated.answer)
        if not confirmed and answer.status == 200:
            raise NotConfirmed(json.loads(answer.body))
        response = Response(
            answer.body,
            answer.status,
            headers=dict(answer.headers),
            media_type="application/json",
        )
        mark(response, confirmed)
        return response


async def _changing(
    request: Request,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias=HEADER,
            json_schema_extra={"minLength": 16, "maxLength": 255},
            description="16 to 255 visible ASCII characters. A repetition with the same key, "
            "credential, path and body within 24 hours gets the same answer and changes nothing; "
            "another body is 409 `idempotency_mismatch`.",
        ),
    ] = None,
) -> Changing:
    status = request.scope["route"].status_code or 200
    credential = credential_in_use(request)
    keyed = None
    if idempotency_key is not None and not isinstance(credential, Reason):
        if len(request.headers.getlist(HEADER)) > 1 or not _key(idempotency_key):
            raise InvalidInput([(HEADER, "Must be 16 to 255 visible ASCII characters, once.")])
        keyed = IdempotentRequest(
            credential, idempotency_key, request.scope["path"], await request.body()
        )
    return Changing(node_of(request), response, status, keyed)


#: The parameter of a POST that changes something; after the caller, who is admitted first.
CurrentChange = Annotated[Changing, Depends(_changing)]
