"""``gatepass demo`` as a process."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

from tests.support.needs import require
from tests.support.waiting import LIMIT_S


class Demo:
    """``gatepass demo`` on a free port; a context manager that stops it.

    Attributes:
        url, email, password, verifier_key, access_token: as printed.
    """

    def __init__(self, directory: Path, *, like: "Demo | None" = None, **settings: str) -> None:
        """Start it.

        Args:
            directory: of its data.
            like: a stopped demo to begin with, which takes half the time of a new one.
        """
        require("processes")
        if like is not None:
            shutil.copytree(like.directory, directory, dirs_exist_ok=True)
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gatepass.cli", "demo", "--port", "0", "--data-dir", directory],
            # One worker starts faster; other tests cover several.
            env={**os.environ, "GATEPASS_WORKERS": "1", **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.printed = ""
        told = threading.Event()
        threading.Thread(target=self._read, args=(told,), daemon=True).start()
        if not told.wait(LIMIT_S):
            self.stop()
            raise AssertionError(f"the demo didn't start:\n{self.printed}")
        self.url = self._said(r"(http://127\.0\.0\.1:[0-9]+)")
        self.email = self._said(r"E-mail:?\s+(\S+)")
        # Printed when it is created.
        if like is not None:
            self.password, self.verifier_key = like.password, like.verifier_key
            self.access_token = like.access_token
            return
        self.password = self._said(r"Password:?\s+(\S+)")
        self.verifier_key = self._said(r"(gpvk_\w+)")
        self.access_token = self._said(r"(gpat_\w+)")

    def __enter__(self) -> "Demo":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self.process.terminate()
        self.process.wait(LIMIT_S)

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
