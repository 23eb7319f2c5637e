"""docs/how-to/monitor.md: Prometheus asks where the settings make Gatepass listen."""

import re
import tomllib
from pathlib import Path

import yaml

PAGE = (Path(__file__).parents[2] / "docs/how-to/monitor.md").read_text()


def block(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_prometheus_scrapes_the_address_and_port_that_are_set() -> None:
    settings = tomllib.loads(block("toml"))
    [job] = yaml.safe_load(block("yaml"))["scrape_configs"]
    here = f"{settings.get('host', '127.0.0.1')}:{settings['metrics_port']}"
    assert here in job["static_configs"][0]["targets"]
