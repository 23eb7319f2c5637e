"""``gatepass node``: nodes and embedded verifiers."""

import typer

from gatepass.cli.installation import opened
from gatepass.cli.output import AsJson, as_sent, print_json, print_table
from gatepass.cli.tree import app
from gatepass.registry.actor import Actor
from gatepass.registry.replication import node_status
from gatepass.registry.storage.paging import each
from gatepass.web.api.nodes import Node

group = typer.Typer(help="Nodes and embedded verifiers.", no_args_is_help=True)
app.add_typer(group, name="node")


@group.callback()
def _node() -> None:
    """Makes Typer keep the group with its only command."""


@group.command("list")
def list_(json: AsJson = False) -> None:
    """List nodes and embedded verifiers with their state and revision."""
    with opened() as node, node.database.read(node.clock.now()) as reading:
        actor = Actor.command_line()
        found = list(each(lambda cursor: node_status.list_(reading, actor, cursor=cursor)))
    if json:
        items = [as_sent(Node.model_validate(known)) for known in found]
        print_json({"items": items, "next": None})
        return
    print_table(
        ("Name", "Kind", "State", "Revision", "Behind", "Last synced", "Version", "Address", "Id"),
        (
            (
                known.name,
                known.kind,
                known.state,
                str(known.revision),
                str(known.behind_by),
                f"{known.synced_ms / 1000:.1f} s ago",
                known.version,
                known.address or "-",
                known.id,
            )
            for known in found
        ),
    )
