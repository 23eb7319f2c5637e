"""A span for each request to pages and the REST API, and none for decisions."""

import logging
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_trace_id

from gatepass.core.errors import Misconfigured
from gatepass.web.tracing import tracer_of
from tests.support.apps.installation import Installation, new_app

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"access_log": True}


@pytest.fixture
def spans(installation: Installation) -> InMemorySpanExporter:
    """The spans of the installation's requests from now on."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    installation.app = new_app(installation.node, tracer=provider.get_tracer("tests"))
    return exporter


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_span_names_route_status_company_and_reason(
    installation: Installation, spans: InMemorySpanExporter
) -> None:
    token = installation.access_token("access-tokens:get")
    spans.clear()
    client = installation.client(token)
    assert client.get(f"/v1/access-tokens/{token[:21]}").status_code == 200
    assert client.get("/v1/access-tokens?q=typed").status_code == 403
    got, refused = spans.get_finished_spans()
    assert got.name == "GET /v1/access-tokens/{id}"
    assert got.kind is SpanKind.SERVER
    assert told(got) == {
        "http.request.method": "GET",
        "http.route": "/v1/access-tokens/{id}",
        "http.response.status_code": 200,
        "gatepass.company": installation.company.id,
        "gatepass.reason": "allowed",
    }
    assert told(refused)["http.response.status_code"] == 403
    assert refused.status.status_code is StatusCode.UNSET
    for span in (got, refused):
        assert token[:21] not in span.to_json()
        assert "typed" not in span.to_json()


def test_a_request_that_no_route_answers_leaves_nothing_of_its_path(
    installation: Installation, spans: InMemorySpanExporter
) -> None:
    installation.client().request("PROPFIND", "/secret/path")
    [span] = spans.get_finished_spans()
    assert span.name == "_OTHER"
    assert told(span) == {"http.request.method": "_OTHER", "http.response.status_code": 404}


def test_a_span_is_part_of_the_clients_trace_which_the_log_names(
    installation: Installation, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gatepass.access")
    client = installation.client()
    client.get("/sign-in", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    client.get("/sign-in", headers={"traceparent": "nonsense"})
    own, new = spans.get_finished_spans()
    assert own.parent is not None
    assert own.context is not None
    assert new.context is not None
    assert format_trace_id(own.context.trace_id) == TRACE
    assert own.parent.span_id == int(PARENT, 16)
    assert new.parent is None
    logged = [getattr(one, "fields", {}).get("trace") for one in caplog.records]
    assert logged == [TRACE, format_trace_id(new.context.trace_id)]


def test_an_error_of_ours_has_no_message(
    installation: Installation, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may quote what a client sent."""

    def broken(*_: object) -> None:
        raise RuntimeError("gpat_secret")

    client = installation.signed_in()
    spans.clear()
    monkeypatch.setattr(installation.node.database, "read", broken)
    assert client.get("/v1/me").status_code == 500
    [span] = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events
    assert "gpat_secret" not in span.to_json()


def test_decisions_make_no_spans(installation: Installation, spans: InMemorySpanExporter) -> None:
    token = installation.access_token("charges:get")
    spans.clear()
    installation.verify(token, permission="charges:get")
    installation.client(token).get("/authz/nginx")
    installation.client().get("/health/ready")
    installation.client(installation.verifier_key()).post("/v1/introspect", data={"token": token})
    assert spans.get_finished_spans() == ()


def test_the_frameworks_own_spans_are_off(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have raw paths: of an invitation's page, its secret."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)
    installation.client().get("/invitations/gpin_0123456789abcdefsecret?q=typed")
    assert exporter.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "gatepass"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}, False),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
            False,
        ),
    ],
)
def test_the_standard_variables_turn_it_on(environ: dict[str, str], on: bool) -> None:
    assert (tracer_of(environ, "1.0") is not None) is on


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "jaeger"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        },
    ],
)
def test_what_is_not_there_stops_the_start(environ: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="OTEL_"):
        tracer_of(environ, "1.0")


def test_without_the_extra_there_is_a_warning_and_no_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert tracer_of({"OTEL_TRACES_EXPORTER": "otlp"}, "1.0") is None
    assert "gatepass[otel] isn't installed" in caplog.text
