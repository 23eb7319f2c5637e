"""``/metrics``: for a trusted peer that speaks for itself."""

import re

import msgspec
import pytest

from deciders import acknowledge, complete, register, rows
from installation import Installation
from small_registry import HOUR


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
    label = r'[a-z]+="(?:[^"\\\n]|\\["\\])*"'
    sample = re.compile(rf"[a-z_]+(\{{{label}(?:,{label})*\}})? -?[0-9.e+-]+")
    for line in answer.text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line), line
    assert 'gatepass_decisions_total{reason="permission_missing"} 1' in answer.text
    assert "\ngatepass_ready 1\n" in answer.text


def test_a_spool_that_cant_be_folded_keeps_no_other_from_it(any_installation: Installation) -> None:
    node = any_installation.node
    directory = node.file.use_directory
    directory.mkdir(exist_ok=True)
    # A moment that no column holds.
    unheard_of = {"tokens": {"gpat_0000000000000000": (1, 2**63, None, "")}, "decisions": {}}
    good = {"tokens": {}, "decisions": {"token_expired": 7}}
    for name, batch in (("0-bad", unheard_of), ("1-good", good)):
        line = msgspec.json.encode(batch) + b"\n"
        (directory / f"{name}.spool").write_bytes(line)
    node.fold()
    metrics = any_installation.client().get("/metrics").text
    assert 'gatepass_decisions_total{reason="token_expired"} 7' in metrics
    assert [path.stem for path in directory.glob("?-*.spool")] == ["0-bad"]


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


def test_nodes_and_embedded_verifiers_each_have_their_figures(
    installation: Installation,
) -> None:
    node = installation.node
    now = node.clock.now()
    register(node.database, now - 2 * HOUR, "node_gone")
    register(node.database, now - 15_000, "node_stale", name='a "quoted" \\\n{name}')
    register(node.database, now - 2_000, "node_good")
    acknowledge(node.database, now, "node_good")
    revision = rows(node.database, "revision")[0]["number"]
    text = installation.client().get("/metrics").text
    assert f"\ngatepass_revision {revision}\n" in text
    good = 'id="node_good",kind="embedded",name="node_good.internal"'
    assert f"gatepass_node_revision{{{good}}} {revision}\n" in text
    assert f"gatepass_node_vouched_seconds{{{good}}} 0" in text
    assert 'name="a \\"quoted\\" \\\\?{name}"} 15.' in text
    assert "node_gone" not in text, "whoever ever followed would be named for good"
    for state, number in (("current", 1), ("behind", 0), ("stale", 1), ("gone", 0)):
        assert f'gatepass_nodes{{state="{state}"}} {number}\n' in text


def test_open_receipts_are_counted(installation: Installation) -> None:
    node = installation.node
    register(node.database, node.clock.now(), "node_a")
    token = installation.access_token("charges:get")[:21]
    installation.signed_in().post(f"/v1/access-tokens/{token}/deactivate")
    assert "\ngatepass_receipts_open 1\n" in installation.client().get("/metrics").text
    acknowledge(node.database, node.clock.now(), "node_a")
    complete(node.database, node.clock.now())
    assert "\ngatepass_receipts_open 0\n" in installation.client().get("/metrics").text
