"""Who decides by a grant file: the id of a node or of an embedding application."""

import hashlib
import os
import socket
from pathlib import Path

from gatepass.verify.freshness import boot_word

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def identity(path: Path) -> str:
    """The id of whoever decides by the grant file *path*: the same in all its processes.

    It follows from the machine (its name, this boot) and the very file, so nothing has to be
    stored, and a machine or container that was cloned, file and all, is another one: a receipt must
    not be signed by a twin.

    Raises:
        OSError: there is no such file.
    """
    state = os.stat(path)
    what = f"{boot_word():x} {socket.gethostname()} {path.absolute()} {state.st_dev} {state.st_ino}"
    return _id(what)


def known_as(node_id: str, key_id: str) -> str:
    """The id by which a follower is known that calls itself *node_id* and shows the key *key_id*.

    What a follower calls itself is its word alone. So whoever has another key, and gives a node's
    or another follower's id for its own, is still somebody else: it takes nobody's place, and
    confirms nobody's receipts.
    """
    return _id(f"{key_id} {node_id}")


def _id(what: str) -> str:
    number = int.from_bytes(hashlib.sha256(what.encode()).digest())
    digits = ""
    for _ in range(16):
        number, digit = divmod(number, 62)
        digits += _BASE62[digit]
    return f"node_{digits}"
