"""What the connections of a verify port share."""

import pytest

from gatepass.settings import Settings
from gatepass.web.gateway.connection import Port
from gatepass.web.gateway.endpoints import Endpoints
from tests.support.grants.grant_fixtures import Samples
from tests.support.processes.workers import Worker, ask


def test_a_strangers_spellings_leave_room_for_those_of_gateways(endpoints: Endpoints) -> None:
    port = Port(endpoints)
    for number in range(2_000):
        port.kind(f"X-{number}".encode())
    assert len(port.kinds) <= 512
    for name in (b"X-Original-URI", b"X-Original-Method", b"Authorization", b"x-forwarded-for"):
        assert name in port.kinds


@pytest.mark.processes
def test_the_access_log_names_a_refused_token_whose_secret_matched(
    chosen: Settings, shared_samples: Samples
) -> None:
    cases = (
        ("good", "permission_missing"),
        # The same refusal as the one before.
        ("wide", "permission_missing"),
        # A remembered answer.
        ("good", "permission_missing"),
        ("wrong secret", "token_invalid"),
    )
    call = [("X-Original-URI", "/v1/charges/1/refund"), ("X-Original-Method", "POST")]
    worker = Worker("verify", chosen.with_(access_log=True))
    try:
        for name, _ in cases:
            bearer = ("Authorization", f"Bearer {shared_samples.texts[name]}")
            answer = ask(worker.port, "GET", "/authz/nginx", [bearer, *call])
            assert shared_samples.grants["good"].id not in str(answer)
    finally:
        logged = [line for line in worker.stop().splitlines() if "/authz/nginx" in line]
    for line, (name, reason) in zip(logged, cases, strict=True):
        grant = shared_samples.grants.get(name)
        named = "" if grant is None else f" token={grant.id}"
        assert line.endswith(f"{named} reason={reason}")
        assert ("token=" in line) == (grant is not None)
