"""``/metrics``: for trusted peers, and never through a proxy."""

import msgspec
import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.parser import text_string_to_metric_families

from gatepass.core.errors import Unavailable
from gatepass.registry.membership import outbox
from gatepass.registry.webhooks import queue
from gatepass.registry.webhooks.queue import Outcome
from gatepass.web.gateway.durations import EVERY
from gatepass.web.openapi import VERSION
from tests.support.apps.installation import Installation, Open
from tests.support.apps.metric_families import FAMILIES, OF_A_COPY, SUFFIXES
from tests.support.apps.problems import reasons
from tests.support.database.small_registry import HOUR
from tests.support.grants.fake_verifiers import acknowledge, complete, register, rows


def scrape(installation: Installation) -> dict[str, Metric]:
    """The metric families by name, as Prometheus's own parser reads them."""
    answer = installation.client().get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(answer.text))
    found = {family.name: family for family in families}
    assert len(found) == len(families), "a family is there twice"
    return found


def value(installation: Installation, metric: str, **labels: str) -> float:
    """The value of the only sample with that name and those labels."""
    [found] = [
        sample.value
        for family in scrape(installation).values()
        for sample in family.samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    ]
    return found


def test_families_have_their_types_and_labels(any_installation: Installation) -> None:
    token = any_installation.access_token("charges:get")
    for permission in ("charges:get", "charges:get", "refunds:get"):
        any_installation.verify(token, permission=permission)
    for _ in range(EVERY):
        any_installation.client().get("/authz/nginx")
    any_installation.node.usage.flush()
    any_installation.node.fold()
    register(any_installation.node.database, any_installation.node.clock.now(), "node_a")
    found = scrape(any_installation)
    assert {
        name: (family.type, {label for sample in family.samples for label in sample.labels})
        for name, family in found.items()
    } == FAMILIES | (OF_A_COPY if any_installation.node.verifier.copy else {})
    assert all(family.documentation for family in found.values())
    for family in found.values():
        expected = {family.name + suffix for suffix in SUFFIXES[family.type]}
        assert {sample.name for sample in family.samples} == expected
    assert value(any_installation, "gatepass_decisions_total", reason="permission_missing") == 1
    assert value(any_installation, "gatepass_node_decisions_total", reason="token_missing") == EVERY
    assert value(any_installation, "gatepass_ready") == 1
    assert value(any_installation, "gatepass_build_info", version=VERSION) == 1


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "text/plain;version=nonsense",
        "application/json",
    ],
)
def test_the_text_format_is_the_same_for_every_scraper(
    installation: Installation, accept: str
) -> None:
    answer = installation.client().get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE gatepass_history_shortened_total counter\n" in answer.text


def test_no_metric_lives_in_the_global_registry(installation: Installation) -> None:
    """Several nodes may live in one process."""
    scrape(installation)
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("gatepass_")]


def test_an_unreadable_spool_blocks_no_other(any_installation: Installation) -> None:
    node = any_installation.node
    directory = node.file.use_directory
    directory.mkdir(exist_ok=True)
    # A time beyond the column's range.
    out_of_range = {"tokens": {"gpat_0000000000000000": (1, 2**63, None, "")}, "decisions": {}}
    good = {"tokens": {}, "decisions": {"token_expired": 7}}
    for name, batch in (("0-bad", out_of_range), ("1-good", good)):
        line = msgspec.json.encode(batch) + b"\n"
        (directory / f"{name}.spool").write_bytes(line)
    node.fold()
    assert value(any_installation, "gatepass_decisions_total", reason="token_expired") == 7
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
def test_a_forwarded_request_is_404(installation: Installation, headers: dict[str, str]) -> None:
    assert reasons(installation.client().get("/metrics", headers=headers)) == (404, "not_found")


def test_a_request_from_an_untrusted_peer_is_404(installation: Installation) -> None:
    assert installation.client(peer="198.51.100.7").get("/metrics").status_code == 404
    assert installation.client(peer="nonsense").get("/metrics").status_code == 404
    assert installation.client(peer="::ffff:127.0.0.1").get("/metrics").status_code == 200


def test_each_node_and_embedded_verifier_has_its_gauges(
    installation: Installation,
) -> None:
    node = installation.node
    now = node.clock.now()
    register(node.database, now - 2 * HOUR, "node_gone")
    register(node.database, now - 15_000, "node_stale", name='a "quoted" \\\n{name}')
    register(node.database, now - 2_000, "node_good")
    acknowledge(node.database, now, "node_good")
    revision = rows(node.database, "revision")[0]["number"]
    assert value(installation, "gatepass_revision") == revision
    good = {"id": "node_good", "kind": "embedded", "name": "node_good.internal"}
    assert value(installation, "gatepass_node_revision", **good) == revision
    assert 0 <= value(installation, "gatepass_node_vouched_seconds", **good) < 15
    # The control character is replaced; quotes, backslashes and braces survive.
    odd = value(installation, "gatepass_node_vouched_seconds", name='a "quoted" \\?{name}')
    assert odd >= 15
    known = {
        sample.labels["id"] for sample in scrape(installation)["gatepass_node_revision"].samples
    }
    assert "node_gone" not in known, "a verifier that is gone would be named for good"
    for state, number in (("current", 1), ("behind", 0), ("stale", 1), ("gone", 0)):
        assert value(installation, "gatepass_nodes", state=state) == number


def test_open_receipts_are_counted(installation: Installation) -> None:
    node = installation.node
    register(node.database, node.clock.now(), "node_a")
    token = installation.access_token("charges:get")[:21]
    installation.signed_in().post(f"/v1/access-tokens/{token}/deactivate")
    assert value(installation, "gatepass_receipts_open") == 1
    acknowledge(node.database, node.clock.now(), "node_a")
    complete(node.database, node.clock.now())
    assert value(installation, "gatepass_receipts_open") == 0


def test_events_that_wait_for_webhooks_are_counted(installation: Installation) -> None:
    ada = installation.signed_in()
    hook = {"url": "https://hooks.example.com/", "events": ["access_token.*"]}
    webhook = ada.post("/v1/webhooks", json=hook).json()["id"]
    ada.post(f"/v1/webhooks/{webhook}/test")
    installation.access_token("charges:get")
    assert value(installation, "gatepass_webhook_deliveries_waiting") == 2
    assert value(installation, "gatepass_webhook_deliveries_failing") == 0
    assert value(installation, "gatepass_webhooks_paused") == 0
    with installation.write() as change:
        (delivery, _) = queue.claim(change, queue.due(change, webhook, 2))
        queue.settle(change, delivery, Outcome(410, None, 1))
    assert value(installation, "gatepass_webhook_deliveries_failing") == 1
    assert value(installation, "gatepass_webhooks_paused") == 1
    ada.delete(f"/v1/webhooks/{webhook}")
    assert value(installation, "gatepass_webhook_deliveries_waiting") == 0


TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("headers", "peer", "status"),
    [
        ([("Authorization", f"Bearer {TOKEN}")], "203.0.113.9", 200),
        ([("Authorization", f"bearer {TOKEN}"), ("X-Forwarded-For", "1.2.3.4")], "127.0.0.1", 200),
        ([], "203.0.113.9", 404),
        ([], "127.0.0.1", 200),
        ([("Authorization", "Bearer 0123456789abcdeF")], "127.0.0.1", 404),
        ([("Authorization", f"Basic {TOKEN}")], "127.0.0.1", 404),
        ([("Authorization", f"Bearer {TOKEN}")] * 2, "127.0.0.1", 404),
        ([("Authorization", "")], "127.0.0.1", 404),
    ],
)
def test_a_scraper_with_the_token_may_read_from_anywhere(
    open_installation: Open,
    sqlite_url: str,
    headers: list[tuple[str, str]],
    peer: str,
    status: int,
) -> None:
    installation = open_installation(sqlite_url, metrics_token=TOKEN)
    answer = installation.client(peer=peer).get("/metrics", headers=headers)
    assert answer.status_code == status


def test_without_the_setting_no_bearer_reads_them(installation: Installation) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert installation.client().get("/metrics", headers=headers).status_code == 404


# --- this node ------------------------------------------------------------------------------------


def requests(installation: Installation) -> dict[tuple[str, str, str], float]:
    """How many requests there were, by method, route and class of status."""
    family = scrape(installation)["gatepass_http_request_duration_seconds"]
    return {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in family.samples
        if sample.name.endswith("_count")
    }


def test_requests_are_timed_by_the_template_of_their_route(installation: Installation) -> None:
    token = installation.access_token("charges:get")
    client = installation.signed_in()
    for path in (token[:21], "gpat_0000000000000000", "gpat_0000000000000001"):
        client.get(f"/v1/access-tokens/{path}")
    stranger = installation.client()
    stranger.head("/sign-in?next=/typed")
    stranger.request("PROPFIND", "/sign-in")
    stranger.get("/nowhere/at/all")
    found = requests(installation)
    one = "/v1/access-tokens/{id}"
    assert found["GET", one, "2xx"] == 1
    assert found["GET", one, "4xx"] == 2
    assert found["GET", "/sign-in", "2xx"] == 1
    assert found["other", "other", "4xx"] == 2
    assert found["POST", "/v1/authentications", "2xx"] == 2
    text = installation.client().get("/metrics").text
    assert token[:21] not in text
    assert "nowhere" not in text
    assert "typed" not in text


@pytest.mark.parametrize("endpoint", ["/authz", "/v1/verify", "/v1/introspect"])
def test_one_decision_in_64_is_timed(installation: Installation, endpoint: str) -> None:
    client = installation.client(installation.verifier_key())
    for _ in range(2 * EVERY + 1):
        if endpoint == "/authz":
            client.get("/authz/nginx")
        else:
            client.post(endpoint, data={"token": "x"})
    name = "gatepass_decision_duration_seconds"
    assert value(installation, f"{name}_count", endpoint=endpoint) == 2
    assert value(installation, f"{name}_sum", endpoint=endpoint) > 0
    assert value(installation, f"{name}_bucket", endpoint=endpoint, le="+Inf") == 2


def test_decisions_of_a_node_are_counted_once_they_are_spooled(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the disk was full."""
    token = installation.access_token("charges:get")
    name = "gatepass_node_decisions_total"
    usage = installation.node.usage
    usage.flush()
    before = value(installation, name, reason="allowed")
    usage.flush()
    for _ in range(3):
        installation.verify(token, permission="charges:get")
    installation.verify("unknown", permission="charges:get")

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(usage._spool, "append", full)
        usage.flush()
    assert value(installation, name, reason="allowed") == before
    usage.flush()
    usage.flush()
    assert value(installation, name, reason="allowed") == before + 3
    assert value(installation, name, reason="token_invalid") == 1


def test_failed_sign_ins_are_counted_without_telling_what_was_wrong(
    installation: Installation,
) -> None:
    def fail(email: str, password: str) -> None:
        body = {"email": email, "password": password}
        assert installation.client().post("/v1/authentications", json=body).status_code in (
            401,
            429,
        )

    name = "gatepass_sign_in_failures_total"
    fail("ada@example.com", "not the password")
    fail("nobody@example.com", "not the password")
    assert value(installation, name, kind="credentials") == 2
    form = {"email": "ada@example.com", "password": "x", "code": "", "next": ""}
    origin = {"Origin": "http://127.0.0.1:8787"}
    assert installation.client().post("/sign-in", data=form, headers=origin).status_code == 401
    assert value(installation, name, kind="credentials") == 3
    for _ in range(10):
        fail("ada@example.com", "not the password")
    assert value(installation, name, kind="throttled") >= 1
    kinds = {sample.labels["kind"] for sample in scrape(installation)[name[:-6]].samples}
    assert kinds == {"credentials", "throttled", "busy", "provider"}


def test_misconfigurations_are_counted_by_kind(installation: Installation) -> None:
    name = "gatepass_misconfigurations_total"
    stranger = installation.client(peer="198.51.100.7")
    stranger.get("/authz/nginx")
    stranger.post("/sign-in", headers={"X-Forwarded-For": "203.0.113.9"})
    assert value(installation, name, kind="gateway_untrusted") == 1
    assert value(installation, name, kind="source_missing") == 0


def test_mail_that_waits_is_counted(installation: Installation) -> None:
    now = installation.node.clock.now()
    waiting = {"kind": "invitation", "company": installation.company.id, "recipient": "a@b.example"}
    later = {"expires_at": now + HOUR}
    installation.do(outbox.enqueue, subject="inv_1", **waiting, **later)
    installation.do(outbox.enqueue, subject="inv_2", due_at=now + HOUR, **waiting, **later)
    assert value(installation, "gatepass_mails_waiting") == 1
    assert value(installation, "gatepass_mails_failing") == 0
    with installation.write() as change:
        mail = outbox.claim(change)
        assert mail is not None
        outbox.postpone(change, mail, "The mail server didn't answer.")
    assert value(installation, "gatepass_mails_waiting") == 1
    assert value(installation, "gatepass_mails_failing") == 1
    assert 0 <= value(installation, "gatepass_mail_oldest_seconds") < 60
    installation.do(outbox.drop_all)
    assert value(installation, "gatepass_mails_waiting") == 0
    assert value(installation, "gatepass_mail_oldest_seconds") == 0


def test_while_the_database_is_away_a_node_tells_of_itself(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: int) -> None:
        raise Unavailable("the database can't be used")

    monkeypatch.setattr(installation.node.database, "read", away)
    found = scrape(installation)
    assert value(installation, "gatepass_database_up") == 0
    assert value(installation, "gatepass_ready") == 1
    assert "gatepass_decisions" not in found
    assert "gatepass_node_decisions" in found


def test_the_processes_of_a_node_are_told_of_together(installation: Installation) -> None:
    found = scrape(installation)
    assert value(installation, "process_cpu_seconds_total") > 0
    assert value(installation, "process_resident_memory_bytes") > 1_000_000
    assert found["process_start_time_seconds"].samples[0].value > 1_700_000_000
