"""Durable directory entries."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Flush the entries of directory *path* to disk, so that a created file survives a crash.

    Raises:
        OSError: the directory can't be opened or flushed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
