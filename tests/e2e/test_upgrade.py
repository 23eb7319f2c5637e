"""An upgrade under traffic: nodes of this version survive whatever the next migration may add.

The later version is this one with a schema that has more of everything that the rule of
tests/registry/storage/test_migrations.py admits (later_version).
"""

import os
import signal
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.support.database.postgresql import Cluster
from tests.support.processes.served_installation import ServedInstallation
from tests.support.waiting import LIMIT_S, until

TOKENS = "/v1/access-tokens"
LATER_VERSION = "tests.support.processes.later_version"


class Traffic:
    """Creates tokens, has them decided and deactivates them, until the block ends.

    No decision may fail. A change that comes while its table is altered may have to be repeated.

    Args:
        client: signed in.
        changed, deciding: the nodes that are asked for the changes and the decisions.
    """

    def __init__(
        self, client: httpx.Client, changed: ServedInstallation, deciding: ServedInstallation
    ) -> None:
        self._client = client
        self._client.base_url = httpx.URL(changed.url)
        self._deciding = deciding
        self._rounds = 0
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        self.more()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(LIMIT_S)
        assert self._failure is None

    def more(self) -> None:
        """Wait for more rounds; fail if anything has failed since the start."""
        wanted = self._rounds + 3
        until(lambda: self._failure is not None or self._rounds >= wanted)
        assert self._failure is None

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._round()
            except BaseException as error:
                self._failure = error
                return
            self._rounds += 1

    def _round(self) -> None:
        token = self._changed(TOKENS, {"label": "a", "kind": "api", "permissions": ["charges:*"]})
        self._until_decided(token["token"], "allowed")
        self._changed(f"{TOKENS}/{token['id']}/deactivate", {})
        self._until_decided(token["token"], "token_deactivated")

    def _changed(self, path: str, body: dict[str, object]) -> dict[str, str]:
        """The record after a change, which is sent until it is made."""
        made: list[dict[str, str]] = []

        def changes() -> bool:
            answer = self._client.post(path, json=body)
            said = answer.json()
            if answer.status_code == 503 and said["reason"] == "not_confirmed":
                said = said["current"]
            elif answer.status_code == 503 and said["reason"] == "unavailable":
                return False
            else:
                assert answer.is_success, answer.text
            made.append(said)
            return True

        until(changes)
        return made[0]

    def _until_decided(self, text: str, reason: str) -> None:
        until(
            lambda: (
                self._deciding.verify(text, method="GET", path="/v1/charges")["reason"] == reason
            )
        )


@pytest.fixture
def old(
    postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedInstallation]:
    directory = tmp_path_factory.mktemp("old")
    url = postgresql.create("upgrade")
    with ServedInstallation(directory, database_url=url, GATEPASS_WORKERS="1") as node:
        yield node


def test_nodes_go_on_while_the_schema_grows(
    old: ServedInstallation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with old.sign_in() as client:
        with Traffic(client, old, old) as traffic:
            done = old.command("migrate", module=LATER_VERSION)
            assert done.stderr == "The schema is up to date.\n"
            traffic.more()
        # Workers are replaced as ever; only a start asks for the schema.
        for pid in (killed := old.workers()):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not set(killed) & set(old.workers()) and old.all_ready())
        new = ServedInstallation(tmp_path_factory.mktemp("new"), join=old, GATEPASS_WORKERS="1")
        new.module = LATER_VERSION
        with new:
            # Each decides by what the other changes.
            for changed, deciding in ((new, old), (old, new)):
                with Traffic(client, changed, deciding):
                    pass
            with Traffic(client, new, new) as traffic:
                old.stop()
                traffic.more()
