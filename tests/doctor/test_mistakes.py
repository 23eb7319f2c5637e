"""Each mistake of a gateway is found by its checks, and by no other."""

import pytest

from gatepass.doctor.echo import Echo
from gatepass.doctor.findings import ALWAYS, BEHIND, Finding
from gatepass.doctor.outage import outage
from gatepass.doctor.wire import Gateway
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


@pytest.mark.parametrize("mistake", MISTAKES_BEHIND)
def test_a_mistake_is_found_in_the_apis_place(
    doctor: Doctor, endpoints: Endpoints, echo: Echo, mistake: str
) -> None:
    with serving(ToyGateway(endpoints, echo.port, mistakes={mistake})) as gateway:
        found = doctor.examine(gateway.url, echo)
    assert set(failed(found)) == set(MISTAKES_BEHIND[mistake]), failed(found)
