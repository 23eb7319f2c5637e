"""Counted use of access tokens."""

import json

from gatepass.node.node import Node


def use(node: Node, token: str, ago_ms: int, permission: str = "charges:get") -> None:
    """Spool and fold calls with the token."""
    at = node.clock.now() - ago_ms
    directory = node.file.use_directory
    directory.mkdir(exist_ok=True)
    line = {"tokens": {token[:21]: [7, at, "203.0.113.9", permission]}, "decisions": {"allowed": 7}}
    (directory / f"{at}.spool").write_bytes(json.dumps(line).encode() + b"\n")
    node.fold()
