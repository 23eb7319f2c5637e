"""Setting the demo up, telling how to get in, and serving it."""

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Misconfigured
from gatepass.demo.app import STORE
from gatepass.demo.lived_in import Made, fill
from gatepass.demo.sample_store import SampleStore
from gatepass.node import Node, make_data_dir, open_node
from gatepass.registry.schema import create_schema, schema_state
from gatepass.settings import Settings
from gatepass.web.serve import serve

APPLICATION = "gatepass.demo.app:create_app"
#: What of the environment the demo lets itself be told; it must not touch a real installation.
_HEEDED = ("GATEPASS_WORKERS", "GATEPASS_VERIFY_PORT", "GATEPASS_VERIFY_WORKERS")


def run(port: int, data_dir: Path | None) -> int:
    """Serve the demo until told to stop.

    Args:
        port: where; 0 is any free port.
        data_dir: keeps the installation; without it, it is thrown away at the end.

    Returns:
        The exit code.

    Raises:
        Misconfigured: the port is taken, or the directory holds something else.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    directory = (
        Path(tempfile.mkdtemp(prefix="gatepass-demo-")) if data_dir is None else data_dir.absolute()
    )
    try:
        make_data_dir(directory)
        return _run(directory, port or _free_port(), throwaway=data_dir is None)
    finally:
        if data_dir is None:
            shutil.rmtree(directory, ignore_errors=True)


def _run(directory: Path, port: int, *, throwaway: bool) -> int:
    catalogue_path = directory / "catalogue.yaml"
    text = (files("gatepass.demo") / "catalogue.yaml").read_text("utf-8")
    catalogue_path.write_text(text, "utf-8")
    heeded = {name: os.environ[name] for name in _HEEDED if name in os.environ}
    settings = Settings.read(
        {
            **heeded,
            "GATEPASS_DATA_DIR": str(directory),
            "GATEPASS_CATALOGUE": str(catalogue_path),
            "GATEPASS_PORT": str(port),
            "GATEPASS_PUBLIC_URL": f"http://127.0.0.1:{port}",
        }
    )
    node = open_node(settings, parse_catalogue(text))
    try:
        made = _set_up(node, port)
    finally:
        node.database.close()

    def ready() -> None:
        _tell(settings.public_url, port, made, throwaway=throwaway)

    return serve(settings, text, node.clock, application=APPLICATION, when_ready=ready)


def _set_up(node: Node, port: int) -> Made | None:
    state = schema_state(node.database)
    if state == "current":
        return None
    if state != "empty":
        raise Misconfigured(f"{node.settings.data_dir} holds an installation of another version")
    create_schema(node.database)
    SampleStore(node.settings.data_dir / STORE).fill(node.clock.now())
    return fill(node, "-".join(secrets.token_hex(3) for _ in range(3)), port)


def _tell(url: str, port: int, made: Made | None, *, throwaway: bool) -> None:
    """Print how to get in. To the terminal alone: nothing of it is kept."""
    console = Console(highlight=False, soft_wrap=True)
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold")
    facts.add_column(overflow="fold")
    facts.add_row("Dashboard", url)
    if made is None:
        facts.add_row("Sign in", "with what was printed when this directory was new")
    else:
        facts.add_row("E-mail", made.email)
        facts.add_row("Password", made.password)
        facts.add_row("Verifier key", made.verifier_key)
    facts.add_row("Demo page", f"http://localhost:{port}/demo")
    console.print()
    console.print(Text("Gatepass is ready.", style="bold green"))
    console.print(facts)
    if made is not None:
        console.print("\nA token is made already. Call the sample API with it:\n")
        print(f'  curl {url}/demo/v1/charges -H "Authorization: Bearer {made.api_token}"')
    end = "Ctrl-C stops it" + (" and throws everything away." if throwaway else ".")
    console.print(f"\n{end}\n")
    sys.stdout.flush()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
