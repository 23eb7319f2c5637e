"""README, "In production": its lines, run one by one on a machine where nothing of Gatepass is."""

import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.apps.installation import PASSWORD
from tests.support.browser.page_reader import Visit
from tests.support.machine import namespace
from tests.support.machine.at_a_terminal import at_a_terminal
from tests.support.webhooks.certificates import make_certificates

pytestmark = [pytest.mark.processes, pytest.mark.nginx]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
#: Who the README's lines make an administrator of what.
EMAIL, COMPANY = "you@example.com", "Your company"
URL = "https://tokens.example.com"


def documented() -> list[str]:
    """The shell commands of the section."""
    section = README.partition("\n## In production\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.mark.skipif(
    sys.platform != "linux" or not namespace.available(), reason="needs Linux's namespaces"
)
def test_the_readme_leads_to_a_first_sign_in_and_a_first_verifier_key(tmp_path: Path) -> None:
    # The user that Gatepass gets must reach its files.
    for each in (tmp_path, *tmp_path.parents[:2]):
        each.chmod(0o755)
    machine = tmp_path / "machine"
    etc = namespace.prepare(machine)
    certificates = make_certificates(tmp_path)
    (etc / "ssl/gatepass").mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (etc / "ssl/gatepass" / name).write_bytes(certificates.server.read_bytes())
    cache = subprocess.check_output([sys.executable, "-m", "pip", "cache", "dir"], text=True)
    registry = {name: text for name, text in os.environ.items() if name.startswith("PIP_")}
    installing, *using = documented()
    namespace.run(
        machine,
        *("bash", "-eu", "-c", installing),
        cwd=ROOT,
        isolated=False,
        **{**registry, "PIP_CACHE_DIR": cache.strip(), "PIP_NO_COMPILE": "1", "PIP_QUIET": "1"},
    )
    said = namespace.run(
        machine,
        *(sys.executable, "-c", "from tests.packaging import test_production as t; t.use()"),
        *using,
        PYTHONPATH=f"{ROOT}:{ROOT / 'src'}",
        AUTHORITY=str(certificates.authority),
    )
    assert said.endswith("signed in, and asked\n"), said


def use() -> None:
    """On the machine: run the lines after the installation, then use what they made."""
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "TERM": "dumb"}
    said = "".join(at_a_terminal(block, PASSWORD, environ, str(ROOT)) for block in sys.argv[1:])
    (key,) = re.findall(r"^gpvk_\w{54}$", said, re.MULTILINE)
    trusting = ssl.create_default_context(cafile=os.environ["AUTHORITY"])
    with httpx.Client(base_url=URL, verify=trusting) as client:
        assert client.get("/health/ready").status_code == 200
        ada = Visit.signed_in(client, EMAIL)
        assert COMPANY in ada.get("/access-tokens").text
        assert "__Host-gatepass" in client.cookies
        login = client.cookies["__Host-gatepass"]
        token = {"label": "First", "kind": "api", "permissions": ["charges:search"]}
        made = client.post(
            "/v1/access-tokens", json=token, headers={"Authorization": f"Bearer {login}"}
        )
        assert made.status_code == 201, made.text
        for path in ("/authz/nginx", "/metrics"):
            assert client.get(path).status_code == 404
        plain = httpx.get("http://tokens.example.com/sign-in")
        assert (plain.status_code, plain.headers["location"]) == (301, f"{URL}/sign-in")
    question = {"token": made.json()["token"], "method": "GET", "path": "/v1/charges"}
    decision = httpx.post(
        "http://127.0.0.1:8788/v1/verify",
        json=question,
        headers={"Authorization": f"Bearer {key}"},
    )
    assert decision.json()["allowed"] is True, decision.text
    _check_files()
    subprocess.run(["systemctl", "stop", "gatepass"], check=True)
    print("signed in, and asked")


def _check_files() -> None:
    data, settings = Path("/var/lib/gatepass"), Path("/etc/gatepass")
    assert {data.owner(), settings.owner()} <= {"gatepass", "root"}
    for directory in (data, settings):
        assert directory.stat().st_mode & 0o777 == 0o700
    for file in (data / "gatepass.db", settings / "gatepass.toml"):
        assert file.stat().st_mode & 0o077 == 0, file
        assert file.owner() == data.owner()
