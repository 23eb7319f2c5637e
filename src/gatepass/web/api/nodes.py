"""``/v1/nodes``."""

from gatepass.registry.replication import node_status
from gatepass.web.api.parameters import Paging
from gatepass.web.api.records.nodes import Node
from gatepass.web.api.request_body import resource
from gatepass.web.api.shapes import Listed
from gatepass.web.caller import CurrentNode, SignedIn

router = resource("Nodes")


@router.get("/nodes", summary="Nodes and embedded verifiers")
def search(node: CurrentNode, actor: SignedIn, paging: Paging) -> Listed[Node]:
    """For operators. Everything that makes decisions from the grants, and how current it is."""
    with node.database.read(node.clock.now()) as reading:
        page = node_status.list_(reading, actor, **paging)
    return Listed[Node].of(page)
