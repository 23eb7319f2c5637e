"""``/v1/nodes``."""

from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from gatepass.registry.replication import node_status
from gatepass.web.api.shapes import Limit, Listed, PageCursor, Record, Time
from gatepass.web.caller import OurNode, SignedIn

router = APIRouter(tags=["Nodes"])


class Limits(Record):
    """What a copy is limited to; an empty list is no limit."""

    companies: list[str] = Field(default=[])
    permissions: list[str] = Field(default=[])


class Node(Record):
    """A node, or a verifier embedded in an application."""

    id: str
    kind: Literal["node", "embedded"]
    name: str = Field(description="Of its machine.")
    version: str
    address: str | None
    key_id: str | None = Field(description="The verifier key that an embedded one follows with.")
    limits: Limits | None = Field(description="What its copy is limited to; null: nothing.")
    first_seen_at: Time
    seen_at: Time
    vouched_at: Time = Field(
        validation_alias="synced_at",
        description="The latest time it is known to have been in sync with the registry.",
    )
    state: node_status.NodeStatus = Field(
        description="`current`; `behind`: it lacks changes older than a second; `stale`: out of "
        "sync for too long, it answers 503; `gone`: no heartbeat for a minute."
    )
    revision: int = Field(description="The latest change it has acknowledged.")
    behind_by: int = Field(description="How many changes are later.")


@router.get("/nodes", summary="Nodes and embedded verifiers")
def search(
    node: OurNode, actor: SignedIn, limit: Limit | None = None, cursor: PageCursor = None
) -> Listed[Node]:
    """For operators. Who decides by these grants, and how far each has come."""
    with node.database.read(node.clock.now()) as reading:
        page = node_status.list_(reading, actor, limit=limit, cursor=cursor)
    items = [Node.model_validate(each) for each in page.items]
    return Listed[Node](items=items, next=page.next)
