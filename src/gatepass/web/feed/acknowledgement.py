"""``POST /v1/feed/acknowledgement``: a follower reports its copy's position."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gatepass.registry.storage.revisions import Position
from gatepass.web.feed import request_body


class Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Follower *node* refuses everything revoked up to the position (*revision*, *tag*)."""

    node: Annotated[str, Meta(pattern=r"^node_[0-9A-Za-z]{16}$", max_length=21)]
    revision: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    tag: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$", max_length=16)]


def read_acknowledgement(content: bytes) -> tuple[str, Position]:
    """Parse an acknowledgement: the id that the follower claims, and its position.

    Raises:
        BrokenJSON, InvalidInput: the body isn't valid.
    """
    sent = request_body.read(content, Acknowledgement)
    return sent.node, (sent.revision, sent.tag)
