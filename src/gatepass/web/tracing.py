"""OpenTelemetry traces: a span for each request to a page or the REST API, off by default.

The standard variables ``OTEL_…`` turn them on and say where spans go. The packages are an extra
(``gatepass[otel]``), and are imported only then. Decisions for gateways and services are never
traced: a span costs several times as much as the decision.

A span has no path, query, header or message of an exception, which may hold secrets.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gatepass.core.errors import Misconfigured
from gatepass.verify.http.header_lines import asgi_lines
from gatepass.verify.http.request_credentials import read_single
from gatepass.web.access_log import TOLD

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    # The supervisor, which checks the variables, needs no framework.
    from gatepass.web.route_templates import RouteTemplates

_EXPORTERS: Final = ("otlp", "console", "none")
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OVER_HTTP: Final = "http/protobuf"
_OTHER_METHOD: Final = "_OTHER"

_log = logging.getLogger("gatepass.tracing")


def exporter_of(environ: Mapping[str, str]) -> str | None:
    """The exporter that the variables ask for; None if they ask for none.

    Raises:
        Misconfigured: they ask for an exporter or a protocol that isn't there.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER") or (
        "otlp" if any(map(environ.get, _ENDPOINTS)) else "none"
    )
    if exporter not in _EXPORTERS:
        raise Misconfigured(f"OTEL_TRACES_EXPORTER: must be {', '.join(_EXPORTERS)}")
    for name in _PROTOCOLS:
        if exporter == "otlp" and environ.get(name, _OVER_HTTP) != _OVER_HTTP:
            raise Misconfigured(f"{name}: must be {_OVER_HTTP}")
    disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return None if disabled or exporter == "none" else exporter


def tracer_of(environ: Mapping[str, str], version: str) -> "Tracer | None":
    """The tracer that the variables ask for; None if they ask for none.

    Raises:
        Misconfigured: as ``exporter_of`` says.
    """
    exporter = exporter_of(environ)
    if exporter is None:
        return None
    try:
        return _tracer(exporter, environ, version)
    except ModuleNotFoundError:
        _log.warning("OTEL_… asks for traces, but gatepass[otel] isn't installed: none are sent")
        return None


def _tracer(exporter: str, environ: Mapping[str, str], version: str) -> "Tracer":
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

    attributes = {"service.version": version}
    named = "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named and "OTEL_SERVICE_NAME" not in environ:
        attributes["service.name"] = "gatepass"
    spans: SpanExporter
    if exporter == "console":
        spans = ConsoleSpanExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        spans = OTLPSpanExporter()
    # Sampler, limits and the exporter's address are read from the variables by the packages.
    provider = TracerProvider(resource=Resource.create(attributes))
    provider.add_span_processor(BatchSpanProcessor(spans))
    return provider.get_tracer("gatepass", version)


class Traced:
    """Makes a span for each request that *app* answers, in the trace of its ``traceparent``.

    Directly around the framework, as ``metrics.http_durations``.
    """

    def __init__(self, app: ASGIApp, templates: "RouteTemplates", tracer: "Tracer") -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._app = app
        self._templates = templates
        self._tracer = tracer
        self._trace = trace
        self._extract = TraceContextTextMapPropagator().extract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lines = asgi_lines(scope)
        sent = {name: read_single(lines(name)) for name in ("traceparent", "tracestate")}
        context = self._extract({name: value for name, value in sent.items() if value})
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        told: dict[str, str] = scope.setdefault(TOLD, {})
        with self._tracer.start_as_current_span(
            _OTHER_METHOD,
            context=context,
            kind=self._trace.SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            told["trace"] = self._trace.format_trace_id(span.get_span_context().trace_id)
            try:
                await self._app(scope, receive, noting)
            finally:
                which = self._templates.of(scope)
                span.update_name(_OTHER_METHOD if which is None else " ".join(which))
                span.set_attribute("http.request.method", which[0] if which else _OTHER_METHOD)
                span.set_attribute("http.response.status_code", status)
                if which is not None:
                    span.set_attribute("http.route", which[1])
                for name in ("company", "reason"):
                    if told.get(name):
                        span.set_attribute(f"gatepass.{name}", told[name])
                if status >= 500:
                    span.set_status(self._trace.StatusCode.ERROR)
