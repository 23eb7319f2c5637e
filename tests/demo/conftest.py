"""The demo's application in this process, on an installation that is made once."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatepass.core.catalogue import parse_catalogue
from gatepass.demo import acme
from gatepass.demo.acme import Credentials
from gatepass.demo.app import create_app
from gatepass.demo.sample_store import FILE_NAME, SampleStore
from gatepass.node.node import Node, open_node
from gatepass.registry.storage.schema import create_schema
from gatepass.settings import Settings
from tests.support.weak_hashing import weaken

PORT = 8787
PAGE = f"http://localhost:{PORT}"


@dataclass(frozen=True)
class Demo:
    """An installed demo.

    Attributes:
        page_token: the text of the token its page begins with.
    """

    node: Node
    credentials: Credentials
    page_token: str
    app: Any

    def call(self, method: str, path: str, token: str | None = None, **options: Any) -> Any:
        """Call the application over HTTP; the response."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        headers |= options.pop("headers", {})

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, client=("127.0.0.1", 50_000))
            async with httpx.AsyncClient(transport=transport, base_url=PAGE) as client:
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(call())


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    directory: Path = tmp_path_factory.mktemp("demo")
    settings = Settings.read({"GATEPASS_DATA_DIR": str(directory), "GATEPASS_PORT": str(PORT)})
    text = files("gatepass.demo").joinpath("catalogue.yaml").read_text("utf-8")
    with pytest.MonkeyPatch.context() as patch:
        weaken(patch)
        node = open_node(settings, parse_catalogue(text))
        create_schema(node.database)
        credentials = acme.create_company(node)
        SampleStore(directory / FILE_NAME).fill(node.clock.now())
        page_token = acme.new_page_token(node, PORT)
        yield Demo(node, credentials, page_token, create_app(node, page_token))
    node.database.close()
