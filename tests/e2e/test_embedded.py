"""A service with an embedded verifier that follows ``gatepass serve`` over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gatepass import Unavailable, Verifier
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.waiting import until

STALENESS = 3


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedInstallation]:
    directory = tmp_path_factory.mktemp("installation")
    with ServedInstallation(directory, GATEPASS_MAX_STALENESS=str(STALENESS)) as served:
        yield served


@pytest.fixture(scope="module")
def ada(served: ServedInstallation) -> Iterator[httpx.Client]:
    with served.sign_in() as client:
        yield client


@pytest.fixture
def verifier(served: ServedInstallation, tmp_path: Path) -> Iterator[Verifier]:
    verifier = Verifier.follow(served.url, key=served.verifier_key, directory=tmp_path / "copy")
    yield verifier
    verifier.close()


def reason(verifier: Verifier, text: str) -> str:
    try:
        return verifier.check(text, permission="charges:get", address="203.0.113.9").reason
    except Unavailable as error:
        return error.reason


def test_a_service_applies_a_tokens_creation_and_deactivation(
    served: ServedInstallation, ada: httpx.Client, verifier: Verifier
) -> None:
    token = new_token(ada)
    until(lambda: reason(verifier, token["token"]) == "allowed")
    assert reason(verifier, served.verifier_key) == "token_invalid"
    ada.post(f"/v1/access-tokens/{token['id']}/deactivate").raise_for_status()
    until(lambda: reason(verifier, token["token"]) == "token_deactivated")


def test_a_call_that_a_service_allows_is_the_tokens_last_use(
    ada: httpx.Client, verifier: Verifier
) -> None:
    token = new_token(ada)
    until(lambda: reason(verifier, token["token"]) == "allowed")
    where = f"/v1/access-tokens/{token['id']}"
    until(lambda: ada.get(where).json()["last_used"])
    assert ada.get(where).json()["last_used"]["address"] == "203.0.113.9"


def test_a_feed_limited_to_another_permission_lacks_the_token(
    served: ServedInstallation, ada: httpx.Client, tmp_path: Path
) -> None:
    gets = new_token(ada, permissions=["charges:get"])["token"]
    creates = new_token(ada, permissions=["charges:create"])["token"]
    verifier = Verifier.follow(
        served.url,
        key=served.verifier_key,
        directory=tmp_path / "copy",
        permissions=["charges:get"],
    )
    assert reason(verifier, gets) == "allowed"
    assert reason(verifier, creates) == "token_invalid"
    verifier.close()


def test_a_service_decides_through_a_server_outage_and_catches_up_afterwards(
    served: ServedInstallation, ada: httpx.Client, verifier: Verifier
) -> None:
    """For at most MAX_STALENESS; and its copy isn't rebuilt."""
    token = new_token(ada)
    until(lambda: reason(verifier, token["token"]) == "allowed")
    served.kill()
    assert reason(verifier, token["token"]) == "allowed"
    served.start()
    ada.post(f"/v1/access-tokens/{token['id']}/deactivate").raise_for_status()
    until(lambda: reason(verifier, token["token"]) == "token_deactivated")


def test_a_service_with_a_deactivated_verifier_key_becomes_stale(
    served: ServedInstallation, tmp_path: Path
) -> None:
    key = served.command("verifier", "create", "--label", "a service").stdout.strip()
    verifier = Verifier.follow(served.url, key=key, directory=tmp_path / "copy", wait=10)
    assert verifier.fresh()
    served.command("verifier", "deactivate", key[:21])
    # The server checks the keys of its streams once a second.
    until(lambda: not verifier.fresh())
    verifier.close()
