"""Flushing files and directories to disk."""

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Flush a file or a directory to disk.

    A file that was created, linked or renamed keeps its name through a power cut only once its
    directory has been flushed, too.

    Raises:
        OSError: it can't be opened or flushed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
