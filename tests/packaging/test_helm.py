"""The Helm chart, rendered by Helm and checked against the schemas of Kubernetes."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gatepass.environment import IN_FILES, PREFIX
from gatepass.settings import Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/gatepass"
PYTHON = Path(sys.prefix) / "helm/bin/python"

pytestmark = [pytest.mark.processes, pytest.mark.helm]

LEAST = {"publicUrl": "https://tokens.example.com"}
FULL = {
    **LEAST,
    "replicas": 3,
    "image": {"repository": "registry.internal/gatepass", "tag": "1.2.3"},
    "secrets": {"smtpUrl": "smtp-url", "oidcClientSecret": "oidc-client-secret"},
    "trustedProxies": ["10.20.0.0/16", "fd00::/8"],
    "catalogue": "permissions:\n  charges:get: {title: \"See one\", routes: ['GET /c/{id}']}\n",
    "settings": {"MAIL_FROM": "Gatepass <gatepass@example.com>", "LOG_LEVEL": "warning"},
    "env": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.internal:4318"},
    "grpc": True,
    "shutdownDelay": 15,
    "preStopSeconds": 5,
    "storage": {"size": "5Gi", "className": "fast"},
    "networkPolicy": {
        "main": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "grpc": [{"namespaceSelector": {"matchLabels": {"name": "envoy"}}}],
        "metrics": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
}
COMMAND = {**FULL, "command": ["init", "--company", "Analytical Engines"]}
ONE = {**LEAST, "replicas": 1, "networkPolicy": {"enabled": False}}
GOOD = {
    "least": LEAST,
    "full": FULL,
    "command": COMMAND,
    "another catalogue": {**COMMAND, "catalogue": "permissions: {}\n"},
    "one": ONE,
}
BAD: dict[str, dict[str, Any]] = {
    "no public URL": {},
    "a path": {"publicUrl": "https://tokens.example.com/path"},
    "an unknown value": {**LEAST, "replica": 3},
    "a secret in a variable": {**LEAST, "settings": {"SMTP_URL": "smtp://user:password@host"}},
    "a setting that the chart makes": {**LEAST, "settings": {"SHUTDOWN_DELAY": "1"}},
    "a port that the chart makes": {**LEAST, "settings": {"GRPC_PORT": "8790"}},
    "a setting among other variables": {**LEAST, "env": {"GATEPASS_SMTP_URL": "smtp://host"}},
    "a collector's secret in a variable": {
        **LEAST,
        "env": {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret"},
    },
    "no database": {**LEAST, "secrets": {"databaseUrl": ""}},
}


@pytest.fixture(scope="module")
def answer() -> Any:
    asked = json.dumps([*GOOD.values(), *BAD.values()])
    done = subprocess.run(
        [PYTHON, ROOT / "tests/tools/render_chart.py", CHART],
        input=asked,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def charts(answer: Any) -> dict[str, Any]:
    return dict(zip([*GOOD, *BAD], answer["rendered"], strict=True))


def manifest(charts: dict[str, Any], which: str, kind: str) -> Any:
    [found] = [each for each in charts[which]["manifests"] if each["kind"] == kind]
    return found


def kinds(charts: dict[str, Any], which: str) -> list[str]:
    return sorted(each["kind"] for each in charts[which]["manifests"])


def test_helm_lints_it(answer: Any) -> None:
    assert [one["error"] for one in answer["lint"]] == ["icon is recommended"]


@pytest.mark.parametrize("which", GOOD)
def test_kubernetes_accepts_what_it_renders(charts: dict[str, Any], which: str) -> None:
    assert charts[which].get("error") is None
    assert charts[which]["problems"] == []


@pytest.mark.parametrize("which", BAD)
def test_wrong_values_are_refused(charts: dict[str, Any], which: str) -> None:
    assert charts[which].get("error")


def test_each_part_is_there_when_it_is_asked_for(charts: dict[str, Any]) -> None:
    services = ["Service"] * 3
    least = ["NetworkPolicy", "PodDisruptionBudget", *services, "StatefulSet"]
    assert kinds(charts, "least") == least
    assert kinds(charts, "full") == sorted([*least, "ConfigMap", "ServiceMonitor"])
    assert kinds(charts, "one") == [*services, "StatefulSet"]
    assert kinds(charts, "command") == ["ConfigMap", "Pod"]


def pods(charts: dict[str, Any]) -> list[Any]:
    nodes = [
        manifest(charts, which, "StatefulSet")["spec"]["template"]["spec"]
        for which in ("least", "full", "one")
    ]
    return [*nodes, manifest(charts, "command", "Pod")["spec"]]


def test_every_pod_is_confined(charts: dict[str, Any]) -> None:
    for pod in pods(charts):
        assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        [container] = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        named = {volume["name"] for volume in pod["volumes"]} | {"data"}
        assert {mount["name"] for mount in container["volumeMounts"]} == named


def test_gatepass_reads_its_environment_and_no_secret_is_in_it(charts: dict[str, Any]) -> None:
    for pod in pods(charts):
        [container] = pod["containers"]
        environ = {each["name"]: each["value"] for each in container["env"]}
        assert len(environ) == len(container["env"])
        in_files = {name for name in environ if name.endswith("_FILE")}
        assert {name[len(PREFIX) : -len("_FILE")] for name in in_files} <= set(IN_FILES)
        paths = {
            f"/run/secrets/gatepass/{item['path']}" for item in pod["volumes"][0]["secret"]["items"]
        }
        assert {environ[name] for name in in_files} == paths
        plain = {name: value for name, value in environ.items() if name not in in_files}
        others = {name for name in plain if not name.startswith(PREFIX)}
        assert others <= {"OTEL_EXPORTER_OTLP_ENDPOINT"}
        settings = Settings.read({**plain, "GATEPASS_DATA_DIR": "/data"})
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        if ports:
            wanted = {
                "main": settings.port,
                "verify": settings.verify_port,
                "metrics": settings.metrics_port,
                "grpc": settings.grpc_port,
            }
            assert ports == {name: port for name, port in wanted.items() if port is not None}


def test_envoy_reaches_the_grpc_port_where_it_is_on(charts: dict[str, Any]) -> None:
    for which, on in (("least", False), ("full", True)):
        [verify] = [
            each["spec"]["ports"]
            for each in charts[which]["manifests"]
            if each["kind"] == "Service" and each["metadata"]["name"].endswith("-verify")
        ]
        assert [port["name"] for port in verify] == ["verify", *(["grpc"] if on else [])]
        node = manifest(charts, which, "StatefulSet")["spec"]["template"]["spec"]
        environ = [each["name"] for each in node["containers"][0]["env"]]
        assert ("GATEPASS_GRPC_PORT" in environ) is on
        assert ("OTEL_EXPORTER_OTLP_ENDPOINT" in environ) is on


def test_a_node_has_time_to_stop(charts: dict[str, Any]) -> None:
    """The hook, the delay, and the 20 s in which the supervisor waits for requests."""
    for which, before, delay in (("least", 0, 10), ("full", 5, 15)):
        pod = manifest(charts, which, "StatefulSet")["spec"]["template"]["spec"]
        [container] = pod["containers"]
        assert pod["terminationGracePeriodSeconds"] >= before + delay + 25
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command")
        assert hook == (["sleep", str(before)] if before else None)
        probe = container["readinessProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] < delay
        assert probe["httpGet"]["path"] == "/health/ready"
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"


def test_a_port_that_nobody_is_named_for_is_closed(charts: dict[str, Any]) -> None:
    assert manifest(charts, "least", "NetworkPolicy")["spec"]["ingress"] == []
    rules = manifest(charts, "full", "NetworkPolicy")["spec"]["ingress"]
    assert [rule["ports"][0]["port"] for rule in rules] == ["main", "grpc", "metrics"]
    assert all(rule["from"] for rule in rules)


def test_prometheus_finds_the_nodes_and_sends_the_token(charts: dict[str, Any]) -> None:
    monitor = manifest(charts, "full", "ServiceMonitor")["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [each for each in charts["full"]["manifests"] if each["kind"] == "Service"]
    [service] = [each for each in services if wanted <= each["metadata"]["labels"].items()]
    [endpoint] = monitor["endpoints"]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["authorization"]["credentials"] == {"name": "gatepass", "key": "metrics-token"}


def test_selectors_find_the_pods_and_not_the_command(charts: dict[str, Any]) -> None:
    nodes = manifest(charts, "full", "StatefulSet")["spec"]
    labels = nodes["template"]["metadata"]["labels"].items()
    other = manifest(charts, "command", "Pod")["metadata"]["labels"].items()
    selectors = [
        nodes["selector"]["matchLabels"],
        manifest(charts, "full", "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        manifest(charts, "full", "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(
            each["spec"]["selector"]
            for each in charts["full"]["manifests"]
            if each["kind"] == "Service"
        ),
    ]
    for selector in selectors:
        assert selector.items() <= labels
        assert not selector.items() <= other


def test_one_selector_cleans_up_after_a_command(charts: dict[str, Any]) -> None:
    """The page deletes by it. What is left all the same is never mounted with another catalogue."""
    page = (ROOT / "docs/how-to/run-on-kubernetes.md").read_text()
    created = charts["command"]["manifests"]
    deleting = set(re.findall(r" gatepass delete (pod\S*) -l (\S+)", page))
    assert len(deleting) == 1
    [(resources, selector)] = deleting
    wanted = dict(label.split("=") for label in selector.split(",")).items()
    assert {each["kind"].lower() for each in created} == set(resources.split(","))
    for each in created:
        assert (
            wanted
            <= {
                **each["metadata"]["labels"],
                "app.kubernetes.io/instance": "gatepass",
            }.items()
        )
    for each in charts["full"]["manifests"]:
        assert not wanted <= each["metadata"].get("labels", {}).items()
    names = set()
    for which in ("command", "another catalogue"):
        [mounted] = [
            volume["configMap"]["name"]
            for volume in manifest(charts, which, "Pod")["spec"]["volumes"]
            if volume["name"] == "catalogue"
        ]
        assert mounted == manifest(charts, which, "ConfigMap")["metadata"]["name"]
        names.add(mounted)
    assert len(names) == 2


def test_the_chart_is_of_this_version() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"', project, re.MULTILINE)
    assert version is not None
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == version[1]
