"""Which variables are settings: misspelt ones are told, Kubernetes's are not, secrets may lie in
files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass import environment
from gatepass.core.errors import Misconfigured
from gatepass.settings import Settings

SECRET = "hunter2secret"
DATABASE = f"postgresql://u:{SECRET}@db.example/gatepass"
SMTP = f"smtp://u:{SECRET}@mail.example:587"
PORTS = [("http", 8787, "TCP"), ("dns", 53, "UDP"), ("ss7", 2905, "SCTP")]


def warnings(**environ: str) -> list[str]:
    return list(environment.warnings(environ, Settings.names()))


def of_service(name: str, ports: list[tuple[str, int, str]], ip: str) -> Iterator[tuple[str, str]]:
    """What Kubernetes puts into every container of the namespace for one Service."""
    upper = name.upper().replace("-", "_")
    yield f"{upper}_SERVICE_HOST", ip
    yield f"{upper}_SERVICE_PORT", str(ports[0][1])
    for port_name, port, protocol in ports:
        address = f"{protocol.lower()}://{ip}:{port}"
        if port_name:
            suffix = port_name.upper().replace("-", "_")
            yield f"{upper}_SERVICE_PORT_{suffix}", str(port)
        if port == ports[0][1]:
            yield f"{upper}_PORT", address
        one = f"{upper}_PORT_{port}_{protocol}"
        yield one, address
        yield f"{one}_PROTO", protocol.lower()
        yield f"{one}_PORT", str(port)
        yield f"{one}_ADDR", ip


@pytest.mark.parametrize(
    "ports", [[("", 8787, "TCP")], PORTS, [("dns-tcp", 53, "UDP"), ("dns-udp", 53, "SCTP")]]
)
def test_the_services_of_a_cluster_are_no_settings(ports: list[tuple[str, int, str]]) -> None:
    """A Service named like us neither stops the start nor is warned of, nor sets anything."""
    environ = {"GATEPASS_DATA_DIR": "/data"}
    plain = Settings.read(environ)
    for name in ("gatepass", "gatepass-verify", "gatepass-database", "gatepass-2"):
        environ |= dict(of_service(name, ports, "10.96.0.17"))
    assert len(environ) > 20
    assert Settings.read(environ) == plain
    assert warnings(**environ) == []


@pytest.mark.parametrize("scheme", ["tcp", "udp", "sctp"])
def test_an_address_of_a_service_is_no_port(scheme: str) -> None:
    """Any …PORT, the ones that nobody knows yet among them."""
    address = f"{scheme}://10.0.0.1:80"
    environ = {f"GATEPASS_{name}": address for name in ("PORT", "VERIFY_PORT", "X_Y_PORT")}
    settings = Settings.read(environ)
    assert settings.port == 8787
    assert settings.verify_port is None
    assert warnings(**environ) == []


@pytest.mark.parametrize("text", ["http://10.0.0.1:80", "tcp:10.0.0.1", "TCP://10.0.0.1:80", "tcp"])
def test_anything_else_that_is_no_port_stops_the_start(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"^GATEPASS_PORT: "):
        Settings.read({"GATEPASS_PORT": text})


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("GATEPASS_DATABSE_URL", "GATEPASS_DATABASE_URL"),
        ("GATEPASS_DATABASE_URl", "GATEPASS_DATABASE_URL"),
        ("GATEPASS_DATABASE_FILE", "GATEPASS_DATABASE_URL_FILE"),
        ("GATEPASS_PUBLICURL", "GATEPASS_PUBLIC_URL"),
        ("GATEPASS_VERIFYPORT", "GATEPASS_VERIFY_PORT"),
        ("GATEPASS_TRUSTED_PROXY", "GATEPASS_TRUSTED_PROXIES"),
        ("GATEPASS_SMTPURL", "GATEPASS_SMTP_URL"),
        ("GATEPASS_WORKER", "GATEPASS_WORKERS"),
        ("GATEPASS_CATALOG", "GATEPASS_CATALOGUE"),
        ("GATEPASS_port", "GATEPASS_PORT"),
        # Not Kubernetes's, by one character each.
        ("GATEPASS_SERVICE_PORTS", None),
        ("GATEPASS_PORT_80_HTTP", None),
        ("GATEPASS_PORT_HTTP_TCP", None),
        ("GATEPASS_PORT_80_TCPX", None),
        ("GATEPASS_SERVICE_HOSTS", None),
        # Nothing near: still told, and never an error.
        ("GATEPASS_", None),
        ("GATEPASS_" + "Q" * 100_000, None),
        ("GATEPASS_\x1b[31m\n", None),
        ("GATEPASS_\udcff", None),
    ],
)
def test_a_variable_that_is_no_setting_is_told_with_the_nearest(
    name: str, nearest: str | None
) -> None:
    """One line each, by name alone: its value may be a secret."""
    [line] = warnings(**{name: SECRET, "GATEPASS_PORT": "80", "PATH": "/bin"})
    assert SECRET not in line
    assert line.isprintable()
    assert line.isascii()
    assert len(line) < 250
    if nearest is not None:
        assert line == f"there is no setting {name}: the nearest is {nearest}"


def test_what_is_set_and_what_is_not_ours_is_not_told() -> None:
    known = {f"GATEPASS_{name}": "x" for name in Settings.names()}
    files = {f"GATEPASS_{name}_FILE": "x" for name in ("DATABASE_URL", "SMTP_URL")}
    assert warnings(**known, **files, PORT="1", gatepass_prot="2", GATEPASS="3") == []


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_whatever_stands_in_the_environment_is_a_line_or_nothing(environ: dict[str, str]) -> None:
    for line in warnings(**{"GATEPASS_" + name: text for name, text in environ.items()}):
        assert line.isprintable()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(("name", "text"), [("DATABASE_URL", DATABASE), ("SMTP_URL", SMTP)])
def test_a_secret_may_lie_in_a_file(tmp_path: Path, name: str, text: str, end: str) -> None:
    """As Docker and Kubernetes mount them. One newline at its end is no part of it."""
    file = tmp_path / "secret"
    file.write_bytes((text + end).encode())
    by_file = Settings.read({f"GATEPASS_{name}_FILE": str(file), "GATEPASS_DATA_DIR": "/data"})
    assert by_file == Settings.read({f"GATEPASS_{name}": text, "GATEPASS_DATA_DIR": "/data"})
    assert Settings.read(by_file.to_environ()) == by_file


BAD_FILES = {
    "missing": None,
    "empty": b"",
    "a newline alone": b"\n",
    "two newlines": f"{DATABASE}\n\n".encode(),
    "a space at the end": f"{DATABASE} \n".encode(),
    "no text": DATABASE.encode() + b"\xff",
    "UTF-16": DATABASE.encode("utf-16"),
    "NUL": DATABASE.encode() + b"\0",
    "a byte order mark": b"\xef\xbb\xbf" + DATABASE.encode(),
    "in quotes": f'"{DATABASE}"\n'.encode(),
    "too large": DATABASE.encode() + b"x" * 65_536,
    "no URL": SECRET.encode(),
}


@pytest.mark.parametrize("name", ["DATABASE_URL", "SMTP_URL"])
@pytest.mark.parametrize("what", BAD_FILES)
def test_a_file_that_cant_be_used_stops_the_start(tmp_path: Path, name: str, what: str) -> None:
    """With one line that names the setting, and nothing of what is in the file."""
    file = tmp_path / "secret"
    content = BAD_FILES[what]
    if content is not None:
        file.write_bytes(
            content.replace(DATABASE.encode(), SMTP.encode()) if name == "SMTP_URL" else content
        )
    assert SECRET not in refused({f"GATEPASS_{name}_FILE": str(file)}, f"GATEPASS_{name}_FILE: ")


@pytest.mark.parametrize("path", [DATABASE, "/", "/proc/self/mem", "a\0b", "/dev/null"])
def test_what_is_no_file_is_not_repeated(path: str) -> None:
    """Somebody puts the secret itself where the file's name belongs."""
    message = refused({"GATEPASS_DATABASE_URL_FILE": path}, "GATEPASS_DATABASE_URL_FILE: ")
    assert SECRET not in message
    assert path == "/" or path not in message


@pytest.mark.parametrize("name", ["DATABASE_URL", "SMTP_URL"])
def test_a_setting_and_its_file_together_stop_the_start(tmp_path: Path, name: str) -> None:
    """Nobody can tell which is meant. One that is empty isn't set."""
    file = tmp_path / "secret"
    text = {"DATABASE_URL": DATABASE, "SMTP_URL": SMTP}[name]
    file.write_text(text)
    both = {f"GATEPASS_{name}": text, f"GATEPASS_{name}_FILE": str(file)}
    message = refused(both, f"GATEPASS_{name}: ")
    assert f"GATEPASS_{name}_FILE" in message
    for left_out in both:
        assert Settings.read(both | {left_out: ""}) == Settings.read(
            {name: text for name, text in both.items() if name != left_out}
        )


def test_other_settings_have_no_file(tmp_path: Path) -> None:
    """The variable is told as one that is no setting."""
    assert warnings(GATEPASS_PORT_FILE="/x") == [
        "there is no setting GATEPASS_PORT_FILE: the nearest is GATEPASS_PORT"
    ]


def refused(environ: dict[str, str], beginning: str) -> str:
    with pytest.raises(Misconfigured) as refusal:
        Settings.read(environ)
    message = refusal.value.message
    assert message.startswith(beginning)
    assert message.isprintable()
    return message
