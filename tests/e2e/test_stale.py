"""PostgreSQL away for longer than MAX_STALENESS: right answers until then, none after it."""

import os
import signal
import time
from pathlib import Path

import httpx

from postgresql import Cluster
from running import Running, new_token


def test_a_copy_that_is_not_vouched_for_answers_nothing(tmp_path: Path) -> None:
    with (
        Cluster() as cluster,
        Running(
            tmp_path, database_url=cluster.create("stale"), GATEPASS_MAX_STALENESS="2"
        ) as running,
    ):
        made = new_token(running.sign_in())
        assert running.verify(made["token"], permission="charges:get")["allowed"]
        for pid in cluster.processes():
            os.kill(pid, signal.SIGSTOP)
        try:
            assert running.verify(made["token"], permission="charges:get")["allowed"]
            deadline = time.monotonic() + 15
            while httpx.get(f"{running.verify_url}/health/ready").status_code == 200:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            for url in (running.url, running.verify_url):
                gateway = httpx.get(
                    f"{url}/authz/nginx",
                    headers={
                        "x-access-token": made["token"],
                        "X-Original-URI": "/v1/charges",
                        "X-Original-Method": "GET",
                    },
                )
                assert gateway.status_code == 503
                assert gateway.headers["x-gatepass-reason"] == "stale"
                service = httpx.post(
                    f"{url}/v1/verify",
                    headers={"Authorization": f"Bearer {running.verifier_key}"},
                    json={"token": made["token"], "permission": "charges:get"},
                )
                assert (service.status_code, service.json()["reason"]) == (503, "stale")
        finally:
            for pid in cluster.processes():
                os.kill(pid, signal.SIGCONT)
        running.wait_ready()
        assert running.verify(made["token"], permission="charges:get")["allowed"]
