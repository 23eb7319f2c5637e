"""An installation under test: a registry, and any number of nodes."""

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from sqlalchemy import insert, select

from faults.clients import DecisionClient, RestClient
from gatepass.core.catalogue import parse_catalogue
from gatepass.core.credentials import ACCESS_TOKEN, LOGIN_TOKEN, make
from gatepass.registry.actor import Actor
from gatepass.registry.authentication.session_records import begin
from gatepass.registry.directory import companies, users, verifier_keys
from gatepass.registry.grants import publishing
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Database
from gatepass.registry.storage.schema import create_schema
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls import recency
from gatepass.verify.freshness import SharedMap
from gatepass.verify.grant_file import GrantFile
from tests.support.database.small_registry import HASH
from tests.support.processes.served_installation import CATALOGUE as CATALOGUE_TEXT
from tests.support.processes.served_installation import EMAIL
from tests.support.processes.served_node import ServedNode

CATALOGUE = parse_catalogue(CATALOGUE_TEXT)
READY_SECONDS = 60.0

_LISTENING = "0A"
_DAY_MS = 86_400_000
_AT_ONCE = 500


class Installation:
    """A registry with one company, its administrator Ada, and a verifier key.

    Args:
        directory: for the nodes' data directories, logs, and a SQLite registry.
        database_url: an empty PostgreSQL database; by default a SQLite file.

    Attributes:
        key: the verifier key's text.
        login: a login token of Ada's.
    """

    def __init__(self, directory: Path, database_url: str | None = None) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self.catalogue = directory / "catalogue.yaml"
        self.catalogue.write_text(CATALOGUE_TEXT)
        self.path = directory / "node-1" / "gatepass.db" if database_url is None else None
        if self.path is not None:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.database_url = database_url or f"sqlite:///{self.path}"
        database = self.open()
        create_schema(database)
        line = Actor.command_line()
        with database.write(now()) as change:
            company = companies.create(change, line, catalogue=CATALOGUE, name="Fault Lines")
            self.company = company.id
            ada = users.create(
                change,
                line,
                company=company.id,
                email=EMAIL,
                name="Ada",
                role="admin",
                password_hash=HASH,
                operator=True,
            )
            self.user = ada.id
            credential = make(LOGIN_TOKEN)
            begin(
                change,
                ada,
                credential,
                lifetime_ms=_DAY_MS,
                address="127.0.0.1",
                user_agent="an experiment",
            )
            self.login = credential.text
            self.key = verifier_keys.create(change, line, label="experiments")[1]
        database.close()

    def open(self, url: str | None = None) -> Database:
        """Open the registry's database, or the one at *url*, to read or fill it directly."""
        if self.path is None:
            return Database(url or self.database_url)
        return Database(self.database_url, writing=GrantFile(self.path).writing)

    def tokens(self, count: int, **fields: Any) -> list[str]:
        """Create *count* equal access tokens directly in the registry; their texts.

        The first is created as users do. The others are copies of its record without audit
        events, which is much faster.
        """
        ordinary = {"label": "a token", "kind": "api", "permissions": ["charges:*"]}
        database = self.open()
        with database.write(now()) as change:
            actor = users.on_behalf_of(change, self.user)
            first, text = access_tokens.create(
                change, actor, catalogue=CATALOGUE, **(ordinary | fields)
            )
            found = select(tables.access_tokens).where(tables.access_tokens.c.id == first.id)
            row = change.session.execute(found).one()._asdict()
            grant = publishing.published_grant(change, first.id)
            assert grant is not None
        texts = [text]
        while len(texts) < count:
            made = [make(ACCESS_TOKEN) for _ in range(min(_AT_ONCE, count - len(texts)))]
            with database.write(now()) as change:
                change.session.execute(
                    insert(tables.access_tokens),
                    [row | {"id": each.id, "digest": each.digest} for each in made],
                )
                for each in made:
                    recency.add(change, row | {"id": each.id})
                publishing.publish_grants(
                    change,
                    [replace(grant, id=each.id, digest=each.digest) for each in made],
                )
            texts += [each.text for each in made]
        database.close()
        return texts

    @contextmanager
    def nodes(
        self, count: int, own: Sequence[dict[str, str]] = (), /, **settings: str
    ) -> Iterator[list["Node"]]:
        """Start *count* nodes and wait until they are ready. SQLite allows only one.

        Args:
            own: settings of single nodes, in order.
            settings: of all nodes.
        """
        running = [
            Node(self, f"node-{number + 1}", settings | (own[number] if number < len(own) else {}))
            for number in range(count)
        ]
        try:
            for node in running:
                node.start()
            for node in running:
                node.wait_ready()
            yield running
        finally:
            for node in running:
                node.stop()


class Node(ServedNode):
    """One node of an installation."""

    def __init__(self, installation: Installation, name: str, settings: dict[str, str]) -> None:
        super().__init__(
            installation.directory / name,
            installation.directory / f"{name}.log",
            installation.catalogue,
            {"GATEPASS_DATABASE_URL": installation.database_url, **settings},
        )
        self.name = name
        self.installation = installation
        self._began = 0

    @property
    def grant_path(self) -> Path:
        """The grant file: the copy, or the registry itself."""
        return self.installation.path or self.data / "grants.db"

    def shared(self) -> SharedMap:
        """The node's shared map, read from outside."""
        path = self.grant_path
        return SharedMap(path.with_name(path.name + "-map"))

    def start(self) -> None:
        """Start it, as a service manager would."""
        self._began = self.log.stat().st_size if self.log.exists() else 0
        super().start()

    def all_ready(self) -> bool:
        """Whether all workers serve and both ports report that they are ready."""
        return self.serving() and super().all_ready()

    def serving(self) -> bool:
        """Whether all workers have begun to serve since the last start."""
        with self.log.open("rb") as log:
            log.seek(self._began)
            return b"serving on" in log.read()

    def stop(self) -> int:
        """Stop it as an operator does; kill what is left after 30 seconds."""
        if self.process is None:
            return 0
        try:
            code = super().stop()
        except subprocess.TimeoutExpired:
            self.kill()
            code = self.process.returncode
        self.process = None
        return code

    def revive(self, seconds: float = READY_SECONDS) -> None:
        """Restart it until it stays up, as a service manager does.

        The ports of a node that was killed may be taken for a moment.
        """
        deadline = time.monotonic() + seconds
        self.start()
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                self.start()
            if self.serving():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} doesn't come back: {self.log.read_text()[-3000:]}")

    def kill_supervisor(self) -> None:
        """Kill the supervisor alone with SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def lock_holder(self) -> int | None:
        """The process that holds the node's lock, and so follows, reports and writes the file."""
        path = self.grant_path
        inode = path.with_name(path.name + "-lock").stat().st_ino
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "->" not in fields and fields[5].endswith(f":{inode}"):
                return int(fields[4])
        return None

    def listening(self, port: int) -> int:
        """The number of processes that listen on *port*."""
        found = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            found += fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port
        return found

    def decision_client(self, *, main: bool = False) -> DecisionClient:
        """A connection to its verify port, or its main port, for decisions."""
        return DecisionClient(self.port if main else self.verify_port, self.installation.key)

    def rest_client(self) -> RestClient:
        """A signed-in connection to its REST API."""
        return RestClient(self.port, self.installation.login)

    def follower_asked_ns(self, shared: SharedMap) -> int:
        """When its follower last polled the primary, by the boot clock; 0 without a lease."""
        staleness = int(self.environ.get("GATEPASS_MAX_STALENESS", "10")) * 10**9
        return max(0, shared.lease_until_boot_ns() - staleness)


def now() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def everything(rest: RestClient, path: str) -> list[dict[str, Any]]:
    """All items of a list of the REST API, fetched page by page."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        status, body = rest.get(f"{path}?limit=200{cursor and '&cursor=' + cursor}")
        if status != 200:
            raise RuntimeError(f"{path}: {status}")
        page = json.loads(body)
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = page["next"]
