"""The settings, read once from the environment and the configuration file.

Names, defaults and meanings are in docs/reference/settings.md. A setting that can't be read stops
the start with one line that names it.
"""

import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from email.utils import parseaddr
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import unquote_to_bytes, urlsplit

from gatepass import environment
from gatepass.config_file import Configured, configured
from gatepass.core.errors import Misconfigured
from gatepass.core.networks import InvalidNetwork, Network, parse_network
from gatepass.environment import PREFIX, QUOTES

DEFAULT_PORT = 8787
DEFAULT_PUBLIC_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
#: Settings that only have an effect together with another one.
_ONLY_WITH = {
    "VERIFY_WORKERS": ("VERIFY_PORT", "VERIFY_SOCKET", "GRPC_PORT"),
    "MAIL_FROM": ("SMTP_URL",),
}
#: Settings that a sign-in provider needs, beside the company's.
_OIDC_NEEDS = ("OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET")
#: Settings without effect unless there is a provider; OIDC_REQUIRED without one would lock out.
_OIDC_ALL = (
    *_OIDC_NEEDS,
    *("OIDC_COMPANY", "OIDC_COMPANY_CLAIM", "OIDC_ROLE_CLAIM", "OIDC_ROLES", "OIDC_REQUIRED"),
)
#: Lists whose default isn't empty.
_NONE_MEANS_EMPTY = ("trusted_proxies",)
#: sockaddr_un holds 108 bytes on Linux, 104 elsewhere, with a zero at the end.
_LONGEST_SOCKET = 103
LOG_LEVELS = ("debug", "info", "warning", "error")
#: Levels that leave out the lines of requests.
_WITHOUT_REQUESTS = ("warning", "error")
LOG_FORMATS = ("text", "json")
_LONGEST_DELAY_S = 3600
_SHORTEST_METRICS_TOKEN = 16
_LONGEST_LIFETIME_S = 100 * 365 * 24 * 3600
# A host outside ASCII is written with its A-labels (xn--…), as browsers compare origins.
_ORIGIN = re.compile(
    r"(?P<origin>https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?)/?"
)


class RoleMapping(NamedTuple):
    """The role of users whose claim has a value: a role's name, or its id."""

    value: str
    role: str

    def __str__(self) -> str:
        return f"{self.value}={self.role}"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, immutable. Durations are whole seconds. The repr leaves passwords out."""

    data_dir: Path
    database_url: str = field(repr=False)
    public_url: str = DEFAULT_PUBLIC_URL
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    workers: int = 1
    verify_port: int | None = None
    verify_socket: Path | None = None
    grpc_port: int | None = None
    verify_workers: int = 1
    trusted_proxies: tuple[Network | str, ...] = ()
    catalogue: Path | None = None
    smtp_url: str | None = field(default=None, repr=False)
    mail_from: str | None = None
    login_lifetime: int = 10_800
    invitation_lifetime: int = 259_200
    request_lifetime: int = 600
    max_staleness: int = 10
    webhook_networks: tuple[Network, ...] = ()
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = field(default=None, repr=False)
    oidc_company: str | None = None
    oidc_company_claim: str | None = None
    oidc_role_claim: str | None = None
    oidc_roles: tuple[RoleMapping, ...] = ()
    oidc_required: bool = False
    secret_scanning_keys: Path | None = None
    log_level: str = "info"
    log_format: str = "text"
    access_log: bool = False
    shutdown_delay: int = 0
    metrics_token: str | None = field(default=None, repr=False)
    metrics_port: int | None = None
    security_contact: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings.

        Args:
            environ: variables (``GATEPASS_…``); by default the environment's, and those that the
                configuration file sets.

        Raises:
            Misconfigured: one line that names the setting that can't be read.
        """
        environ = cls.configured().environ if environ is None else environ
        cores = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)

        def setting(name: str, parse: Callable[[str], Any], default: str | None) -> Any:
            variable, text = environment.find(environ, name)
            text = default if text is None else text
            if text is None:
                return None
            try:
                return parse(text)
            except ValueError as error:
                raise Misconfigured(f"{variable}: {error}") from None

        _require_complete_provider(environ)
        data_dir = setting("DATA_DIR", _directory, None) or _user_data_dir()
        return cls(
            data_dir=data_dir,
            database_url=setting(
                "DATABASE_URL", partial(_database_url, data_dir), "sqlite:///gatepass.db"
            ),
            public_url=setting("PUBLIC_URL", _public_url, DEFAULT_PUBLIC_URL),
            host=setting("HOST", _host, "127.0.0.1"),
            port=setting("PORT", _port, str(DEFAULT_PORT)),
            workers=setting("WORKERS", _workers, cores),
            verify_port=setting("VERIFY_PORT", _port, None),
            verify_socket=setting("VERIFY_SOCKET", partial(_socket, data_dir), None),
            grpc_port=setting("GRPC_PORT", _port, None),
            verify_workers=setting("VERIFY_WORKERS", _workers, cores),
            trusted_proxies=setting("TRUSTED_PROXIES", _proxies, "127.0.0.0/8,::1/128"),
            catalogue=setting("CATALOGUE", _path, None),
            smtp_url=setting("SMTP_URL", _smtp_url, None),
            mail_from=setting("MAIL_FROM", _mail_from, None),
            login_lifetime=setting("LOGIN_LIFETIME", _seconds, "10800"),
            invitation_lifetime=setting("INVITATION_LIFETIME", _seconds, "259200"),
            request_lifetime=setting("REQUEST_LIFETIME", _seconds, "600"),
            max_staleness=setting("MAX_STALENESS", _seconds, "10"),
            webhook_networks=setting("WEBHOOK_NETWORKS", _networks, None) or (),
            oidc_issuer=setting("OIDC_ISSUER", _issuer, None),
            oidc_client_id=setting("OIDC_CLIENT_ID", _printable, None),
            oidc_client_secret=setting("OIDC_CLIENT_SECRET", _secret, None),
            oidc_company=setting("OIDC_COMPANY", _printable, None),
            oidc_company_claim=setting("OIDC_COMPANY_CLAIM", _printable, None),
            oidc_role_claim=setting("OIDC_ROLE_CLAIM", _printable, None),
            oidc_roles=setting("OIDC_ROLES", _role_mappings, None) or (),
            oidc_required=setting("OIDC_REQUIRED", _switch, "off"),
            secret_scanning_keys=setting("SECRET_SCANNING_KEYS", _path, None),
            log_level=setting("LOG_LEVEL", partial(_one_of, LOG_LEVELS), "info"),
            log_format=setting("LOG_FORMAT", partial(_one_of, LOG_FORMATS), "text"),
            access_log=setting("ACCESS_LOG", _switch, "off"),
            shutdown_delay=setting("SHUTDOWN_DELAY", _delay, "0"),
            metrics_token=setting("METRICS_TOKEN", _metrics_token, None),
            metrics_port=setting("METRICS_PORT", _port, None),
            security_contact=setting("SECURITY_CONTACT", _contact, None),
        )

    @classmethod
    def configured(cls) -> Configured:
        """The environment's variables, and those that the configuration file sets.

        Raises:
            Misconfigured: the file can't be used.
        """
        return configured(os.environ, cls.names())

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all settings, without the prefix."""
        return tuple(one.name.upper() for one in fields(cls))

    @staticmethod
    def without_effect(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """The variables that are set in vain, each with the one that is missing beside it.

        Raises:
            Misconfigured: as ``read`` says.
        """
        for name, needed in _ONLY_WITH.items():
            variable, text = environment.find(environ, name)
            others = [environment.find(environ, other) for other in needed]
            if text is not None and all(other is None for _, other in others):
                yield variable, " or ".join(missing for missing, _ in others)
        variable, text = environment.find(environ, "ACCESS_LOG")
        level, chosen = environment.find(environ, "LOG_LEVEL")
        if text is not None and _switch(text) and (chosen or "").lower() in _WITHOUT_REQUESTS:
            yield variable, f"{level}=info or debug"

    def with_(self, **changes: Any) -> Self:
        """A copy with *changes*."""
        return replace(self, **changes)

    @property
    def ports(self) -> dict[str, int]:
        """The ports to listen on, by the variables that set them.

        Raises:
            Misconfigured: two are equal.
        """
        ports = {
            PREFIX + "PORT": self.port,
            PREFIX + "VERIFY_PORT": self.verify_port,
            PREFIX + "METRICS_PORT": self.metrics_port,
            PREFIX + "GRPC_PORT": self.grpc_port,
        }
        found = {variable: port for variable, port in ports.items() if port is not None}
        first: dict[int, str] = {}
        for variable, port in found.items():
            if first.setdefault(port, variable) != variable:
                raise Misconfigured(f"{variable}: must differ from {first[port]}")
        return found

    @property
    def is_https(self) -> bool:
        """Whether PUBLIC_URL is https; decides the cookie's name and its Secure attribute."""
        return self.public_url.startswith("https://")

    @property
    def public_url_fits(self) -> bool:
        """Whether PUBLIC_URL was set, or Gatepass listens at its default."""
        listens_there = self.port == DEFAULT_PORT and ipaddress.ip_address(self.host).is_loopback
        return self.public_url != DEFAULT_PUBLIC_URL or listens_there

    @property
    def mail_host(self) -> str:
        """PUBLIC_URL's host in mail syntax: a name, or an address in brackets (RFC 5321)."""
        host = urlsplit(self.public_url).hostname or "localhost"
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return host
        return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"

    @property
    def sender(self) -> tuple[str, str]:
        """The sender of mail: name and address."""
        if self.mail_from is None:
            return "Gatepass", f"gatepass@{self.mail_host}"
        return parseaddr(self.mail_from)

    @property
    def is_sqlite(self) -> bool:
        """Whether the registry is the embedded database, which is also the grant file."""
        return self.database_url.startswith("sqlite:")

    @property
    def grant_path(self) -> Path:
        """The local grant file: the SQLite database, or the node's copy in the data directory."""
        if self.is_sqlite:
            return Path(self.database_url.removeprefix("sqlite:///"))
        return self.data_dir / "grants.db"

    def for_deciding(self) -> Self:
        """The settings without passwords, for a process that only makes decisions."""
        database_url = self.database_url if self.is_sqlite else "postgresql:///"
        oidc: dict[str, Any] = dict.fromkeys(
            one.name for one in fields(self) if one.name.startswith("oidc_")
        )
        oidc |= {"oidc_roles": (), "oidc_required": False}
        return self.with_(
            database_url=database_url, smtp_url=None, metrics_token=None, metrics_port=None, **oidc
        )

    def to_environ(self) -> dict[str, str]:
        """The environment that ``read`` turns into these settings; for worker processes."""
        environ = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, tuple):
                # An empty value would mean the default; "none" is the empty list.
                value = ",".join(map(str, value)) or (
                    "none" if one.name in _NONE_MEANS_EMPTY else None
                )
            elif isinstance(value, bool):
                value = "on" if value else None
            if value is not None:
                environ[PREFIX + one.name.upper()] = str(value)
        return environ


def _require_complete_provider(environ: Mapping[str, str]) -> None:
    """Refuse a sign-in provider that is configured in part, which would fail at sign-in."""

    def is_set(name: str) -> bool:
        return environment.find(environ, name)[1] is not None

    if not is_set("OIDC_ISSUER"):
        alone = next((name for name in _OIDC_ALL if is_set(name)), None)
        if alone is not None:
            raise Misconfigured(f"{PREFIX}{alone}: needs {PREFIX}OIDC_ISSUER")
        return
    for name in _OIDC_NEEDS:
        if not is_set(name):
            raise Misconfigured(f"{PREFIX}OIDC_ISSUER: needs {PREFIX}{name}")
    if is_set("OIDC_COMPANY") == is_set("OIDC_COMPANY_CLAIM"):
        raise Misconfigured(
            f"{PREFIX}OIDC_ISSUER: needs one of {PREFIX}OIDC_COMPANY and "
            f"{PREFIX}OIDC_COMPANY_CLAIM, not both"
        )
    for one, other in (("OIDC_ROLE_CLAIM", "OIDC_ROLES"), ("OIDC_ROLES", "OIDC_ROLE_CLAIM")):
        if is_set(one) and not is_set(other):
            raise Misconfigured(f"{PREFIX}{one}: needs {PREFIX}{other}")


def _user_data_dir() -> Path:
    # Imported here: verify workers, which always get their directory, don't need it.
    from platformdirs import user_data_path

    return user_data_path("gatepass", appauthor=False)


def _path(text: str) -> Path:
    # Undecodable bytes arrive as unpaired surrogates, which can't be printed or stored.
    if not text.isprintable():
        raise ValueError("must be a path of printable characters")
    if text != text.strip() or text.strip(QUOTES) != text:
        raise ValueError("must have no space or quote at its beginning or end")
    if text.startswith("$"):
        # It would become a directory of that name in the current one.
        raise ValueError("must be written out: no variable is replaced here")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"unknown user in {text.partition('/')[0]!r}") from None


def _directory(text: str) -> Path:
    return _path(text).absolute()


def _socket(data_dir: Path, text: str) -> Path:
    path = data_dir / _path(text)
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        raise ValueError(f"must be a path of at most {_LONGEST_SOCKET} bytes, from / on")
    return path


def _whole(text: str, what: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII) or not least <= int(text) <= most:
        raise ValueError(f"{what} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def _port(text: str) -> int:
    return _whole(text, "a port", 1, 65_535)


def _workers(text: str) -> int:
    return _whole(text, "a number of workers", 1, 512)


def _seconds(text: str) -> int:
    return _whole(text, "a lifetime in seconds", 1, _LONGEST_LIFETIME_S)


def _delay(text: str) -> int:
    return _whole(text, "a delay in seconds", 0, _LONGEST_DELAY_S)


def _one_of(words: tuple[str, ...], text: str) -> str:
    if text.lower() not in words:
        raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}, not {text!r}")
    return text.lower()


def _metrics_token(text: str) -> str:
    # Never repeated in the message.
    if len(text) < _SHORTEST_METRICS_TOKEN or not re.fullmatch(r"[!-~]+", text, re.ASCII):
        raise ValueError(
            f"must have at least {_SHORTEST_METRICS_TOKEN} visible ASCII characters, and no space"
        )
    return text


def _contact(text: str) -> str:
    """A URI for ``security.txt`` (RFC 9116, 2.5.3)."""
    if re.fullmatch(r"[^\s@:/]+@[^\s@:/]+", text, re.ASCII):
        text = f"mailto:{text}"
    if not re.fullmatch(r"(?:mailto:[!-~]+@|https://|tel:\+)[!-~]+", text, re.ASCII):
        raise ValueError("must be an e-mail address, or an https, mailto or tel URI")
    return text


def _proxies(text: str) -> tuple[Network | str, ...]:
    if text.strip() == "none":
        return ()
    # "unix:" means peers on a Unix socket (verify.http.client_address).
    return tuple(part if part == "unix:" else _network(part) for part in _networks_typed(text))


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(map(_network, _networks_typed(text)))


def _networks_typed(text: str) -> list[str]:
    if re.search(r"[^\s,][\s;]+[^\s,]|;", text):
        raise ValueError("must be networks with commas between them")
    return [part.strip() for part in text.split(",")]


def _network(part: str) -> Network:
    try:
        return parse_network(part)
    except InvalidNetwork as error:
        raise ValueError(f"{part!r}: {error}") from None


def _host(text: str) -> str:
    host = text[1:-1] if text[:1] + text[-1:] == "[]" else text
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise ValueError(f"must be an IP address to listen on, not {text!r}") from None


def _database_url(data_dir: Path, text: str) -> str:
    scheme, separator, rest = text.partition("://")
    if separator and scheme == "sqlite":
        path = rest.removeprefix("/")
        # Relative to the data directory, not the current one: init and serve use the same file.
        file = str(data_dir / _path(path))
        if path == rest or not Path(path).name or "?" in path or path == ":memory:":
            raise ValueError(
                "must be sqlite:///file-in-the-data-directory or sqlite:////absolute/path"
            )
        return f"sqlite:///{file}"
    if separator and scheme in ("postgresql", "postgres") and rest:
        # libpq notices a wrong port only when it connects, and blames the host name.
        if not rest.isprintable() or rest != rest.strip():
            raise ValueError("must be printable, without a space at its end")
        before, _, database = rest.partition("?")[0].partition("/")
        if "@" in database:
            # libpq would parse "user:12/34@host" as host "user" and port 12.
            raise ValueError("a password's / must be written as %2F, and a database's @ as %40")
        hosts = before.rpartition("@")[2]
        ports = re.findall(r":([^:,\]]*)(?=,|$)", hosts)
        if any(port and not re.fullmatch("[0-9]{1,5}", port, re.ASCII) for port in ports):
            raise ValueError("a port must be a whole number from 1 to 65535")
        return f"postgresql://{rest}"
    # Never repeated in the message: the URL may have a password.
    raise ValueError("must be a sqlite:///… or postgresql://… URL")


def _public_url(text: str) -> str:
    found = _ORIGIN.fullmatch(text.lower())
    if found is None or not 1 <= int(found["port"] or 1) <= 65_535:
        raise ValueError("must be http://host or https://host, with a port if need be and no path")
    return found["origin"]


def _smtp_url(text: str) -> str:
    if re.fullmatch(r"smtps?://[^/?#]+[/?#].+", text):
        # "user:12#34@host" would be parsed as host "user" and port 12.
        raise ValueError("a password's / ? and # must be written as %2F, %3F and %23")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("smtp", "smtps") and parts.hostname and parts.port != 0
        user = unquote_to_bytes(parts.netloc.rpartition("@")[0]).decode("utf-8")
    except ValueError:
        good, user = False, ""
    # The parser would silently drop control characters, and so change the password, and replace
    # bytes that aren't UTF-8.
    if not good or re.search(r"[\s\x00-\x1f\x7f]", text) or not user.isprintable():
        # The library's own message isn't repeated either: it quotes the password.
        raise ValueError("must be a URL such as smtp://user:password@host:587")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have both a user and a password, or neither")
    return text


def _issuer(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    plain = re.fullmatch(r"[!-~]+", text) and not re.search(r"[@?#\\]", text)
    if not host or not plain or not is_https_or_loopback(text):
        raise ValueError("must be an https URL, or http://localhost, without a query")
    return text


def is_https_or_loopback(url: str) -> bool:
    """Whether *url* is https, or http to this machine alone."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        return parts.scheme == "https"
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, without a space at its beginning or end")
    return text


def _secret(text: str) -> str:
    try:
        return _printable(text)
    except ValueError:
        raise ValueError("must be printable, without a space at its end") from None


def _role_mappings(text: str) -> tuple[RoleMapping, ...]:
    found = []
    for part in text.split(","):
        # The last "=": claim values such as LDAP names have some, roles' names rarely.
        value, _, role = part.strip().rpartition("=")
        if not (value.strip() and role.strip() and part.isprintable()):
            raise ValueError("must be pairs such as admins=Admin, with commas between them")
        found.append(RoleMapping(value.strip(), role.strip()))
    return tuple(found)


def _switch(text: str) -> bool:
    word = text.lower()
    if word not in ("on", "off", "true", "false", "yes", "no", "1", "0"):
        raise ValueError(f"must be on or off, not {text!r}")
    return word in ("on", "true", "yes", "1")


def _mail_from(text: str) -> str:
    # A simple parser, so that the accepted text is exactly the address in use.
    address = text.rpartition("<")[2].removesuffix(">") if text.endswith(">") else text
    local, _, host = address.rpartition("@")
    plain = text.isprintable() and re.fullmatch(r"[^\s<>,;:\"()]+", address)
    if not (local and host and plain and address.isascii()) or parseaddr(text)[1] != address:
        raise ValueError(
            f"must be one address such as Gatepass <gatepass@example.com>, not {text!r}"
        )
    return text
