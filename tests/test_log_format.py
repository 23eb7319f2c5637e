"""The log's lines."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepass import log_format
from gatepass.settings import Settings


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Leave the process's logging as it was."""
    names = (None, "gatepass", "httpx", "httpcore")
    before = {name: logging.getLogger(name).level for name in names}
    handlers = logging.root.handlers
    yield
    logging.root.handlers = handlers
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def configured(**settings: str) -> None:
    logging.root.handlers = []  # pytest's own
    chosen = {"log_level": "info", "log_format": "text", **settings}
    log_format.configure(Settings(data_dir=Path("/nowhere"), database_url="", **chosen))  # type: ignore[arg-type]  # all of them are texts


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configured(log_format="json")
    log = logging.getLogger("gatepass.sample")
    log.warning("two\nlines and %s", "“ä”")
    try:
        raise ValueError
    except ValueError:
        log.exception("failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "two\nlines and “ä”"
    assert (first["level"], first["logger"]) == ("warning", "gatepass.sample")
    assert first["time"][-1] == "Z"
    assert second["exception"].splitlines()[0].startswith("Traceback")


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")],
)
def test_the_level_is_ours_alone(
    capsys: pytest.CaptureFixture[str], level: str, expected: str
) -> None:
    """Other packages' debug lines may contain secrets."""
    configured(log_level=level)
    for name in ("gatepass.sample", "elsewhere", "httpx"):
        log = logging.getLogger(name)
        for each in ("debug", "info", "warning", "error"):
            getattr(log, each)("%s of %s", each, name)
    lines = capsys.readouterr().err.splitlines()
    ours = "".join(line.split(": ")[1][0] for line in lines if line.endswith("gatepass.sample"))
    assert ours == expected
    others = [line for line in lines if line.endswith(("elsewhere", "httpx"))]
    assert not [line for line in others if "DEBUG" in line]
    assert not [line for line in others if "INFO" in line and line.endswith("httpx")]
