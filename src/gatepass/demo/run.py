"""``gatepass demo``: creates an installation if there is none, prints credentials, and serves."""

import json
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.errors import Misconfigured
from gatepass.demo import acme
from gatepass.demo.acme import Credentials
from gatepass.demo.sample_store import FILE_NAME, SampleStore
from gatepass.environment import PREFIX
from gatepass.node.node import Node, open_node
from gatepass.registry.directory.catalogue_versions import follow_file
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.storage.schema import create_schema, schema_state
from gatepass.settings import Settings
from gatepass.web.server.supervisor import serve

HOST = "127.0.0.1"
_TITLES = {
    "address": "Address",
    "email": "E-mail",
    "password": "Password",
    "verifier_key": "Verifier key",
    "access_token": "Access token",
    "demo_page": "Demo page",
}
_APPLICATION = "gatepass.demo.app:create_app"
# The only settings read from the environment: a demo never touches a real installation's database.
_KEPT_SETTINGS = frozenset(
    ("PORT", "WORKERS", "VERIFY_PORT", "VERIFY_WORKERS", "TRUSTED_PROXIES", "LOGIN_LIFETIME")
)


def run(port: int | None, data_dir: Path | None, *, as_json: bool = False) -> int:
    """Serve the demo until it is stopped.

    Args:
        port: 0 for any free one; None for GATEPASS_PORT.
        as_json: print the credentials as one line of JSON.
        data_dir: kept for later runs; None for a temporary one that is removed at the end.

    Returns:
        The exit code.

    Raises:
        Misconfigured: the port is taken, the directory holds something else, or a setting can't be
            read.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    # A closed terminal stops the demo as cleanly as Ctrl-C does.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    port = _free_port(Settings.read(_kept_environ()).port if port is None else port)
    with _directory(data_dir) as directory:
        settings = _settings(port, directory)
        text = files("gatepass.demo").joinpath("catalogue.yaml").read_text("utf-8")
        node = open_node(settings, parse_catalogue(text))
        try:
            credentials = _create_if_absent(node, text)
            page_token = acme.new_page_token(node, port)
            with node.database.read(node.clock.now()) as reading:
                email = acme.owner(reading).email
        finally:
            node.database.close()

        def ready() -> None:
            facts = _facts(settings, email, credentials)
            if as_json:
                print(json.dumps(facts))
            else:
                _print(facts, kept_in=None if data_dir is None else directory)
            sys.stdout.flush()

        return serve(
            settings,
            text,
            node.clock,
            application=_APPLICATION,
            argument=page_token,
            when_ready=ready,
        )


def _create_if_absent(node: Node, catalogue: str) -> Credentials | None:
    """Create the installation, with the text of a catalogue; None if an earlier run did."""
    directory = node.settings.data_dir
    samples = directory / FILE_NAME
    state = schema_state(node.database)
    if state == "empty":
        create_schema(node.database)
        follow_file(node.database, catalogue, node.clock.now())
        credentials = acme.create_company(node)
        # Created last, so that its presence marks a complete installation.
        SampleStore(samples).fill(node.clock.now())
        return credentials
    if not samples.exists():
        raise Misconfigured(
            f"{directory} holds an installation that is no demo; choose another --data-dir"
        )
    if state != "current":
        raise Misconfigured(
            f"the demo in {directory} was made by another version; choose another --data-dir"
        )
    follow_file(node.database, catalogue, node.clock.now())
    follow_catalogue(node.database, node.first_catalogue, node.clock.now())
    return None


def _kept_environ() -> dict[str, str]:
    names = {PREFIX + name for name in _KEPT_SETTINGS}
    return {name: text for name, text in os.environ.items() if name in names}


def _settings(port: int, directory: Path) -> Settings:
    return Settings.read(
        {
            **_kept_environ(),
            f"{PREFIX}DATA_DIR": str(directory),
            f"{PREFIX}HOST": HOST,
            f"{PREFIX}PORT": str(port),
            f"{PREFIX}PUBLIC_URL": f"http://{HOST}:{port}",
        }
    )


@contextmanager
def _directory(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept.expanduser().absolute()
        return
    directory = tempfile.mkdtemp(prefix="gatepass-demo-")
    try:
        yield Path(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _free_port(port: int) -> int:
    """*port* if it is free, or any free one for 0. Checked before anything is created."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError as error:
            raise Misconfigured(
                f"can't listen on port {port} ({error.strerror}); choose another with --port N, or "
                "--port 0 for any"
            ) from None
        free: int = probe.getsockname()[1]
        return free


def _facts(settings: Settings, email: str, credentials: Credentials | None) -> dict[str, str]:
    facts = {"address": settings.public_url, "email": email}
    if credentials is not None:
        facts |= {
            "password": credentials.password,
            "verifier_key": credentials.verifier_key,
            "access_token": credentials.access_token,
        }
    token = facts.get("access_token", "$TOKEN")
    return facts | {
        "demo_page": f"http://localhost:{settings.port}/demo",
        "try": f'curl -H "Authorization: Bearer {token}" {settings.public_url}/demo/v1/charges',
    }


def _print(facts: dict[str, str], *, kept_in: Path | None) -> None:
    # Never wrapped, cut or coloured in parts, so that values can be selected and copied.
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"\nGatepass demo: {acme.COMPANY}\n", style="bold")
    for name, value in facts.items():
        if name != "try":
            console.print(f"  {_TITLES[name] + ':':<14}{value}")
    if "password" not in facts:
        console.print("\n  The credentials were printed when this demo was created.")
    console.print(f"\nTry it:\n  {facts['try']}\n")
    end = f"The data is kept in {kept_in}." if kept_in else "Then all its data is deleted."
    console.print(f"Ctrl-C stops it. {end}", style="dim")
