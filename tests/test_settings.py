"""Settings: parsed once and strictly; errors name the setting."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.errors import Misconfigured
from gatepass.core.networks import parse_network
from gatepass.environment import PREFIX
from gatepass.registry.storage.database import Database
from gatepass.settings import Settings

SECRET = "hunter2secret"


def read(**environ: str) -> Settings:
    environ.setdefault("DATA_DIR", "/data")
    return Settings.read({PREFIX + name: value for name, value in environ.items()})


def networks(*texts: str) -> tuple[object, ...]:
    return tuple(map(parse_network, texts))


CORES = len(os.sched_getaffinity(0))
DEFAULTS: dict[str, Any] = {
    "database_url": "sqlite:////data/gatepass.db",
    "data_dir": Path("/data"),
    "public_url": "http://127.0.0.1:8787",
    "host": "127.0.0.1",
    "port": 8787,
    "workers": CORES,
    "verify_port": None,
    "grpc_port": None,
    "verify_socket": None,
    "verify_workers": CORES,
    "trusted_proxies": networks("127.0.0.0/8", "::1/128"),
    "catalogue": None,
    "smtp_url": None,
    "mail_from": None,
    "login_lifetime": 10_800,
    "invitation_lifetime": 259_200,
    "request_lifetime": 600,
    "max_staleness": 10,
    "webhook_networks": (),
    "oidc_issuer": None,
    "oidc_client_id": None,
    "oidc_client_secret": None,
    "oidc_company": None,
    "oidc_company_claim": None,
    "oidc_role_claim": None,
    "oidc_roles": (),
    "oidc_required": False,
    "secret_scanning_keys": None,
    "log_level": "info",
    "log_format": "text",
    "access_log": False,
    "shutdown_delay": 0,
    "metrics_token": None,
    "metrics_port": None,
    "security_contact": None,
}


def test_every_setting_has_its_default() -> None:
    """As in the table of docs/reference/settings.md, which is complete."""
    settings = read()
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert set(Settings.__dataclass_fields__) == set(DEFAULTS)


@pytest.mark.parametrize("name", [name.upper() for name in DEFAULTS if name != "data_dir"])
def test_an_empty_value_is_the_default(name: str) -> None:
    """Shells and unit files write ``GATEPASS_X=`` for "not set"."""
    assert read(**{name: ""}) == read()


def test_other_variables_are_ignored() -> None:
    """Without the prefix, or in lower case."""
    environ = {"GATEPASS_DATA_DIR": "/data", "PORT": "1", "gatepass_port": "2", "GATEPASS": "3"}
    assert Settings.read(environ) == read()


def test_the_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process's own."""
    monkeypatch.setenv("GATEPASS_DATA_DIR", "/data")
    monkeypatch.setenv("GATEPASS_PORT", "4711")
    assert Settings.read().port == 4711


def test_the_default_data_directory_is_the_platforms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's, named after the product."""
    monkeypatch.setenv("XDG_DATA_HOME", "/home/someone/.data")
    settings = Settings.read({})
    assert settings.data_dir == Path("/home/someone/.data/gatepass")
    assert settings.grant_path == Path("/home/someone/.data/gatepass/gatepass.db")


GOOD: list[tuple[str, str, Any]] = [
    ("DATABASE_URL", "sqlite:///gatepass.db", "sqlite:////data/gatepass.db"),
    ("DATABASE_URL", "sqlite:///sub/my own.db", "sqlite:////data/sub/my own.db"),
    ("DATABASE_URL", "sqlite:////abs/x.db", "sqlite:////abs/x.db"),
    ("DATABASE_URL", "postgresql://u:p@h/db", "postgresql://u:p@h/db"),
    ("DATABASE_URL", "postgres://u:p@h/db", "postgresql://u:p@h/db"),
    ("DATABASE_URL", "postgresql://u:12%2F34@h/a%40b", "postgresql://u:12%2F34@h/a%40b"),
    ("DATABASE_URL", "postgresql:///db?host=/run/a@b", "postgresql:///db?host=/run/a@b"),
    (
        "DATABASE_URL",
        "postgresql://u:p@a:1,b:2/db?target_session_attrs=read-write",
        "postgresql://u:p@a:1,b:2/db?target_session_attrs=read-write",
    ),
    ("DATA_DIR", "/somewhere", Path("/somewhere")),
    ("PUBLIC_URL", "https://gate.example.com", "https://gate.example.com"),
    ("PUBLIC_URL", "https://gate.example.com/", "https://gate.example.com"),
    ("PUBLIC_URL", "HTTPS://Gate.Example.COM:8443", "https://gate.example.com:8443"),
    ("PUBLIC_URL", "http://[::1]:80", "http://[::1]:80"),
    ("HOST", "0.0.0.0", "0.0.0.0"),
    ("HOST", "::1", "::1"),
    ("HOST", "[::1]", "::1"),
    ("HOST", "localhost", "127.0.0.1"),
    ("PORT", "1", 1),
    ("PORT", "65535", 65_535),
    ("WORKERS", "3", 3),
    ("VERIFY_PORT", "8788", 8788),
    ("GRPC_PORT", "8789", 8789),
    ("VERIFY_SOCKET", "/run/gatepass/verify.sock", Path("/run/gatepass/verify.sock")),
    ("VERIFY_SOCKET", "verify.sock", Path("/data/verify.sock")),
    ("VERIFY_WORKERS", "1", 1),
    ("TRUSTED_PROXIES", "10.1.2.3", networks("10.1.2.3/32")),
    ("TRUSTED_PROXIES", " 10.0.0.0/8 ,\t::1 ", networks("10.0.0.0/8", "::1/128")),
    ("TRUSTED_PROXIES", "none", ()),
    ("TRUSTED_PROXIES", "unix:", ("unix:",)),
    ("TRUSTED_PROXIES", "10.0.0.0/8, unix:", (*networks("10.0.0.0/8"), "unix:")),
    ("WEBHOOK_NETWORKS", "10.0.0.0/8, fd00::/8", networks("10.0.0.0/8", "fd00::/8")),
    ("CATALOGUE", "/etc/catalogue.yaml", Path("/etc/catalogue.yaml")),
    ("CATALOGUE", "catalogue.yaml", Path("catalogue.yaml")),
    ("SMTP_URL", "smtp://u:p@h:587", "smtp://u:p@h:587"),
    ("SMTP_URL", "smtps://h", "smtps://h"),
    ("SMTP_URL", "smtps://h/", "smtps://h/"),
    ("SMTP_URL", "smtp://u:p%C3%A4ss%20%E2%82%AC@h:587", "smtp://u:p%C3%A4ss%20%E2%82%AC@h:587"),
    ("SMTP_URL", "smtp://u:päss@h:587", "smtp://u:päss@h:587"),
    ("SMTP_URL", "smtp://u:%2F%3F%23%40%3A@h:587", "smtp://u:%2F%3F%23%40%3A@h:587"),
    ("SMTP_URL", "smtp://u@example.com:p@h:587", "smtp://u@example.com:p@h:587"),
    ("MAIL_FROM", "Keys <keys@example.com>", "Keys <keys@example.com>"),
    ("MAIL_FROM", "keys@example.com", "keys@example.com"),
    ("LOGIN_LIFETIME", "1", 1),
    ("LOGIN_LIFETIME", "0060", 60),
    ("INVITATION_LIFETIME", "86400", 86_400),
    ("MAX_STALENESS", "2", 2),
    ("LOG_LEVEL", "WARNING", "warning"),
    ("LOG_FORMAT", "json", "json"),
    ("ACCESS_LOG", "on", True),
    ("SHUTDOWN_DELAY", "0", 0),
    ("SHUTDOWN_DELAY", "3600", 3600),
    ("METRICS_TOKEN", "0123456789abcde~", "0123456789abcde~"),
    ("METRICS_PORT", "9100", 9_100),
    ("SECURITY_CONTACT", "security@example.com", "mailto:security@example.com"),
    ("SECURITY_CONTACT", "mailto:security@example.com", "mailto:security@example.com"),
    ("SECURITY_CONTACT", "https://example.com/report", "https://example.com/report"),
]


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_valid_value_is_read(name: str, text: str, value: Any) -> None:
    """It changes nothing else, except for files in the data directory."""
    settings = read(**{name: text})
    assert getattr(settings, name.lower()) == value
    if name != "DATA_DIR":
        assert settings.with_(**{name.lower(): getattr(read(), name.lower())}) == read()


WHOLE = ["0", "-1", "+1", "1.0", "1e3", "0x10", " 1", "1 ", "1_0", "٣", "1" * 13, "one", "\n1"]
BAD: dict[str, list[str]] = {
    "DATABASE_URL": [
        "gatepass.db",
        "sqlite:gatepass.db",
        "sqlite://gatepass.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///:memory:",
        "sqlite:///x.db?mode=memory",
        "sqlite:///~nobody-of-that-name/x.db",
        f"mysql://u:{SECRET}@h/db",
        f"postgresql+psycopg://u:{SECRET}@h/db",
        f"postgresql:/u:{SECRET}@h/db",
        f"POSTGRESQL://u:{SECRET}@h/db",
        "postgresql://",
        f" postgresql://u:{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h/db ",
        f"postgresql://u:{SECRET}@h/db\n",
        f"postgresql://u:{SECRET}@h/\udcff",
        f'"postgresql://u:{SECRET}@h/db"',
        # With an unescaped slash the host would be "u".
        f"postgresql://u:12/{SECRET}@h/db",
        'sqlite:///x.db"',
        "sqlite:///x.db ",
        "sqlite:///$HOME/x.db",
        SECRET,
    ],
    "DATA_DIR": [
        "~nobody-of-that-name/gatepass",
        '"/var/lib/gatepass"',
        "'/var/lib/gatepass'",
        '"/var/lib/gatepass',
        "“/var/lib/gatepass”",
        "/var/lib/gatepass ",
        " /var/lib/gatepass",
        "$HOME/gatepass",
        "${HOME}/gatepass",
        " ",
    ],
    "CATALOGUE": ["~nobody-of-that-name/catalogue.yaml", '"/c.yaml"', "/c.yaml ", "$HOME/c.yaml"],
    "PUBLIC_URL": [
        "gate.example.com",
        "//gate.example.com",
        "ftp://gate.example.com",
        "http://",
        "http:///",
        "http://gate.example.com/path",
        '"http://gate.example.com"',
        "http://gate.example.com ",
        "http://gate.example.com,http://other.example.com",
        "http://gate.example.com//",
        "http://gate.example.com?x",
        "http://gate.example.com#x",
        f"http://user:{SECRET}@gate.example.com",
        "http://gate.example.com:0",
        "http://gate.example.com:65536",
        "http://gate.example.com:",
        "http://gate.example.com:http",
        "http://gate example.com",
        "http://gate.example.com\n",
        "http://gate.example.com\r\nx: y",
        'http://gate"example.com',
        "http://gäte.example.com",
        "http://[::1",
        "javascript:alert(1)",
    ],
    "HOST": ["example.com", "127.0.0", "127.0.0.1:80", "*", " 127.0.0.1", "1", "[127.0.0.1"],
    "PORT": ["65536", '"8787"', "'8787'", "8787 ", "8787/tcp", ":8787", *WHOLE],
    "VERIFY_PORT": ["65536", '"8788"', *WHOLE],
    "GRPC_PORT": ["65536", '"8789"', *WHOLE],
    "WORKERS": ["513", *WHOLE],
    "VERIFY_SOCKET": ["/" + "x" * 103, "$HOME/verify.sock", " /verify.sock", "/a\nb"],
    "VERIFY_WORKERS": ["513", *WHOLE],
    "WEBHOOK_NETWORKS": [",", "10.0.0.0/33", "0.0.0.0/0", "unix:", "10.0.0.1;10.0.0.2"],
    "TRUSTED_PROXIES": [
        ",",
        "10.0.0.0/8,",
        "10.0.0.0/33",
        "0.0.0.0/0",
        "::/0",
        "::ffff:10.0.0.0/104",
        "010.0.0.1",
        "localhost",
        "unix",
        "unix:/run/gatepass.sock",
        "*",
        "none,10.0.0.1",
        "10.0.0.0/8;10.0.1.0/24",
        "10.0.0.0/8; 10.0.1.0/24",
        "10.0.0.0/8 10.0.1.0/24",
        "10.0.0.0/8\n10.0.1.0/24",
        '"10.0.0.0/8"',
        '"10.0.0.0/8","10.0.1.0/24"',
        " ",
    ],
    "MAIL_FROM": [
        "nobody",
        "@example.com",
        "keys@",
        "a@example.com, b@example.com",
        "Keys <keys@example.com",
        "k eys@example.com",
        "schlüssel@example.com",
        "Keys <keys@example.com>\r\nBcc: x@example.com",
    ],
    "SMTP_URL": [
        "mail.example.com",
        f"http://u:{SECRET}@h",
        f"smtp://u:{SECRET}@",
        f"smtp://u:{SECRET}@h:0",
        f"smtp://u:{SECRET}@h:65536",
        f"smtp://u:{SECRET}@h:port",
        f"smtp://u:{SECRET}@[::1",
        f"smtp://u:{SECRET}\u2100@ho\u2100st:25",
        f"smtp://u:{SECRET}\n@h:25",
        f"smtp://u:{SECRET} @h:25",
        f'"smtp://u:{SECRET}@h:25"',
        # With an unescaped character the host would be "u", and its port 12.
        f"smtp://u:12#{SECRET}@h:25",
        f"smtp://u:12?{SECRET}@h:25",
        f"smtp://u:12/{SECRET}@h:25",
        f"smtp://u:{SECRET}@h:25/path",
        # Invalid UTF-8, and characters that end a password.
        f"smtp://u:{SECRET}%E4@h:25",
        f"smtp://u:{SECRET}%00@h:25",
        f"smtp://u:{SECRET}%0D%0A@h:25",
        f"smtp://u:{SECRET}\udcff@h:25",
        # A server refuses either half alone.
        f"smtp://:{SECRET}@h:25",
        "smtp://u@h:25",
        "smtps://u:@h",
    ],
    "LOGIN_LIFETIME": ["3153600001", *WHOLE],
    "INVITATION_LIFETIME": ["3153600001", *WHOLE],
    "MAX_STALENESS": ["3153600001", *WHOLE],
    "LOG_LEVEL": ["loud", "info ", "20"],
    "LOG_FORMAT": ["yaml", "json "],
    "ACCESS_LOG": ["maybe", "on "],
    "SHUTDOWN_DELAY": ["3601", *WHOLE[1:]],
    "METRICS_TOKEN": [
        SECRET,
        f"{SECRET} with a space",
        f"{SECRET}{SECRET}ä",
        f"{SECRET}\n{SECRET}",
    ],
    "METRICS_PORT": ["65536", *WHOLE],
    "SECURITY_CONTACT": [
        "example.com",
        "http://example.com",
        "a@b@c",
        "a b@c",
        "https://",
        "x\ny@z",
    ],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts]
)
def test_an_invalid_value_stops_the_start_with_one_line(name: str, text: str) -> None:
    """It names the setting, and never a password."""
    with pytest.raises(Misconfigured) as refused:
        read(**{name: text})
    message = refused.value.message
    assert message.startswith(f"GATEPASS_{name}: ")
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert SECRET not in message
    assert SECRET not in str(refused.value.__cause__)


@pytest.mark.parametrize(
    ("environ", "in_vain"),
    [
        ({}, []),
        (
            {"VERIFY_WORKERS": "2"},
            [
                (
                    "GATEPASS_VERIFY_WORKERS",
                    "GATEPASS_VERIFY_PORT or GATEPASS_VERIFY_SOCKET or GATEPASS_GRPC_PORT",
                )
            ],
        ),
        ({"VERIFY_WORKERS": "2", "VERIFY_SOCKET": "verify.sock"}, []),
        ({"VERIFY_WORKERS": "2", "VERIFY_PORT": "8788"}, []),
        ({"VERIFY_WORKERS": "", "VERIFY_PORT": ""}, []),
        ({"MAIL_FROM": "keys@example.com"}, [("GATEPASS_MAIL_FROM", "GATEPASS_SMTP_URL")]),
        ({"MAIL_FROM": "keys@example.com", "SMTP_URL": "smtp://relay"}, []),
        *(
            (
                {"ACCESS_LOG": "on", "LOG_LEVEL": level},
                [("GATEPASS_ACCESS_LOG", "GATEPASS_LOG_LEVEL=info or debug")],
            )
            for level in ("warning", "ERROR")
        ),
        ({"ACCESS_LOG": "on"}, []),
        ({"ACCESS_LOG": "on", "LOG_LEVEL": "debug"}, []),
        ({"ACCESS_LOG": "off", "LOG_LEVEL": "error"}, []),
    ],
)
def test_a_setting_in_vain_is_named(
    environ: dict[str, str], in_vain: list[tuple[str, str]]
) -> None:
    named = {PREFIX + name: value for name, value in environ.items()}
    assert list(Settings.without_effect(named)) == in_vain


@pytest.mark.parametrize("path", ["/data?mode=ro", "/a%20b", "/p%41q", "/ä b#c"])
def test_any_name_of_a_data_directory_is_used_unchanged(path: str) -> None:
    """Database, grant file and the files beside them are in one place."""
    settings = read(DATA_DIR=path)
    assert settings.grant_path == Path(path, "gatepass.db")
    assert Database(settings.database_url).path == settings.grant_path


def test_a_directory_that_is_not_text_is_refused() -> None:
    with pytest.raises(
        Misconfigured, match="GATEPASS_DATA_DIR: must be a path of printable characters"
    ):
        read(DATA_DIR="/a\udcffb")


@pytest.mark.parametrize("port", ["notaport", "54 32", "٥", "123456"])
def test_a_port_of_postgresql_must_be_a_number(port: str) -> None:
    for hosts in (f"h:{port}", f"u:p@h:{port}", f"a:1,b:{port}", f"[::1]:{port},b"):
        with pytest.raises(Misconfigured, match="DATABASE_URL: a port must be a whole number"):
            read(DATABASE_URL=f"postgresql://{hosts}/x?connect_timeout=1")
    for hosts in ("", "h", "h:1", "u:p:q@h:1", "a:1,b:2", "[::1]", "[::1]:5432,b", "%2Fsocket"):
        assert read(DATABASE_URL=f"postgresql://{hosts}/x").database_url.endswith("/x")


def test_passwords_stay_out_of_the_repr() -> None:
    """So neither logs nor debuggers show them."""
    settings = read(
        DATABASE_URL=f"postgresql://u:{SECRET}@h/db", SMTP_URL=f"smtp://u:{SECRET}@h:25"
    )
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


@pytest.mark.parametrize("where", ["one", "other"])
def test_a_relative_database_is_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Wherever ``init`` and ``serve`` are started."""
    (tmp_path / where).mkdir()
    monkeypatch.chdir(tmp_path / where)
    settings = read(DATABASE_URL="sqlite:///sub/x.db", DATA_DIR=str(tmp_path))
    assert settings.grant_path == tmp_path / "sub" / "x.db"
    assert settings.is_sqlite


def test_a_relative_data_directory_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the first process that reads it, so that workers get the absolute path."""
    monkeypatch.chdir(tmp_path)
    assert read(DATA_DIR="data").data_dir == tmp_path / "data"


def test_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit files and containers don't expand it."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert read(DATA_DIR="~/data").data_dir == Path("/home/someone/data")
    assert read(CATALOGUE="~/c.yaml").catalogue == Path("/home/someone/c.yaml")
    settings = read(DATABASE_URL="sqlite:///~/x.db")
    assert settings.grant_path == Path("/home/someone/x.db")
    with pytest.raises(Misconfigured, match="GATEPASS_DATA_DIR: unknown user in '~nobodyhere'"):
        read(DATA_DIR="~nobodyhere/data")


def test_derived_settings() -> None:
    """Https, the engine, the grant file."""
    assert read(PUBLIC_URL="https://a.example").is_https
    assert not read(PUBLIC_URL="http://a.example").is_https
    many = read(DATABASE_URL="postgresql://h/db")
    assert not many.is_sqlite
    assert many.grant_path == Path("/data/grants.db")


@pytest.mark.parametrize(
    ("environ", "fits"),
    [
        ({}, True),
        ({"HOST": "localhost"}, True),
        ({"HOST": "0.0.0.0"}, False),
        ({"HOST": "192.0.2.7"}, False),
        ({"PORT": "9000"}, False),
        ({"PORT": "9000", "PUBLIC_URL": "http://127.0.0.1:9000"}, True),
        ({"HOST": "0.0.0.0", "PUBLIC_URL": "https://gate.example.com"}, True),
    ],
)
def test_a_default_public_url_is_reachable_or_reported(environ: dict[str, str], fits: bool) -> None:
    """If it isn't, links in mail lead nowhere, and ``serve`` warns."""
    assert read(**environ).public_url_fits is fits


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.sampled_from([text for other, text, _ in GOOD if other == name])
            for name in {name for name, _, _ in GOOD}
        },
    )
)
def test_settings_round_trip_through_the_environment(environ: dict[str, str]) -> None:
    """Workers get them that way; no default replaces a value."""
    settings = read(**environ)
    assert Settings.read(settings.to_environ()) == settings


@given(st.sampled_from(sorted(BAD)), st.text(min_size=1))
def test_any_text_is_read_or_refused_with_the_settings_name(name: str, text: str) -> None:
    """Values that were read can be read back."""
    message = None
    try:
        settings = read(**{name: text})
        assert Settings.read(settings.to_environ()) == settings
    except Misconfigured as error:
        message = error.message
    if message is not None:
        assert message.startswith(f"GATEPASS_{name}: ") or name == "DATA_DIR"
        assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("public_url", "address"),
    [
        ("https://tokens.example.com", "gatepass@tokens.example.com"),
        ("http://127.0.0.1:8787", "gatepass@[127.0.0.1]"),
        ("http://[::1]:8787", "gatepass@[IPv6:::1]"),
    ],
)
def test_mail_comes_from_the_public_host_by_default(public_url: str, address: str) -> None:
    assert read(PUBLIC_URL=public_url).sender == ("Gatepass", address)
    told = read(PUBLIC_URL=public_url, MAIL_FROM="Keys <keys@example.com>")
    assert told.sender == ("Keys", "keys@example.com")


PROVIDER = {
    "OIDC_ISSUER": "https://login.example.com/realms/staff",
    "OIDC_CLIENT_ID": "gatepass",
    "OIDC_CLIENT_SECRET": SECRET,
    "OIDC_COMPANY": "Analytical Engines",
}


def test_a_sign_in_provider_is_read_and_handed_to_workers() -> None:
    mapping = {"OIDC_ROLE_CLAIM": "groups", "OIDC_ROLES": "cn=a=Admin , b=Customer Service"}
    settings = read(**PROVIDER, **mapping, OIDC_REQUIRED="on")
    assert settings.oidc_issuer == PROVIDER["OIDC_ISSUER"]
    assert settings.oidc_roles == (("cn=a", "Admin"), ("b", "Customer Service"))
    assert settings.oidc_required
    assert SECRET not in repr(settings)
    assert Settings.read(settings.to_environ()) == settings


def test_processes_that_decide_get_nothing_of_the_provider() -> None:
    environ = read(**PROVIDER, OIDC_REQUIRED="on").for_deciding().to_environ()
    assert [name for name in environ if "OIDC" in name] == []
    Settings.read(environ)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"OIDC_ISSUER": ""}, "OIDC_CLIENT_ID"),
        ({"OIDC_CLIENT_ID": ""}, "OIDC_ISSUER"),
        ({"OIDC_CLIENT_SECRET": ""}, "OIDC_ISSUER"),
        ({"OIDC_COMPANY": ""}, "OIDC_ISSUER"),
        ({"OIDC_COMPANY_CLAIM": "org"}, "OIDC_ISSUER"),
        ({"OIDC_ROLE_CLAIM": "groups"}, "OIDC_ROLE_CLAIM"),
        ({"OIDC_ROLES": "a=Admin"}, "OIDC_ROLES"),
        ({"OIDC_ROLE_CLAIM": "groups", "OIDC_ROLES": "Admin"}, "OIDC_ROLES"),
        ({"OIDC_ROLE_CLAIM": "groups", "OIDC_ROLES": "a="}, "OIDC_ROLES"),
        ({"OIDC_ROLE_CLAIM": "groups", "OIDC_ROLES": "a=Admin,,b=Admin"}, "OIDC_ROLES"),
        ({"OIDC_REQUIRED": "perhaps"}, "OIDC_REQUIRED"),
        ({"OIDC_CLIENT_SECRET": f"{SECRET} "}, "OIDC_CLIENT_SECRET"),
        ({"OIDC_ISSUER": "http://login.example.com"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "http://127.0.0.1.example.com"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://user@login.example.com"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://login.example.com?x"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "https://[::"}, "OIDC_ISSUER"),
        ({"OIDC_ISSUER": "login.example.com"}, "OIDC_ISSUER"),
    ],
)
def test_a_provider_in_part_stops_the_start(changes: dict[str, str], named: str) -> None:
    """A mistake would else show at the first sign-in, or lock everybody out."""
    with pytest.raises(Misconfigured) as refused:
        read(**(PROVIDER | changes))
    assert refused.value.message.startswith(f"GATEPASS_{named}: ")
    assert SECRET not in refused.value.message


def test_a_required_provider_that_is_missing_stops_the_start() -> None:
    with pytest.raises(Misconfigured, match="OIDC_REQUIRED: needs GATEPASS_OIDC_ISSUER"):
        read(OIDC_REQUIRED="on")


@pytest.mark.parametrize("issuer", ["http://localhost:4444/", "http://127.0.0.1", "http://[::1]:1"])
def test_a_provider_on_this_machine_needs_no_https(issuer: str) -> None:
    assert read(**(PROVIDER | {"OIDC_ISSUER": issuer})).oidc_issuer == issuer
