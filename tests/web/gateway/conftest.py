"""Clients that ask the same of the plain class, through ASGI, and of real workers on both ports."""

from collections.abc import Iterator

import pytest

from gatepass.core.networks import parse_network
from gatepass.settings import DEFAULT_PUBLIC_URL, Settings
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.gateway.endpoints import Endpoints
from tests.support.apps.gateway_clients import Ask, asgi, plain
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Worker, ask

TRUSTED = ("127.0.0.0/8", "10.0.0.0/8")


@pytest.fixture(scope="session")
def shared_samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """A grant file that no test changes."""
    samples = Samples(tmp_path_factory.mktemp("authz") / "gatepass.db")
    # As the workers do.
    samples.file.shared.set_public_url(DEFAULT_PUBLIC_URL)
    yield samples
    samples.close()


@pytest.fixture(scope="session")
def chosen(shared_samples: Samples) -> Settings:
    """The settings of the workers on that file."""
    return Settings(
        data_dir=shared_samples.path.parent,
        database_url=f"sqlite:///{shared_samples.path}",
        trusted_proxies=tuple(map(parse_network, TRUSTED)),
    )


@pytest.fixture(scope="session")
def verify_port(chosen: Settings) -> Iterator[int]:
    """The port of a real verify worker."""
    with Worker("verify", chosen) as worker:
        yield worker.port


@pytest.fixture(scope="session")
def main_port(chosen: Settings) -> Iterator[int]:
    """The port of a real main worker."""
    with Worker("main", chosen) as worker:
        yield worker.port


@pytest.fixture(params=["verify port", "main port"])
def port(request: pytest.FixtureRequest) -> int:
    """The verify port and the main port in turn."""
    found: int = request.getfixturevalue(request.param.replace(" ", "_"))
    return found


@pytest.fixture
def endpoints(shared_samples: Samples) -> Endpoints:
    """The plain class."""
    return Endpoints(shared_samples.verifier(), TrustedProxies.of(TRUSTED), lambda: None)


@pytest.fixture(params=["plain", "asgi", "verify port", "main port"])
def asked(request: pytest.FixtureRequest, endpoints: Endpoints) -> Ask:
    """A client of each kind in turn: method, path, headers, body."""
    if request.param == "plain":
        return plain(endpoints)
    if request.param == "asgi":
        return asgi(endpoints)
    port: int = request.getfixturevalue(request.param.replace(" ", "_"))
    return lambda *what: ask(port, *what)
