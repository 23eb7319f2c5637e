"""Ids of followers: of nodes and of applications that embed Gatepass."""

import hashlib
import os
import socket
from pathlib import Path

from gatepass.verify.freshness import boot_word

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def identity(path: Path) -> str:
    """The id shared by all processes that decide from the grant file *path*.

    Derived from the machine (its name, this boot) and the file's inode, so nothing is stored. A
    cloned machine or container has another id even though its file is the same: a receipt must not
    be confirmed by a clone.

    Raises:
        OSError: the file doesn't exist.
    """
    state = os.stat(path)
    what = f"{boot_word():x} {socket.gethostname()} {path.absolute()} {state.st_dev} {state.st_ino}"
    return _id(what)


def follower_id(node_id: str, key_id: str) -> str:
    """Registry id of a follower, from the id it claims and its verifier key's id.

    The claimed id is not trusted. A follower that claims a node's or another follower's id, with
    another key, gets another registry id: it replaces nobody and confirms nobody's receipts.
    """
    return _id(f"{key_id} {node_id}")


def _id(what: str) -> str:
    number = int.from_bytes(hashlib.sha256(what.encode()).digest())
    digits = ""
    for _ in range(16):
        number, digit = divmod(number, 62)
        digits += _BASE62[digit]
    return f"node_{digits}"
