"""Environment variables of settings: secrets in files, unknown names, Kubernetes variables.

Kubernetes gives every container variables named after the cluster's Services. Those of a Service
named ``gatepass`` have the prefix of our settings, and ``GATEPASS_PORT`` is one of them.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from gatepass.core.errors import Misconfigured

PREFIX = "GATEPASS_"
#: Settings that a file may hold instead, which keeps the secret out of process environments.
IN_FILES = frozenset(("DATABASE_URL", "METRICS_TOKEN", "OIDC_CLIENT_SECRET", "SMTP_URL"))
#: Of programs that ask a server, as the documentation names them: the same host may set them.
OF_CLIENTS = frozenset(
    ("ADMIN_KEY", "DIRECTORY", "EMAIL", "KEY", "PASSWORD", "URL", "VERIFIER_KEY")
)
#: The suffix of a variable that names such a file.
FILE = "_FILE"
#: Names the configuration file (``config_file``).
CONFIG = "CONFIG"
_LARGEST_FILE = 65_536
_LONGEST_NAME = 80

#: Quotes that people put around values, and copy along with them.
QUOTES = "\"'`“”‘’"
_address_of_service = re.compile(r"(?:tcp|udp|sctp)://").match
_of_service = re.compile(
    r"(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_(?:HOST|PORT(?:_[A-Z0-9_]+)?)|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z0-9_]+)?)"
).fullmatch


def find(environ: Mapping[str, str], name: str) -> tuple[str, str | None]:
    """The variable that sets *name*, and its text or that of the file it names.

    An empty variable counts as unset, as shells and unit files write it.

    Raises:
        Misconfigured: the file can't be read, or both are set.
    """
    variable = PREFIX + name
    text = environ[variable] if is_set(environ, name) else None
    in_file = variable + FILE
    path = environ.get(in_file) if name in IN_FILES else None
    if path:
        if text is not None:
            raise Misconfigured(f"{variable}: must not be set together with {in_file}")
        variable, text = in_file, _text_of_file(in_file, path)
    if text is not None and len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES:
        # `docker run --env-file` passes quotes on.
        raise Misconfigured(f"{variable}: must be written without quotes around it")
    return variable, text


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable of that name has a value, and not by Kubernetes."""
    text = environ.get(PREFIX + name, "")
    return bool(text) and not _by_kubernetes(PREFIX + name, text)


def warnings(environ: Mapping[str, str], known: Collection[str]) -> Iterator[str]:
    """A line for each variable with our prefix that is no setting.

    Never with its value, which may be a secret under a misspelt name.

    Args:
        known: the settings' names, without the prefix.
    """
    names = sorted({*known, *(name + FILE for name in IN_FILES)})
    for variable, text in sorted(environ.items()):
        name = variable.removeprefix(PREFIX)
        if name in (variable, CONFIG) or name in names or name in OF_CLIENTS:
            continue
        if _of_service(name) or _by_kubernetes(variable, text):
            continue
        nearest = get_close_matches(name[:_LONGEST_NAME].upper(), names, n=1, cutoff=0.0)[0]
        shown = variable[:_LONGEST_NAME].encode("ascii", "backslashreplace").decode("ascii")
        shown = "".join(one if one.isprintable() else "?" for one in shown)
        yield f"there is no setting {shown}: the nearest is {PREFIX}{nearest}"


def _by_kubernetes(variable: str, text: str) -> bool:
    return variable.endswith("PORT") and _address_of_service(text) is not None


def _text_of_file(variable: str, path: str) -> str:
    # The path isn't repeated: it may be the secret itself, set by mistake.
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "must be a file's name"
        raise Misconfigured(f"{variable}: the file can't be read: {reason}") from None
    if len(content) > _LARGEST_FILE:
        raise Misconfigured(f"{variable}: the file must not be larger than 64 KiB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Misconfigured(f"{variable}: the file must be UTF-8 text") from None
    text = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
    if not text:
        raise Misconfigured(f"{variable}: the file must not be empty")
    return text
