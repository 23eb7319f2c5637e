"""What the connections of a verify port share."""

from gatepass.web.gateway.connection import Port
from gatepass.web.gateway.endpoints import Endpoints


def test_a_strangers_spellings_leave_room_for_those_of_gateways(endpoints: Endpoints) -> None:
    port = Port(endpoints)
    for number in range(2_000):
        port.kind(f"X-{number}".encode())
    assert len(port.kinds) <= 512
    for name in (b"X-Original-URI", b"X-Original-Method", b"Authorization", b"x-forwarded-for"):
        assert name in port.kinds
