"""``gatepass.toml``: its settings count where the environment has none."""

from pathlib import Path

import pytest

from gatepass import config_file
from gatepass.core.errors import Misconfigured
from gatepass.settings import Settings

SECRET = "hunter2secret"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default one, which isn't there yet."""
    path = tmp_path / "gatepass.toml"
    monkeypatch.setattr(config_file, "DEFAULT_PATH", path)
    monkeypatch.setenv("GATEPASS_DATA_DIR", "/data")
    return path


def test_values_are_those_of_variables(file: Path) -> None:
    assert Settings.read() == Settings.read({"GATEPASS_DATA_DIR": "/data"})
    file.write_text(
        'public_url = "https://gate.example.com"\n'
        "port = 9000\n"
        'trusted_proxies = ["10.0.0.0/8", "unix:"]\n'
        'oidc_issuer = "https://login.example.com"\noidc_client_id = "a"\n'
        'oidc_client_secret = "b"\noidc_company = "Acme"\noidc_required = true\n'
        'mail_from = ""\n'
    )
    environ = {
        "GATEPASS_DATA_DIR": "/data",
        "GATEPASS_PUBLIC_URL": "https://gate.example.com",
        "GATEPASS_PORT": "9000",
        "GATEPASS_TRUSTED_PROXIES": "10.0.0.0/8,unix:",
        "GATEPASS_OIDC_ISSUER": "https://login.example.com",
        "GATEPASS_OIDC_CLIENT_ID": "a",
        "GATEPASS_OIDC_CLIENT_SECRET": "b",
        "GATEPASS_OIDC_COMPANY": "Acme",
        "GATEPASS_OIDC_REQUIRED": "on",
    }
    assert Settings.read() == Settings.read(environ)
    # A mapping that is given is all there is: workers get theirs from the supervisor.
    assert Settings.read({"GATEPASS_DATA_DIR": "/data"}).port == 8787


def test_the_environment_wins(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_file = tmp_path / "smtp"
    in_file.write_text("smtp://relay\n")
    file.write_text(f'port = 9000\nsmtp_url_file = "{in_file}"\nworkers = 3')
    assert Settings.read().smtp_url == "smtp://relay"
    monkeypatch.setenv("GATEPASS_PORT", "9001")
    monkeypatch.setenv("GATEPASS_SMTP_URL", "smtp://other")
    monkeypatch.setenv("GATEPASS_WORKERS", "")
    settings = Settings.read()
    assert (settings.port, settings.smtp_url, settings.workers) == (9001, "smtp://other", 3)
    monkeypatch.setenv("GATEPASS_PORT", "tcp://10.96.0.17:8787")
    assert Settings.read().port == 9000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("port = ", "Invalid value"),
        ("prot = 1", "there is no setting 'prot': the nearest is port"),
        ("PORT = 1", "there is no setting 'PORT': the nearest is port"),
        ('port_file = "x"', "there is no setting 'port_file'"),
        ("port = 1.5", "port must be a text, a number"),
        ("[port]\na = 1", "port must be a text, a number"),
        ("trusted_proxies = [1]", "trusted_proxies must be a text"),
        ('oidc_roles = ["cn=a,dc=x=Admin"]', "a list of texts without commas"),
        (f"port = {'1' * 5_000}", "a number or a list is too long"),
        (f"port = {'[' * 5_000}", "a number or a list is too long"),
        (f'smtp_url = ["{SECRET}", 1]', "smtp_url must be a text"),
        (f'smtp_url = "{SECRET}', "(at "),
        ("port = 99999", "GATEPASS_PORT: a port must be"),
    ],
)
def test_what_is_wrong_is_one_line_without_a_value(file: Path, content: str, said: str) -> None:
    file.write_text(content)
    with pytest.raises(Misconfigured) as refused:
        Settings.read()
    assert said in refused.value.message
    assert len(refused.value.message.splitlines()) == 1
    assert SECRET not in refused.value.message
    if "GATEPASS_" not in said:
        assert refused.value.message.startswith(f"{file}: ")


def test_a_file_that_is_named_must_be_there(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.toml"
    monkeypatch.setenv("GATEPASS_CONFIG", str(other))
    with pytest.raises(Misconfigured, match=r"other\.toml: can't be read: No such file"):
        Settings.read()
    other.write_text("port = 9002")
    assert Settings.read().port == 9002
    other.write_bytes(b"\xff")
    with pytest.raises(Misconfigured, match="must be UTF-8"):
        Settings.read()
