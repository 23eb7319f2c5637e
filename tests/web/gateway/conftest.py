"""The same questions asked in three ways: of the plain class, through ASGI, and over the wire of
real workers on both ports."""

from collections.abc import Iterator

import pytest

from gatepass.core.networks import parse_network
from gatepass.settings import Settings
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.gateway.endpoints import Endpoints
from tests.support.apps.gateway_clients import Ask, asgi, plain
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Worker, ask

TRUSTED = ("127.0.0.0/8", "10.0.0.0/8")


@pytest.fixture(scope="session")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    """A grant file that nobody changes."""
    samples = Samples(tmp_path_factory.mktemp("authz") / "gatepass.db")
    yield samples
    samples.close()


@pytest.fixture(scope="session")
def chosen(cast: Samples) -> Settings:
    """The settings of workers on it."""
    return Settings(
        data_dir=cast.path.parent,
        database_url=f"sqlite:///{cast.path}",
        trusted_proxies=tuple(map(parse_network, TRUSTED)),
    )


@pytest.fixture(scope="session")
def verify_port(chosen: Settings) -> Iterator[int]:
    """A real worker of the verify port."""
    worker = Worker("verify", chosen)
    yield worker.port
    worker.stop()


@pytest.fixture(scope="session")
def main_port(chosen: Settings) -> Iterator[int]:
    """A real worker of the main port."""
    worker = Worker("main", chosen)
    yield worker.port
    worker.stop()


@pytest.fixture(params=["verify port", "main port"])
def port(request: pytest.FixtureRequest) -> int:
    """Each port in turn."""
    found: int = request.getfixturevalue(request.param.replace(" ", "_"))
    return found


@pytest.fixture
def endpoints(cast: Samples) -> Endpoints:
    """The plain class."""
    return Endpoints(cast.verifier(), TrustedProxies.of(TRUSTED), lambda: None)


@pytest.fixture(params=["plain", "asgi", "verify port", "main port"])
def asked(request: pytest.FixtureRequest, endpoints: Endpoints) -> Ask:
    """Asks in each way in turn: method, path, headers, body."""
    if request.param == "plain":
        return plain(endpoints)
    if request.param == "asgi":
        return asgi(endpoints)
    port: int = request.getfixturevalue(request.param.replace(" ", "_"))
    return lambda *what: ask(port, *what)
