"""``gatepass node``: nodes and embedded verifiers."""

import typer

from gatepass.cli.installation import every
from gatepass.cli.output import AsJson, print_list
from gatepass.cli.tree import app
from gatepass.registry.replication import node_status
from gatepass.web.api.records.nodes import Node

group = typer.Typer(no_args_is_help=True)
app.add_typer(group, name="node")


@group.callback()
def _node() -> None:
    """Makes Typer keep the group with its only command."""


@group.command("list")
def list_(json: AsJson = False) -> None:
    """List nodes and embedded verifiers with their state and revision."""
    print_list(
        json,
        Node,
        every(node_status.list_),
        ("Name", "Kind", "State", "Revision", "Behind", "Last synced", "Version", "Address", "Id"),
        lambda node: (
            node.name,
            node.kind,
            node.state,
            str(node.revision),
            str(node.behind_by),
            f"{node.synced_ms / 1000:.1f} s ago",
            node.version,
            node.address or "-",
            node.id,
        ),
    )
