"""The demo as a person starts it, and a real Chromium to look at it with."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from playwright.sync_api import Browser, sync_playwright

#: A name of this machine that isn't of the loopback, as far as the browser knows.
ANOTHER_NAME = "gate.internal"
# Nothing but the demo is to be called, and no sandbox exists inside a container's root.
_FLAGS = [
    f"--host-resolver-rules=MAP {ANOTHER_NAME} 127.0.0.1",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_SECONDS_TO_START = 60


class Demo:
    """``gatepass demo`` on a free port; a context manager that stops it.

    Attributes:
        url, email, password, verifier_key, access_token: as it printed them.
    """

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gatepass.cli", "demo", "--port", "0", "--data-dir", directory],
            # What more of them do is another test's matter, and each takes time to start.
            env={**os.environ, "GATEPASS_WORKERS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.printed = ""
        told = threading.Event()
        threading.Thread(target=self._read, args=(told,), daemon=True).start()
        if not told.wait(_SECONDS_TO_START):
            self.stop()
            raise AssertionError(f"the demo didn't start:\n{self.printed}")
        self.url = self._said(r"(http://127\.0\.0\.1:[0-9]+)")
        self.email = self._said(r"E-mail:?\s+(\S+)")
        self.password = self._said(r"Password:?\s+(\S+)")
        self.verifier_key = self._said(r"(gpvk_\w+)")
        self.access_token = self._said(r"(gpat_\w+)")

    def __enter__(self) -> "Demo":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        self.process.terminate()
        self.process.wait(30)

    def _read(self, told: threading.Event) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line
            if "Ctrl-C" in line:
                told.set()

    def _said(self, pattern: str) -> str:
        found = re.search(pattern, self.printed)
        assert found is not None, self.printed
        return found[1]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, headless, with a profile of its own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()
