"""What the examples of the clients must do, in whichever language."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from tests.support.processes.ports import free_port
from tests.support.processes.served_installation import ServedInstallation, new_token
from tests.support.waiting import LIMIT_S, until

Start = Callable[[Mapping[str, str]], "subprocess.Popen[bytes]"]
Run = Callable[[str, Mapping[str, str]], str]


def started(command: list[str | Path], directory: Path, environ: Mapping[str, str]) -> Start:
    """A function that starts a program, with more variables."""

    def start(more: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command, cwd=directory, env={**os.environ, **environ, **more}, stderr=subprocess.DEVNULL
        )

    return start


def guards_its_calls(served: ServedInstallation, start: Start) -> None:
    """Ask an example service with tokens of all kinds, and with Gatepass out of reach."""
    client = served.sign_in()
    token = new_token(client, "service", permissions=["charges:get"])
    port = free_port()
    environ = {"LISTEN": f"127.0.0.1:{port}", "PORT": str(port)}
    environ |= {"GATEPASS_URL": served.verify_url, "GATEPASS_VERIFIER_KEY": served.verifier_key}
    url = f"http://127.0.0.1:{port}"
    bearer = {"Authorization": f"Bearer {token['token']}"}
    service = start(environ)
    try:
        until(lambda: _answers(url))
        allowed = httpx.get(f"{url}/v1/charges/ch_1?expand=1", headers=bearer)
        assert (allowed.status_code, allowed.text) == (200, "hello\n")
        refused = httpx.post(f"{url}/v1/charges", headers=bearer)
        assert refused.status_code == 403
        assert refused.json()["reason"] == "permission_missing"
        assert refused.json()["needed"] == ["charges:create"]
        assert refused.json()["help"].startswith(f"{served.url}/decisions/dec_")
        assert httpx.get(f"{url}/v1/nothing", headers=bearer).json()["reason"] == "route_unknown"
        assert httpx.get(f"{url}/v1/charges/ch_1").json()["reason"] == "token_missing"
        client.post(f"/v1/access-tokens/{token['id']}/deactivate", json={})
        until(lambda: httpx.get(f"{url}/v1/charges/ch_1", headers=bearer).status_code == 401)
    finally:
        service.terminate()
        service.wait(LIMIT_S)
    alone = start(environ | {"GATEPASS_URL": f"http://127.0.0.1:{free_port()}"})
    try:
        until(lambda: _answers(url))
        assert httpx.get(f"{url}/v1/charges/ch_1", headers=bearer).status_code == 503
    finally:
        alone.terminate()
        alone.wait(LIMIT_S)


def provisions(served: ServedInstallation, run: Run) -> None:
    """Run an example twice, end with it, and come back."""
    created = served.command("admin-key", "create", "--label", "backend", "--json")
    environ = {"GATEPASS_URL": served.url, "GATEPASS_ADMIN_KEY": json.loads(created.stdout)["key"]}
    first = run("", environ)
    (token,) = re.findall(r"^token: (gpat_\w+)$", first, re.M)
    assert first.splitlines()[-1] == "active: Till 1 of shops/7"
    until(lambda: served.verify(token, permission="charges:get")["allowed"])
    # Nothing is made twice.
    assert run("", environ).splitlines() == ["active: Till 1 of shops/7"]
    assert run("leave", environ).splitlines()[-1] == "company: deactivated"
    until(lambda: not served.verify(token, permission="charges:get")["allowed"])
    assert re.findall(r"^token: (gpat_\w+)$", run("", environ), re.M) != [token]
    run("leave", environ)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code >= 400
    except httpx.TransportError:
        return False
