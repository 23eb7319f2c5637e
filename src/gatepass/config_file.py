"""``gatepass.toml``: settings in a file. A variable of the environment wins over it.

Its keys are the names of settings in lower case, without the prefix; its values texts, numbers,
``true`` and ``false``, or lists.
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gatepass import environment
from gatepass.core.errors import Misconfigured
from gatepass.environment import CONFIG, FILE, IN_FILES, PREFIX

#: Read if GATEPASS_CONFIG names no other file. It may be missing.
DEFAULT_PATH = Path("/etc/gatepass/gatepass.toml")
_LARGEST = 1 << 20
_variable = re.compile(rf"\b{PREFIX}[A-Z_]+\b")


@dataclass(frozen=True, slots=True)
class Configured:
    """The environment, with the file's settings where it has none.

    Attributes:
        from_file: the variables that the file sets.
        path: the file's; None if there is none.
    """

    environ: Mapping[str, str]
    from_file: frozenset[str] = frozenset()
    path: Path | None = None

    def located(self, message: str) -> str:
        """*message*, with the file and its keys in place of the variables that it sets.

        Errors name settings by their variables, which nobody has set there.
        """
        keys = {variable: variable.removeprefix(PREFIX).lower() for variable in self.from_file}
        said = _variable.sub(lambda found: keys.get(found[0], found[0]), message)
        return message if said == message else f"{self.path}: {said}"


def configured(environ: Mapping[str, str], known: Collection[str]) -> Configured:
    """Read the file, if there is one.

    Args:
        known: the names of all settings, without the prefix.

    Raises:
        Misconfigured: one line that names what is wrong; never with a value, which may be a secret.
    """
    named = environ.get(PREFIX + CONFIG)
    path = Path(named) if named else DEFAULT_PATH
    content = _content(path, required=bool(named))
    if content is None:
        return Configured(environ)
    try:
        values = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{path}: {error}") from None
    except (ValueError, RecursionError):
        raise Misconfigured(f"{path}: a number or a list is too long") from None
    found = {}
    for key, value in values.items():
        name = _name(path, key, known)
        text = _text(path, key, value)
        if text and not _is_set(environ, name.removesuffix(FILE)):
            found[PREFIX + name] = text
    return Configured({**environ, **found}, frozenset(found), path)


def _content(path: Path, *, required: bool) -> str | None:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise Misconfigured(f"{path}: must not be larger than 1 MiB")
        return content.decode("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        if required:
            raise Misconfigured(f"{path}: can't be read: {error.strerror}") from None
        return None
    except UnicodeDecodeError:
        raise Misconfigured(f"{path}: must be UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "must be a file's name"
        raise Misconfigured(f"{path}: can't be read: {reason}") from None


def _name(path: Path, key: str, known: Collection[str]) -> str:
    names = {each.lower() for each in (*known, *(name + FILE for name in IN_FILES))}
    if key not in names:
        nearest = get_close_matches(key.lower(), sorted(names), n=1, cutoff=0.0)[0]
        raise Misconfigured(f"{path}: there is no setting {key!r}: the nearest is {nearest}")
    return key.upper()


def _text(path: Path, key: str, value: Any) -> str:
    """A value as its variable would have it."""
    if isinstance(value, list) and all(isinstance(each, str) and "," not in each for each in value):
        return ",".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | str):
        return str(value)
    raise Misconfigured(
        f"{path}: {key} must be a text, a number, true, false, or a list of texts without commas"
    )


def _is_set(environ: Mapping[str, str], name: str) -> bool:
    return environment.is_set(environ, name) or bool(environ.get(PREFIX + name + FILE))
