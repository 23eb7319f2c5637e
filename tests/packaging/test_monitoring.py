"""Alert rules and the dashboard of ``deploy/``: read by promtool, and about metrics that exist."""

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.apps.metric_families import FAMILIES, OF_A_COPY, SUFFIXES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/prometheus/gatepass.rules.yaml"
TESTS = ROOT / "deploy/prometheus/gatepass.rules.test.yaml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/gatepass.json").read_text())
ALERTS = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]

pytestmark = pytest.mark.processes

#: The names of all series, as test_metrics finds them in answers.
SERIES = {
    name + suffix
    for name, (type_, _) in (FAMILIES | OF_A_COPY).items()
    for suffix in SUFFIXES[type_]
}


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def named(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(r"\b(?:gatepass|process)_[a-z0-9_]+", expression))


def test_the_rules_fire_when_they_should_and_not_otherwise() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", RULES)
    promtool("test", "rules", TESTS)


def test_each_alert_is_tested_both_ways_and_documented() -> None:
    names = [alert["alert"] for alert in ALERTS]
    quiet, fired = set(), set()
    for each in yaml.safe_load(TESTS.read_text())["tests"]:
        for case in each["alert_rule_test"]:
            (fired if "exp_alerts" in case else quiet).add(case["alertname"])
    assert quiet == fired == set(names)
    page = (ROOT / "docs/how-to/monitor.md").read_text()
    assert [name for name in names if f"| `{name}` |" not in page] == []
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"critical", "warning", "info"}
        assert alert["annotations"]["summary"]


@pytest.mark.parametrize("expression", [*(alert["expr"] for alert in ALERTS), *QUERIES])
def test_every_metric_that_is_asked_for_exists(expression: str) -> None:
    assert named(expression)
    assert named(expression) <= SERIES


def test_the_dashboards_queries_can_be_parsed(tmp_path: Path) -> None:
    plain = [
        re.sub(r'"\$\w+"', '".*"', query).replace("$__rate_interval", "5m") for query in QUERIES
    ]
    rules = [{"record": f"panel_{at}", "expr": query} for at, query in enumerate(plain)]
    file = tmp_path / "dashboard.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in promtool("check", "rules", file)


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """It names no data source of ours, and no two panels are at one place."""
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(PANELS)))
    assert used == variables == {"datasource", "job", "instance"}
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)
    assert all(
        panel["description"] and panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS
    )
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not _overlap(one["gridPos"], other["gridPos"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(
        one[at] < other[at] + other[size] and other[at] < one[at] + one[size]
        for at, size in (("x", "w"), ("y", "h"))
    )
