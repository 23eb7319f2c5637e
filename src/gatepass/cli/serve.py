"""``gatepass serve``: runs the server."""

import logging
from typing import Annotated

import typer

from gatepass import log_format
from gatepass.cli.catalogue_file import catalogue_text
from gatepass.cli.installation import opened
from gatepass.cli.tree import app
from gatepass.registry.directory.catalogue_versions import FileOutcome, follow_file
from gatepass.registry.directory.published_roles import follow_catalogue
from gatepass.registry.storage.schema import require_utf8
from gatepass.settings import Settings

#: Why a file doesn't count.
_LEFT_OUT: dict[FileOutcome, str] = {
    "earlier": "the file is an earlier version of the catalogue",
    "superseded": "another catalogue was published since; to publish the file, run gatepass "
    "catalogue publish",
}


@app.command()
def serve(
    accept_clock: Annotated[
        bool,
        typer.Option(
            "--accept-clock",
            help="Start even if the clock is behind the latest time this installation has seen.",
        ),
    ] = False,
) -> None:
    """Serve the dashboard, the REST API and decisions until stopped."""
    # Imported here: no other command needs a web server.
    from gatepass.web.server.supervisor import serve as run

    configured = Settings.configured()
    settings = Settings.read(configured.environ)
    log_format.configure(settings)
    log = logging.getLogger("gatepass.serve")
    for variable, missing in Settings.without_effect(configured.environ):
        log.warning("%s has no effect without %s", configured.located(variable), missing)
    text = catalogue_text(settings)
    with opened(settings, accept_clock=accept_clock) as node:
        require_utf8(node.database)
        if settings.catalogue is not None:
            outcome = follow_file(node.database, text, node.clock.now())
            if outcome in _LEFT_OUT:
                log.warning("GATEPASS_CATALOGUE has no effect: %s", _LEFT_OUT[outcome])
        follow_catalogue(node.database, node.first_catalogue, node.clock.now())
        clock = node.clock

    def ready() -> None:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        where = f"http://{host}:{settings.port}"
        gateways = [str(at) for at in (settings.verify_port, settings.verify_socket) if at]
        if settings.grpc_port is not None:
            gateways.append(f"{settings.grpc_port} (gRPC)")
        also = f", for gateways on {' and '.join(gateways)}" if gateways else ""
        if not settings.public_url_fits:
            log.warning(
                "GATEPASS_PUBLIC_URL has its default, %s: links in mail lead there",
                settings.public_url,
            )
        log.info("serving on %s%s", where, also)

    raise typer.Exit(run(settings, text, clock, when_ready=ready))
