"""The example that the documentation shows does what it says."""

import asyncio
import re
import runpy
from pathlib import Path

import httpx
import pytest

from issued import Issued

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "asgi_app.py"


def test_the_example_guards_its_route(issued: Issued, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEPASS_FILE", str(issued.path))
    app = runpy.run_path(str(EXAMPLE))["app"]

    async def get(token: str) -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as api:
            return await api.get("/charges/ch_1", headers={"x-access-token": token})

    answer = asyncio.run(get(issued.token()))
    assert (answer.status_code, answer.json()) == (200, {"id": "ch_1", "asked_by": "a test's"})
    assert asyncio.run(get("gpat_wrong")).json()["reason"] == "token_invalid"


def test_the_example_is_short() -> None:
    """What it takes to guard an application fits on a slide."""
    code = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(code) <= 17


def test_the_documentation_shows_the_example_as_it_is() -> None:
    """Nobody copies something from the page that isn't tested here."""
    page = Path(__file__).parents[2] / "docs" / "embedding.md"
    assert EXAMPLE.read_text() in page.read_text()


def test_the_documentation_shows_the_example_and_its_other_lines_run(
    issued: Issued, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "docs/embedding.md").read_text(), re.S)
    assert shown[0] == EXAMPLE.read_text()
    for code in shown[1:]:
        here = code.replace("/var/lib/gatepass/gatepass.db", str(issued.path))
        exec(here, {"text": issued.token(permissions=frozenset({"charges:get"}))})
    assert capsys.readouterr().out == "403 permission_missing\n"
