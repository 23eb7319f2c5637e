"""``gatepass demo``: runs a sample installation."""

from pathlib import Path
from typing import Annotated

import typer

from gatepass.cli.output import AsJson
from gatepass.cli.tree import app


@app.command()
def demo(
    port: Annotated[
        int | None,
        typer.Option(
            help="The port to listen on; 0 for a free one.",
            min=0,
            max=65_535,
            show_default="GATEPASS_PORT, else 8787",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data in this directory, to run it again.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Try Gatepass: a company, an owner, a payments catalogue and a guarded sample API."""
    from gatepass.demo.run import run

    raise typer.Exit(run(port, data_dir, as_json=json))
