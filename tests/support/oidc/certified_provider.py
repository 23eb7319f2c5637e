"""A real OpenID provider: oidc-provider, on the Node.js that ``make tools-env`` installs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.needs import require
from tests.support.oidc.provider_double import CLIENT, SECRET
from tests.support.processes.ports import wait_for_port
from tests.support.waiting import LIMIT_S

_TOOLS = Path(sys.prefix) / "tools"
_PROGRAM = Path(__file__).with_name("provider.mjs")


@contextmanager
def certified_provider(
    issuer: str, public_url: str, accounts: dict[str, dict[str, Any]], log: Path
) -> Iterator[None]:
    """Run the provider, with an installation as its only client.

    Args:
        issuer: its URL, on loopback with a free port.
        public_url: of the installation.
        accounts: the claims of each subject, in ID tokens.
        log: the file for its output.
    """
    require("node")
    if not _TOOLS.exists():
        pytest.fail("needs an OpenID provider: make tools-env")
    client = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uris": [f"{public_url}/sign-in/oidc/callback"],
        "backchannel_logout_uri": f"{public_url}/v1/oidc/back-channel-logout",
        "backchannel_logout_session_required": True,
    }
    configuration = {"issuer": issuer, "client": client, "accounts": accounts}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [_TOOLS / "bin/node", _PROGRAM],
            cwd=_TOOLS,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(configuration).encode())
            process.stdin.close()
            wait_for_port(int(issuer.rpartition(":")[2]))
            yield
        finally:
            process.terminate()
            process.wait(LIMIT_S)
