"""``/metrics``: for a trusted peer that speaks for itself."""

import re

import pytest

from installation import Installation


def test_the_figures_are_in_prometheus_text_format(any_installation: Installation) -> None:
    installation = any_installation
    token = installation.access_token("charges:get")
    for permission in ("charges:get", "charges:get", "refunds:get"):
        installation.verify(token, permission=permission)
    installation.node.usage.flush()
    installation.node.fold()
    answer = installation.client().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\\n]*"\})? -?[0-9.e+-]+')
    for line in answer.text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line), line
    assert 'gatepass_decisions_total{reason="permission_missing"} 1' in answer.text
    assert "\ngatepass_ready 1\n" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": ""},
        {"X-Forwarded-Host": "gatepass.example.com"},
        {"X-Forwarded-Proto": "https"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Original-Forwarded-For": "127.0.0.1"},
        {"X-Cluster-Client-IP": "127.0.0.1"},
        {"Client-IP": "127.0.0.1"},
        {"Fastly-Client-IP": "127.0.0.1"},
        {"CF-Connecting-IP": "127.0.0.1"},
        {"X-Envoy-External-Address": "127.0.0.1"},
    ],
)
def test_what_a_proxy_passed_on_finds_nothing(
    installation: Installation, headers: dict[str, str]
) -> None:
    answer = installation.client().get("/metrics", headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")


def test_nor_does_anyone_from_elsewhere(installation: Installation) -> None:
    assert installation.client(peer="198.51.100.7").get("/metrics").status_code == 404
    assert installation.client(peer="nonsense").get("/metrics").status_code == 404
    assert installation.client(peer="::ffff:127.0.0.1").get("/metrics").status_code == 200
