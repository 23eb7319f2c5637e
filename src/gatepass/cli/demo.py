"""``gatepass demo``: a ready installation in a throwaway directory."""

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
        Path | None, typer.Option(help="Keep it in this directory, to be served again.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Try it: a company, an owner, a payments catalogue and a sample API, ready to sign in to."""
    from gatepass.demo.run import run

    raise typer.Exit(run(port, data_dir, as_json=json))
