"""``POST /v1/feed/acknowledgement``: a follower says what its copy has reached."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gatepass.registry.storage.revisions import Position
from gatepass.web.feed import request_body


class Acknowledgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Follower *node* refuses whatever was ended up to the position (*revision*, *tag*)."""

    node: Annotated[str, Meta(pattern=r"^node_[0-9A-Za-z]{16}$", max_length=21)]
    revision: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    tag: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$", max_length=16)]


def read_acknowledgement(content: bytes) -> tuple[str, Position]:
    """Who acknowledges, and what.

    Raises:
        BrokenJSON, InvalidInput: it can't be read.
    """
    said = request_body.read(content, Acknowledgement)
    return said.node, (said.revision, said.tag)
