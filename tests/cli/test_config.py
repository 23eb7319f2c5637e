"""``gatepass config show``: what counts, and where it comes from."""

import json
from pathlib import Path

import pytest

from gatepass import config_file
from gatepass.cli.config import masked
from gatepass.settings import Settings
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
