"""Reading a file of keys to import: JSON Lines, an object for each key."""

import sys
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

from gatepass.core.errors import MOST_ERRORS, InvalidInput, Misconfigured
from gatepass.registry.tokens.importing import MOST_KEYS, Line
from gatepass.web.strict_json import BrokenJSON, parse
from gatepass.web.times import parse_time

#: A larger file is refused. Lines of usual length are 200 bytes.
MOST_BYTES = 64 << 20
_LONGEST_LINE = 64 << 10


def read_key_file(path: Path) -> list[Line]:
    """The lines of a file, or of standard input for ``-``; blank ones are skipped.

    Raises:
        Misconfigured: it can't be read, or is too large.
        InvalidInput: with the first lines that are no JSON objects. Their content isn't repeated.
    """
    content = _content(path)
    if len(content) > MOST_BYTES:
        raise Misconfigured(f"{path} must have at most {MOST_BYTES >> 20} MiB")
    lines: list[Line] = []
    errors: list[tuple[str, str]] = []
    for number, line in enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            lines.append((number, _read(line)))
        except InvalidInput as error:
            errors += [(f"line {number}: {name}", why) for name, why in error.errors]
        if len(lines) > MOST_KEYS or len(errors) >= MOST_ERRORS:
            break
    if errors:
        raise InvalidInput(errors)
    return lines


def _content(path: Path) -> bytes:
    try:
        if str(path) == "-":
            return sys.stdin.buffer.read(MOST_BYTES + 1)
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"{path} can't be read: {error.strerror}") from None


def _read(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise InvalidInput([("length", f"Must be at most {_LONGEST_LINE >> 10} KiB.")])
    try:
        value = parse(line)
    except (BrokenJSON, InvalidInput):
        value = None
    if not isinstance(value, dict):
        # A name in the line could be a key's text.
        raise InvalidInput([("JSON", "Must be an object with each name once.")])
    at = value.get("expires_at")
    if at is not None:
        try:
            value["expires_at"] = parse_time(at if isinstance(at, str) else "")
        except ValueError as error:
            raise InvalidInput([("expires_at", str(error))]) from None
    return value
