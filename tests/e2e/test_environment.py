"""The environment of a served installation: no secrets in workers, and clear warnings."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.database.postgresql import Cluster
from tests.support.processes.served_installation import ServedInstallation
from tests.support.waiting import until

SECRET = "hunter2secret"
#: Other sources of a password for libpq.
PG_SECRET = "hunter3secret"
#: Of a collector of traces.
OTEL_SECRET = "hunter4secret"
OURS = {
    "GATEPASS_SMTP_URL": f"smtp://gatepass:{SECRET}@127.0.0.1:9",
    "GATEPASS_MAIL_FROM": "Keys <keys@example.com>",
    "GATEPASS_DATABSE_URL": f"postgresql://u:{SECRET}@db.example/gatepass",
    # What Kubernetes sets for a Service.
    "GATEPASS_SERVICE_HOST": "10.96.0.17",
    "GATEPASS_PORT_8787_TCP": "tcp://10.96.0.17:8787",
    "GATEPASS_DATABASE_PORT": "tcp://10.96.0.18:5432",
    "PGPASSWORD": PG_SECRET,
    # Names no collector, so it turns no traces on.
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={OTEL_SECRET}",
    # It listens on another port.
    "GATEPASS_PUBLIC_URL": "",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedInstallation]:
    url = None
    if request.param == "postgresql":
        cluster: Cluster = request.getfixturevalue("postgresql")
        name = "environment"
        url = cluster.create(name).replace("postgres@", f"postgres:{SECRET}@")
    directory = tmp_path_factory.mktemp("environment")
    with ServedInstallation(directory, database_url=url, **OURS) as served:
        yield served


def readable(pid: int, file: str) -> bytes:
    return Path(f"/proc/{pid}/{file}").read_bytes()


def is_verify_worker(pid: int) -> bool:
    """A verify worker loads no ORM, so none of its extension modules."""
    return b"sqlalchemy" not in readable(pid, "maps")


def test_a_workers_environment_holds_no_secret(served: ServedInstallation) -> None:
    """Readers of /proc, crash reporters and child processes find none there, nor in the arguments:
    workers receive secrets through a pipe. The supervisor keeps the environment it started with."""
    workers = served.workers()
    assert sorted(map(is_verify_worker, workers)) == [False, False, True]
    for pid in workers:
        environ = readable(pid, "environ")
        # Compared as booleans, so that a failure prints no environment.
        found = {
            "a path": b"PATH=" in environ,
            "a setting": b"GATEPASS_" in environ,
            "a secret": SECRET.encode() in environ + readable(pid, "cmdline"),
            # libpq reads it, and only in processes that use the database.
            "a password of libpq's": PG_SECRET.encode() in environ,
            # The packages that send traces read it.
            "a collector's secret": OTEL_SECRET.encode() in environ,
        }
        of_main = {"a password of libpq's", "a collector's secret"}
        assert {name for name, there in found.items() if there} == (
            {"a path"} if is_verify_worker(pid) else {"a path"} | of_main
        )


def memory(pid: int) -> Iterator[bytes]:
    """The writable memory of a process."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in readable(pid, "maps").decode().splitlines():
            addresses, permissions, *_ = line.split()
            if not permissions.startswith("rw"):
                continue
            first, last = (int(text, 16) for text in addresses.split("-"))
            try:
                file.seek(first)
                yield file.read(last - first)
            except (OSError, OverflowError):
                continue


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read another process's memory")
def test_a_verify_worker_receives_no_secret(served: ServedInstallation) -> None:
    """It sends no mail and uses no database, so it needs none, and can't leak any."""
    [verify] = filter(is_verify_worker, served.workers())
    assert not holds_a_secret(verify)
    # The search works: workers that send mail do hold a secret.
    assert all(holds_a_secret(pid) for pid in served.workers() if pid != verify)


def holds_a_secret(pid: int) -> bool:
    secrets = (SECRET.encode(), PG_SECRET.encode())
    return any(secret in part for part in memory(pid) for secret in secrets)


def test_serve_warns_of_a_misspelt_setting_once(served: ServedInstallation) -> None:
    log = served.log.read_text()
    assert log.count("GATEPASS_DATABSE_URL") == 1
    assert "the nearest is GATEPASS_DATABASE_URL\n" in log
    assert SECRET not in log
    assert "10.96.0" not in log


def test_serve_warns_of_links_in_mail_that_lead_nowhere(served: ServedInstallation) -> None:
    # Workers answer before all of them have reported to the supervisor.
    until(lambda: "serving on" in served.log.read_text(), served.log.read_text)
    log = served.log.read_text()
    assert log.count("GATEPASS_PUBLIC_URL has its default, http://127.0.0.1:8787") == 1


def test_it_serves_in_spite_of_the_warnings(served: ServedInstallation) -> None:
    assert served.sign_in().get("/v1/me").status_code == 200
    assert httpx.get(f"{served.verify_url}/health/ready").status_code == 200
