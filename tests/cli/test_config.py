"""``gatepass config``: what counts, where it comes from, and whether it can be used."""

import importlib.util
import json
from pathlib import Path

import pytest

from gatepass import config_file
from gatepass.cli.config import masked
from gatepass.settings import Settings
from gatepass.web.gateway import envoy_grpc
from tests.cli.conftest import Gatepass

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            f"postgresql://u:{SECRET}@h/db?sslmode=require",
            "postgresql://u:***@h/db?sslmode=require",
        ),
        (f"postgresql://u:a@b{SECRET}@h/db", "postgresql://u:***@h/db"),
        (f"postgresql:///db?user=u&password={SECRET}", "postgresql:///db?user=u&password=***"),
        (f"postgresql:///db?sslpassword={SECRET}&a=b", "postgresql:///db?sslpassword=***&a=b"),
        ("sqlite:////data/gatepass.db", "sqlite:////data/gatepass.db"),
        (f"smtp://u:{SECRET}@h:25", "smtp://u:***@h:25"),
        (
            f"postgresql:///db?oauth_client_secret={SECRET}",
            "postgresql:///db?oauth_client_secret=***",
        ),
        (f"postgresql:///db?a=b&pass%77ord={SECRET}", "postgresql:///db?a=b&pass%77ord=***"),
    ],
)
def test_a_secret_is_masked(value: str, shown: str) -> None:
    assert masked(value) == shown


def test_each_setting_is_shown_with_its_source(
    gatepass: Gatepass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gatepass.toml"
    monkeypatch.setattr(config_file, "DEFAULT_PATH", file)
    file.write_text(f'port = 9000\nmetrics_token = "x://{SECRET}{SECRET}"')
    monkeypatch.setenv("GATEPASS_WORKERS", "2")
    answer = gatepass("config", "show", "--json")
    assert SECRET not in answer.out
    listed = json.loads(answer.out)["settings"]
    shown = {one["name"]: (one["value"], one["source"]) for one in listed}
    assert set(shown) == set(Settings.names())
    assert shown["PORT"] == ("9000", str(file))
    assert shown["METRICS_TOKEN"] == ("***", str(file))
    assert shown["WORKERS"] == ("2", "GATEPASS_WORKERS")
    assert shown["HOST"] == ("127.0.0.1", "default")
    assert shown["SMTP_URL"] == (None, "default")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('log_level = "loud"', "log_level: must be debug, info, warning or error, not 'loud'"),
        (
            f'metrics_token = "{SECRET}"',
            "metrics_token: must have at least 16 visible ASCII characters, and no space",
        ),
        (
            f'metrics_token = "{SECRET}{SECRET}"\nmetrics_token_file = "/run/token"',
            "metrics_token: must not be set together with metrics_token_file",
        ),
        ('catalogue = "nowhere"', "catalogue: nowhere can't be read: No such file or directory"),
        ("verify_port = 8787", "verify_port: must differ from GATEPASS_PORT"),
        (
            "verify_workers = 2",
            "verify_workers has no effect without "
            "GATEPASS_VERIFY_PORT or GATEPASS_VERIFY_SOCKET or GATEPASS_GRPC_PORT",
        ),
        ('oidc_issuer = "https://a"', "oidc_issuer: needs GATEPASS_OIDC_CLIENT_ID"),
    ],
)
def test_an_error_names_the_file_and_its_key(
    gatepass: Gatepass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    file = tmp_path / "gatepass.toml"
    monkeypatch.setattr(config_file, "DEFAULT_PATH", file)
    file.write_text(content)
    answer = gatepass("config", "check")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == f"gatepass: {file}: {said}\n"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "GATEPASS_GRPC_PORT",
            "9001",
            "needs the extra grpc: in a checkout, pip install '.[server,grpc]'",
        ),
        (
            "GATEPASS_VERIFY_SOCKET",
            "/nowhere/verify.sock",
            "can't listen at /nowhere/verify.sock: there is no such directory",
        ),
        (
            "GATEPASS_SECRET_SCANNING_KEYS",
            "/nowhere/keys.json",
            "/nowhere/keys.json can't be read: No such file or directory",
        ),
        ("OTEL_TRACES_EXPORTER", "jaeger", "must be otlp, console, none"),
    ],
)
def test_what_would_stop_the_start_is_found(
    gatepass: Gatepass, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(envoy_grpc, "find_spec", lambda one: None if one == "grpc" else find(one))
    monkeypatch.setenv(name, value)
    answer = gatepass("config", "check")
    assert (answer.code, answer.out, answer.err) == (1, "", f"gatepass: {name}: {said}\n")


def test_a_socket_may_lie_in_the_data_directory(
    gatepass: Gatepass, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``gatepass init`` makes it."""
    monkeypatch.setenv("GATEPASS_VERIFY_SOCKET", "verify.sock")
    assert gatepass("config", "check").code == 0


def test_an_error_names_the_variable_that_wins(
    gatepass: Gatepass, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "gatepass.toml"
    monkeypatch.setattr(config_file, "DEFAULT_PATH", file)
    file.write_text('log_level = "info"')
    monkeypatch.setenv("GATEPASS_LOG_LEVEL", "loud")
    answer = gatepass("config", "check")
    assert answer.err.startswith("gatepass: GATEPASS_LOG_LEVEL: must be debug")
    # A file that can't be read names itself.
    file.write_text("log_level = ")
    answer = gatepass("config", "check")
    assert answer.err.startswith(f"gatepass: {file}: Invalid value")
