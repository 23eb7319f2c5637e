"""The log of a process: on standard error, as text or as a JSON object a line.

Standard error is where systemd, Docker and Kubernetes read it. Messages name records by their ids,
and never contain secrets or what a client sent.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime

from gatepass.settings import Settings

#: They log addresses of requests, some of which contain secrets.
_QUIET = ("httpx", "httpcore")


def configure(settings: Settings) -> None:
    """Log what LOG_LEVEL asks for, in LOG_FORMAT. Other packages log no more than ``info``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines() if settings.log_format == "json" else _text())
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(level=max(level, logging.INFO), handlers=[handler])
    logging.getLogger("gatepass").setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _text() -> logging.Formatter:
    return logging.Formatter(f"%(asctime)s %(levelname)s [{os.getpid()}] %(name)s: %(message)s")


class _Lines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
