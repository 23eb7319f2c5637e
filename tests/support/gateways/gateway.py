"""A gateway that runs with the configuration of its page."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import httpx

from tests.support.gateways.page import files
from tests.support.processes.ports import free_port
from tests.support.processes.serving import serving

#: No change.
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Gateway:
    """How a gateway is run.

    Attributes:
        name: of its page, behind a comma with the heading of a section that varies it.
        addresses: text on the page, and what takes its place: ``{front}``, ``{verify}`` and
            ``{api}`` stand for ports on 127.0.0.1, ``{directory}`` for that of the files.
        command: of a directory that has the page's files; may add files.
    """

    name: str
    addresses: Mapping[str, str]
    command: Callable[[Path], list[str]]

    def files(self) -> dict[str, str]:
        """The files that its page shows, by their names without directories."""
        page, _, variation = self.name.partition(", ")
        return files(page, variation)

    @contextmanager
    def running(
        self, *, verify: int, api: int, changed: Mapping[str, str] = NOTHING, **ports: int
    ) -> Iterator[str]:
        """Run it for the length of the block; its URL.

        Args:
            verify: the port of Gatepass that it asks.
            api: the port that it forwards to.
            changed: text on the page, and its replacement: a mistake to try.
            ports: others that ``addresses`` name.
        """
        with TemporaryDirectory(prefix="gatepass-gateway-") as name:
            directory, front = Path(name), free_port()
            # httpd's workers run as another user.
            directory.chmod(0o755)
            self._write(directory, changed, front=front, verify=verify, api=api, **ports)
            url = f"http://127.0.0.1:{front}"
            with serving(self.command(directory), lambda: _ask(url), directory):
                yield url

    def _write(self, directory: Path, changed: Mapping[str, str], **ports: int) -> None:
        real = {
            text: value.format(directory=directory, **ports)
            for text, value in self.addresses.items()
        }
        for name, shown in self.files().items():
            written = shown
            for text, value in {**changed, **real}.items():
                written = written.replace(text, value)
            (directory / name).write_text(written)
        page = "".join(self.files().values())
        for text in {**changed, **real}:
            assert text in page, f"not on the page: {text}"


#: A preflight, which needs no Gatepass.
_PREFLIGHT = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}


def _ask(url: str) -> None:
    # Traefik listens before it has read its routers, and answers 404 until then.
    if httpx.options(url, headers=_PREFLIGHT).status_code == 404:
        raise httpx.TransportError("not configured yet")
