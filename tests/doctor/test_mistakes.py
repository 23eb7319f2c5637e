"""Each mistake of a gateway is found by its checks, and by no other."""

from collections.abc import Callable, Iterator

import pytest

from gatepass.doctor import received
from gatepass.doctor.account import Account
from gatepass.doctor.echo import Echo
from gatepass.doctor.examination import paths_of
from gatepass.doctor.findings import ALWAYS, BEHIND, Finding
from gatepass.doctor.outage import outage
from gatepass.doctor.probes import Prober
from gatepass.doctor.received import Behind
from gatepass.doctor.wire import OWN_LOOPBACK, Gateway
from gatepass.web.gateway.endpoints import Endpoints
from tests.doctor.conftest import Doctor, failed
from tests.support.apps.toy_gateway import MISTAKES, MISTAKES_BEHIND, ToyGateway, serving


def test_a_gateway_that_is_set_up_well_passes(
    doctor: Doctor, endpoints: Endpoints, echo: Echo
) -> None:
    with serving(ToyGateway(endpoints, echo.port)) as gateway:
        found = doctor.examine(gateway.url, echo)
    assert failed(found) == {}
    assert found.keys() == {check.name for check in (*ALWAYS, *BEHIND)}
    assert {each.outcome for each in found.values()} == {"passed"}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_without_anything_to_set_up(
    doctor: Doctor, endpoints: Endpoints, mistake: str
) -> None:
    with serving(ToyGateway(endpoints, mistakes={mistake})) as gateway:
        if mistake == "fails open":
            gateway.away = True
            finding = outage(Gateway.at(gateway.url), "/v1/charges/1")
            found: dict[str, Finding] = {"outage": finding}
        else:
            found = doctor.examine(gateway.url)
    assert set(failed(found)) == set(MISTAKES[mistake]), failed(found)


@pytest.fixture(scope="module")
def behind(doctor: Doctor, echo: Echo) -> Iterator[Callable[[str], Behind]]:
    """Looks at a gateway at some URL from the API's place."""
    path, routes = paths_of(doctor.node.catalogue)[0], doctor.node.catalogue.routes
    permission = doctor.node.catalogue.from_file[1]
    with Account(doctor.node, doctor.company) as account:
        token = account.token(permission, f"{OWN_LOOPBACK}/32")

        def at(url: str) -> Behind:
            prober = Prober(Gateway.at(url), path, token.text, account.run)
            return Behind(prober, echo, routes, permission)

        yield at


@pytest.mark.parametrize("mistake", MISTAKES_BEHIND)
def test_a_mistake_is_found_in_the_apis_place(
    behind: Callable[[str], Behind], endpoints: Endpoints, echo: Echo, mistake: str
) -> None:
    with serving(ToyGateway(endpoints, echo.port, mistakes={mistake})) as gateway:
        found = {each.check.name: each for each in received.examine(behind(gateway.url))}
    assert set(failed(found)) == set(MISTAKES_BEHIND[mistake]), failed(found)


def test_a_decision_is_kept_that_allowed_a_call(
    doctor: Doctor, endpoints: Endpoints, echo: Echo
) -> None:
    mistakes = {"keeps what was allowed"}
    with serving(ToyGateway(endpoints, echo.port, mistakes=mistakes)) as gateway:
        found = doctor.examine(gateway.url, echo)
    assert failed(found) == {"caching": "a token that has ended still reached the API"}


def test_an_address_of_a_trusted_proxy_tells_nothing_of_forged_ones(
    doctor: Doctor, endpoints: Endpoints
) -> None:
    mistakes = {"believes the caller's X-Forwarded-For"}
    with serving(ToyGateway(endpoints, mistakes=mistakes)) as gateway:
        found = doctor.examine(gateway.url, address="127.0.0.1")
    assert found["address"].outcome == "failed"
    assert found["forwarded_addresses"].outcome == "not_checked"


def test_a_gateway_may_answer_every_options_itself(doctor: Doctor, endpoints: Endpoints) -> None:
    with serving(ToyGateway(endpoints, mistakes={"answers OPTIONS itself"})) as gateway:
        found = doctor.examine(gateway.url)
    assert failed(found) == {}
    assert "OPTIONS is answered like a preflight" in found["asked"].seen


def test_a_gateway_may_serve_a_part_of_the_catalogue(doctor: Doctor, endpoints: Endpoints) -> None:
    with serving(ToyGateway(endpoints, mistakes={"serves /v1/charges alone"})) as gateway:
        found = doctor.examine(gateway.url)
    assert failed(found) == {}
    assert "like a path that doesn't exist: /v1/refunds" in found["asked"].seen


def test_the_address_may_be_named(doctor: Doctor, endpoints: Endpoints) -> None:
    with serving(ToyGateway(endpoints, mistakes={"sends no address"})) as gateway:
        found = doctor.examine(gateway.url, address="127.0.0.1")
    assert failed(found) == {}
