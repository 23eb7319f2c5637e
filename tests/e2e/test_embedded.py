"""A service that embeds Gatepass and follows a real ``gatepass serve`` over HTTP."""

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


def test_a_token_works_and_ends_in_a_service_elsewhere(
    served: ServedInstallation, ada: httpx.Client, verifier: Verifier
) -> None:
    token = new_token(ada)
    until(lambda: reason(verifier, token["token"]) == "allowed")
    assert reason(verifier, served.verifier_key) == "token_invalid"
    ada.post(f"/v1/access-tokens/{token['id']}/deactivate").raise_for_status()
    until(lambda: reason(verifier, token["token"]) == "token_deactivated")


def test_what_a_service_allows_is_told_as_the_tokens_last_use(
    ada: httpx.Client, verifier: Verifier
) -> None:
    token = new_token(ada)
    until(lambda: reason(verifier, token["token"]) == "allowed")
    where = f"/v1/access-tokens/{token['id']}"
    until(lambda: ada.get(where).json()["last_used"])
    assert ada.get(where).json()["last_used"]["address"] == "203.0.113.9"


def test_a_feed_limited_to_another_permission_knows_no_such_token(
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


def test_a_service_goes_on_deciding_while_the_server_is_gone_and_knows_what_ended_after_it(
    served: ServedInstallation, ada: httpx.Client, verifier: Verifier
) -> None:
    """Within MAX_STALENESS; and it is not built anew."""
    token = new_token(ada)
    until(lambda: reason(verifier, token["token"]) == "allowed")
    served.kill()
    assert reason(verifier, token["token"]) == "allowed"
    served.start()
    ada.post(f"/v1/access-tokens/{token['id']}/deactivate").raise_for_status()
    until(lambda: reason(verifier, token["token"]) == "token_deactivated")


def test_a_deactivated_verifier_key_is_vouched_for_no_more(
    served: ServedInstallation, tmp_path: Path
) -> None:
    key = served.command("verifier", "create", "--label", "a service").stdout.strip()
    verifier = Verifier.follow(served.url, key=key, directory=tmp_path / "copy", wait=10)
    assert verifier.fresh()
    served.command("verifier", "deactivate", key[:21])
    # The server looks at its streams' keys once a second.
    until(lambda: not verifier.fresh())
    verifier.close()
