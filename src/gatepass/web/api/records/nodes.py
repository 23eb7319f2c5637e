"""Nodes and embedded verifiers."""

from typing import Literal

from pydantic import Field

from gatepass.registry.replication.node_status import NodeStatus
from gatepass.web.api.shapes import Record, Time


class NodeLimits(Record):
    """The filter of a copy; an empty list is no limit."""

    companies: list[str] = Field(default=[])
    permissions: list[str] = Field(default=[])


class Node(Record):
    """A node, or a verifier embedded in an application."""

    id: str = Field(examples=["node_4fT0aB3cD5eF7gH9"])
    kind: Literal["node", "embedded"]
    name: str = Field(examples=["gate-1"], description="Its host name.")
    version: str = Field(examples=["1.0.0"])
    address: str | None = Field(examples=["203.0.113.7"])
    key_id: str | None = Field(
        examples=[None], description="The verifier key of an embedded verifier."
    )
    limits: NodeLimits | None = Field(
        examples=[None], description="The filter of its copy; null if it has all grants."
    )
    first_seen_at: Time
    seen_at: Time
    vouched_at: Time = Field(
        validation_alias="synced_at", description="When its copy was last known to be fresh."
    )
    state: NodeStatus = Field(
        description="`current`; `behind`: it lacks a change that is older than a second; `stale`: "
        "its copy isn't fresh, so it answers 503; `gone`: no heartbeat for a minute."
    )
    revision: int = Field(description="The latest revision it has acknowledged.")
    behind_by: int = Field(description="The number of later revisions.")
