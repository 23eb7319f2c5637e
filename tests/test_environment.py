"""Environment variables: unknown ones are reported, Kubernetes's are ignored, secrets may be in
files.
"""

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
    """The variables that Kubernetes sets in every container for one Service."""
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
def test_variables_of_kubernetes_services_are_ignored(ports: list[tuple[str, int, str]]) -> None:
    """A Service with our name causes no error, no warning and no setting."""
    environ = {"GATEPASS_DATA_DIR": "/data"}
    plain = Settings.read(environ)
    for name in ("gatepass", "gatepass-verify", "gatepass-database", "gatepass-2"):
        environ |= dict(of_service(name, ports, "10.96.0.17"))
    assert len(environ) > 20
    assert Settings.read(environ) == plain
    assert warnings(**environ) == []


@pytest.mark.parametrize("scheme", ["tcp", "udp", "sctp"])
def test_a_services_address_in_a_port_variable_is_ignored(scheme: str) -> None:
    """In any variable that ends in PORT."""
    address = f"{scheme}://10.0.0.1:80"
    environ = {f"GATEPASS_{name}": address for name in ("PORT", "VERIFY_PORT", "X_Y_PORT")}
    settings = Settings.read(environ)
    assert settings.port == 8787
    assert settings.verify_port is None
    assert warnings(**environ) == []


@pytest.mark.parametrize("text", ["http://10.0.0.1:80", "tcp:10.0.0.1", "TCP://10.0.0.1:80", "tcp"])
def test_other_invalid_ports_stop_the_start(text: str) -> None:
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
        # Each differs from Kubernetes's by one character.
        ("GATEPASS_SERVICE_PORTS", None),
        ("GATEPASS_PORT_80_HTTP", None),
        ("GATEPASS_PORT_HTTP_TCP", None),
        ("GATEPASS_PORT_80_TCPX", None),
        ("GATEPASS_SERVICE_HOSTS", None),
        # Nothing similar: reported without a suggestion.
        ("GATEPASS_", None),
        ("GATEPASS_" + "Q" * 100_000, None),
        ("GATEPASS_\x1b[31m\n", None),
        ("GATEPASS_\udcff", None),
    ],
)
def test_an_unknown_variable_is_reported_with_the_nearest_setting(
    name: str, nearest: str | None
) -> None:
    """One line each, without the value, which may be a secret."""
    [line] = warnings(**{name: SECRET, "GATEPASS_PORT": "80", "PATH": "/bin"})
    assert SECRET not in line
    assert line.isprintable()
    assert line.isascii()
    assert len(line) < 250
    if nearest is not None:
        assert line == f"there is no setting {name}: the nearest is {nearest}"


def test_known_settings_and_unrelated_variables_are_not_reported() -> None:
    known = {f"GATEPASS_{name}": "x" for name in Settings.names()}
    files = {f"GATEPASS_{name}_FILE": "x" for name in ("DATABASE_URL", "SMTP_URL")}
    assert warnings(**known, **files, PORT="1", gatepass_prot="2", GATEPASS="3") == []


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_any_environment_is_reported_in_lines(environ: dict[str, str]) -> None:
    for line in warnings(**{"GATEPASS_" + name: text for name, text in environ.items()}):
        assert line.isprintable()


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(("name", "text"), [("DATABASE_URL", DATABASE), ("SMTP_URL", SMTP)])
def test_a_secret_may_be_in_a_file(tmp_path: Path, name: str, text: str, end: str) -> None:
    """As Docker and Kubernetes mount them; one final newline is removed."""
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
def test_an_unusable_file_stops_the_start(tmp_path: Path, name: str, what: str) -> None:
    """One line names the setting, without the file's content."""
    file = tmp_path / "secret"
    content = BAD_FILES[what]
    if content is not None:
        file.write_bytes(
            content.replace(DATABASE.encode(), SMTP.encode()) if name == "SMTP_URL" else content
        )
    assert SECRET not in refused({f"GATEPASS_{name}_FILE": str(file)}, f"GATEPASS_{name}_FILE: ")


@pytest.mark.parametrize("path", [DATABASE, "/", "/proc/self/mem", "a\0b", "/dev/null"])
def test_a_path_that_is_not_a_file_is_not_printed(path: str) -> None:
    """It may be the secret itself."""
    message = refused({"GATEPASS_DATABASE_URL_FILE": path}, "GATEPASS_DATABASE_URL_FILE: ")
    assert SECRET not in message
    assert path == "/" or path not in message


@pytest.mark.parametrize("name", ["DATABASE_URL", "SMTP_URL"])
def test_a_setting_and_its_file_together_stop_the_start(tmp_path: Path, name: str) -> None:
    """An empty one counts as unset."""
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
    """The variable is reported as unknown."""
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
