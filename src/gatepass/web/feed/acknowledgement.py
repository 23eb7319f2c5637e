"""``POST /v1/feed/acknowledgement``: a follower reports its copy's position."""

import re
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from gatepass.core.errors import InvalidInput
from gatepass.registry.storage.revisions import Position
from gatepass.web.feed import request_body


class Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Follower *node* refuses everything revoked up to the position (*revision*, *tag*)."""

    node: Annotated[str, Meta(pattern=r"^node_[0-9A-Za-z]{16}$", max_length=21)]
    revision: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    tag: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$", max_length=16)]


class Acknowledged(NamedTuple):
    """What a follower reports.

    Attributes:
        node: the id that it claims.
        use_age_ms: it has reported all calls that it allowed until so long ago; None if it doesn't
            say so.
    """

    node: str
    position: Position
    use_age_ms: int | None


def read_acknowledgement(content: bytes, query: bytes) -> Acknowledged:
    """Parse an acknowledgement.

    Other parameters are ignored, so that later releases can add some.

    Raises:
        BrokenJSON, InvalidInput: the body or the query string isn't valid.
    """
    sent = request_body.read(content, Acknowledgement)
    return Acknowledged(sent.node, (sent.revision, sent.tag), _use_age_ms(query))


def _use_age_ms(query: bytes) -> int | None:
    found = [value for name, value in parse_qsl(query.decode("latin-1")) if name == "use_age_ms"]
    if not found:
        return None
    if len(found) > 1 or not _age(found[0]):
        raise InvalidInput([("use_age_ms", "Must be a whole number, given once.")])
    return int(found[0])


_age = re.compile("[0-9]{1,15}", re.ASCII).fullmatch
