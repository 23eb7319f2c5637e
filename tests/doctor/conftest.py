"""Fixtures: an installation in this process, and a doctor for gateways in front of it."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.core.networks import parse_network
from gatepass.doctor.echo import Echo
from gatepass.doctor.examination import Examination, paths_of
from gatepass.doctor.findings import Finding
from gatepass.doctor.wire import Gateway
from gatepass.node.node import Node, open_node
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.settings import Settings
from gatepass.verify.http.client_address import TrustedProxies
from gatepass.web.gateway.connection import Port
from gatepass.web.gateway.endpoints import Endpoints
from gatepass.web.gateway.envoy_grpc import EnvoyGrpc
from gatepass.web.http.server import Server, listener
from tests.support.apps.installation import CATALOGUE
from tests.support.processes.ports import free_port

_COUNT_S = 0.05


@dataclass(frozen=True)
class Doctor:
    """Examines gateways that ask *node*."""

    node: Node
    company: str

    def examine(
        self, url: str, echo: Echo | None = None, *, address: str | None = None
    ) -> dict[str, Finding]:
        """The findings by the names of their checks."""
        path = paths_of(self.node.catalogue)[0]
        gateway = Gateway.at(url)
        found = Examination(self.node, gateway, path, self.company, address, echo, 3).findings()
        return {each.check.name: each for each in found}


@pytest.fixture(scope="module")
def doctor(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doctor]:
    """A doctor for an installation whose calls are counted at once."""
    data = tmp_path_factory.mktemp("doctor")
    shutil.copy(sqlite_template, data / "gatepass.db")
    settings = Settings(
        data_dir=data,
        database_url=f"sqlite:///{data}/gatepass.db",
        # A gateway is trusted, and the address that the doctor calls from isn't.
        trusted_proxies=(parse_network("127.0.0.1/32"),),
    )
    node = open_node(settings, parse_catalogue(CATALOGUE))
    node.file.shared.set_public_url(settings.public_url)
    with node.database.write(node.clock.now()) as change:
        company = companies.create(
            change, Actor.command_line(), catalogue=node.catalogue, name="Analytical Engines"
        )
    done = threading.Event()

    def count() -> None:
        while not done.wait(_COUNT_S):
            node.usage.flush()
            node.fold()

    counting = threading.Thread(target=count)
    counting.start()
    with pytest.MonkeyPatch.context() as patch:
        # All calls are counted by one process.
        patch.setattr("gatepass.doctor.account._LATE_S", 0.5)
        yield Doctor(node, company.id)
    done.set()
    counting.join()
    node.stop()


@pytest.fixture(scope="module")
def endpoints(doctor: Doctor) -> Endpoints:
    """What gateways ask."""
    trusted = TrustedProxies.of(doctor.node.settings.trusted_proxies)
    return Endpoints(doctor.node.verifier, trusted, lambda: None)


@pytest.fixture(scope="module")
def asked(endpoints: Endpoints) -> Iterator[dict[str, int]]:
    """Ports of Gatepass in this process: that of the verify port, and that for gRPC."""
    grpc = EnvoyGrpc(endpoints)
    ports = {"grpc": free_port()}
    with listener("127.0.0.1", 0) as listening:
        ports["verify"] = int(listening.getsockname()[1])
        loop = asyncio.new_event_loop()
        port = Port(endpoints)

        async def listen() -> None:
            await Server(port.connection).listen(listening)
            await grpc.listen("127.0.0.1", ports["grpc"])

        async def stop() -> None:
            grpc.stop()
            await grpc.stopped()

        loop.run_until_complete(listen())
        serving = threading.Thread(target=loop.run_forever)
        serving.start()
        yield ports
        asyncio.run_coroutine_threadsafe(stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        serving.join()


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    """The doctor in the API's place."""
    with Echo("127.0.0.1", 0) as echo:
        yield echo


def failed(found: dict[str, Finding]) -> dict[str, str]:
    """What was seen by the checks that failed."""
    return {name: each.seen for name, each in found.items() if each.outcome == "failed"}
