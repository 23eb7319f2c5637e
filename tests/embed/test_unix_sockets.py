"""Behind a proxy on a Unix socket: each server tells such a peer in its own way."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.grants.grant_file_fixture import Grants
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving

pytestmark = pytest.mark.processes

BIN = Path(sys.executable).parent
APPLICATION = """
import json, os

from gatepass import GatepassMiddleware, open_verifier
from gatepass.embed import wsgi

verifier = open_verifier(os.environ["GRANTS"])
options = {
    "permissions": {"GET /charges": "charges:get"},
    "trusted_proxies": json.loads(os.environ["TRUSTED"]),
}

async def api(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

def api_wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b""]

asgi = GatepassMiddleware(api, verifier, **options)
wsgi = wsgi.GatepassMiddleware(api_wsgi, verifier, **options)

def django(asynchronous):
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path

    settings.configure(
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="application",
        MIDDLEWARE=["gatepass.embed.django.GatepassMiddleware"],
        GATEPASS={
            "VERIFIER": lambda: verifier,
            **{name.upper(): value for name, value in options.items()},
        },
    )
    globals()["urlpatterns"] = [path("charges", lambda request: HttpResponse())]
    return get_asgi_application() if asynchronous else get_wsgi_application()

if os.environ["DJANGO"]:
    application = django(os.environ["DJANGO"] == "asgi")
"""
WERKZEUG = """
import sys
from werkzeug.serving import run_simple
from application import wsgi
host = sys.argv[1]
run_simple(host, int(sys.argv[2]), wsgi)
"""

#: The command; how it is told a socket and a port; which of Django's applications it serves.
SERVERS: dict[str, tuple[list[str], str, str, str]] = {
    # Uvicorn itself believes who calls from 127.0.0.1, unless told not to.
    "uvicorn": (
        ["uvicorn", "--no-proxy-headers", "application:asgi"],
        "--uds={path}",
        "--port={port}",
        "",
    ),
    "granian": (
        ["granian", "--interface", "asgi", "application:asgi"],
        "--uds={path}",
        "--port={port}",
        "",
    ),
    "hypercorn": (
        ["hypercorn", "application:asgi"],
        "--bind=unix:{path}",
        "--bind=127.0.0.1:{port}",
        "",
    ),
    "gunicorn asgi": (
        ["gunicorn", "-k", "asgi", "application:asgi"],
        "--bind=unix:{path}",
        "--bind=127.0.0.1:{port}",
        "",
    ),
    "gunicorn": (
        ["gunicorn", "application:wsgi"],
        "--bind=unix:{path}",
        "--bind=127.0.0.1:{port}",
        "",
    ),
    "granian wsgi": (
        ["granian", "--interface", "wsgi", "application:wsgi"],
        "--uds={path}",
        "--port={port}",
        "",
    ),
    # Waitress itself removes what it was not told to trust.
    "waitress": (
        ["waitress-serve", "--no-clear-untrusted-proxy-headers", "application:wsgi"],
        "--unix-socket={path}",
        "--listen=127.0.0.1:{port}",
        "",
    ),
    "uwsgi": (
        ["uwsgi", "--die-on-term", "--master", "--module", "application:wsgi"],
        "--http-socket={path}",
        "--http-socket=127.0.0.1:{port}",
        "",
    ),
    "werkzeug": (["python", "serve.py"], "unix://{path} 0", "127.0.0.1 {port}", ""),
    "django uvicorn": (
        ["uvicorn", "--no-proxy-headers", "application:application"],
        "--uds={path}",
        "--port={port}",
        "asgi",
    ),
    "django gunicorn": (
        ["gunicorn", "application:application"],
        "--bind=unix:{path}",
        "--bind=127.0.0.1:{port}",
        "wsgi",
    ),
}


@contextmanager
def served(
    name: str, directory: Path, grants: Path, trusted: str, *, socket: bool
) -> Iterator[httpx.Client]:
    (directory / "application.py").write_text(APPLICATION)
    (directory / "serve.py").write_text(WERKZEUG)
    (program, *command), on_socket, on_port, django = SERVERS[name]
    where, port = directory / "s", free_port()
    place = (on_socket if socket else on_port).format(path=where, port=port).split()
    order = [*place, *command] if program == "waitress-serve" else [*command, *place]
    each_its_own = httpx.Limits(max_keepalive_connections=0)
    transport = httpx.HTTPTransport(uds=str(where) if socket else None, limits=each_its_own)
    base = "http://api.example" if socket else f"http://127.0.0.1:{port}"
    with (
        httpx.Client(base_url=base, transport=transport) as client,
        serving(
            [str(BIN / program), *order],
            lambda: client.get("/charges"),
            directory,
            PYTHONPATH=str(directory),
            GRANTS=str(grants),
            TRUSTED=trusted,
            DJANGO=django,
        ),
    ):
        yield client


def outcome(client: httpx.Client, token: str, forwarded: str | None) -> str:
    headers = {"x-access-token": token}
    if forwarded is not None:
        headers["x-forwarded-for"] = forwarded
    answer = client.get("/charges", headers=headers)
    return "allowed" if answer.status_code == 200 else str(answer.json()["reason"])


@pytest.mark.parametrize("name", SERVERS)
def test_a_trusted_unix_socket_speaks_for_other_addresses(
    name: str, grants: Grants, tmp_path: Path
) -> None:
    token = grants.token(networks=("198.51.100.0/24",))
    anywhere = grants.token()
    with served(name, tmp_path, grants.path, '["unix:"]', socket=True) as client:
        assert outcome(client, token, "198.51.100.7") == "allowed"
        assert outcome(client, token, "6.6.6.6, 198.51.100.7") == "allowed"
        assert outcome(client, token, "198.51.100.7, 6.6.6.6") == "address_not_allowed"
        assert outcome(client, token, None) == "address_not_allowed"
        assert outcome(client, anywhere, None) == "allowed"
        assert outcome(client, anywhere, "nonsense") == "address_not_allowed"


@pytest.mark.parametrize("name", ["uvicorn", "granian wsgi", "uwsgi", "waitress", "werkzeug"])
def test_an_untrusted_one_speaks_for_nobody(name: str, grants: Grants, tmp_path: Path) -> None:
    tokens = [
        grants.token(networks=(network,))
        for network in ("198.51.100.0/24", "0.0.0.0/1", "127.0.0.0/8")
    ]
    with served(name, tmp_path, grants.path, '["127.0.0.0/8"]', socket=True) as client:
        for token in tokens:
            assert outcome(client, token, "198.51.100.7") == "address_not_allowed"
        assert outcome(client, grants.token(), "nonsense") == "allowed"


@pytest.mark.parametrize("name", SERVERS)
def test_to_trust_unix_sockets_is_to_trust_no_peer_over_tcp(
    name: str, grants: Grants, tmp_path: Path
) -> None:
    """Anybody who can connect to a port could write any address into the header."""
    token = grants.token(networks=("198.51.100.0/24",))
    local = grants.token(networks=("127.0.0.0/8",))
    with served(name, tmp_path, grants.path, '["unix:"]', socket=False) as client:
        assert outcome(client, token, "198.51.100.7") == "address_not_allowed"
        assert outcome(client, local, "198.51.100.7") == "allowed"
