"""What is particular to WSGI: a path that was decoded already, headers that were folded."""

import http.client
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.validate import validator

import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.serving import make_server

from gatepass import Verifier
from gatepass.embed.wsgi import GatepassMiddleware
from tests.support.apps.framework_apps import wsgi_call
from tests.support.grants.grant_file_fixture import Grants
from tests.support.waiting import LIMIT_S

PERMISSIONS = {"GET /charges/{id}": "charges:get", "POST /charges": "charges:create"}


def echo(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode("latin-1")]


def ask(verifier: Verifier, token: str, **environ: Any) -> str:
    """Call with a hand-made environ, as some server or attacker might."""
    call = wsgi_call(GatepassMiddleware(echo, verifier, permissions=PERMISSIONS), **environ)
    return call("GET", "/charges/1", [("Authorization", f"Bearer {token}")]).outcome


@pytest.mark.parametrize(
    ("environ", "outcome"),
    [
        ({}, "allowed"),
        ({"RAW_URI": None}, "allowed"),
        ({"RAW_URI": None, "REQUEST_URI": "/charges/1?x=1"}, "allowed"),
        ({"RAW_URI": "/%63harges/1"}, "allowed"),
        # A server that folds, or a proxy that rewrites.
        ({"RAW_URI": "//charges/1"}, "path_ambiguous"),
        ({"RAW_URI": "/x/../charges/1"}, "path_ambiguous"),
        ({"RAW_URI": "/charges%2F1"}, "path_ambiguous"),
        ({"RAW_URI": "/other"}, "path_ambiguous"),
        ({"RAW_URI": None, "REQUEST_URI": "/other"}, "path_ambiguous"),
        ({"RAW_URI": ""}, "path_ambiguous"),
        ({"RAW_URI": "*"}, "path_ambiguous"),
        ({"RAW_URI": "http://api.example/charges/1"}, "path_ambiguous"),
        ({"RAW_URI": "/charges/\u00e9", "PATH_INFO": "/charges/\u00c3\u00a9"}, "path_ambiguous"),
        # Without the target: what the application sees.
        ({"RAW_URI": None, "PATH_INFO": "/charges/a b"}, "allowed"),
        ({"RAW_URI": None, "PATH_INFO": "/charges/caf\u00c3\u00a9"}, "allowed"),
        ({"RAW_URI": None, "PATH_INFO": "/charges/\u00ff"}, "path_ambiguous"),
        ({"RAW_URI": None, "PATH_INFO": "/charges/\u20ac"}, "path_ambiguous"),
        ({"RAW_URI": None, "PATH_INFO": "/charges/%2F"}, "path_ambiguous"),
        ({"RAW_URI": None, "PATH_INFO": "/charges/1?x"}, "allowed"),
        ({"RAW_URI": None, "PATH_INFO": "//charges/1"}, "path_ambiguous"),
        ({"RAW_URI": None, "PATH_INFO": ""}, "path_ambiguous"),
        ({"RAW_URI": None, "PATH_INFO": "charges/1"}, "path_ambiguous"),
        # Below a root, which the target has or has not.
        ({"SCRIPT_NAME": "/v1", "RAW_URI": "/v1/charges/1"}, "allowed"),
        ({"SCRIPT_NAME": "/v1", "RAW_URI": "/%761/charges/1"}, "allowed"),
        ({"SCRIPT_NAME": "/v1", "RAW_URI": "/charges/1"}, "allowed"),
        ({"SCRIPT_NAME": "/v1", "RAW_URI": "/v2/charges/1"}, "path_ambiguous"),
        ({"SCRIPT_NAME": "/v1", "RAW_URI": "/v1%2Fcharges/1"}, "path_ambiguous"),
        ({"SCRIPT_NAME": "/v1/", "RAW_URI": "/v1/charges/1"}, "path_ambiguous"),
        ({"SCRIPT_NAME": "/\u00ff", "RAW_URI": "/%FF/charges/1"}, "path_ambiguous"),
        ({"SCRIPT_NAME": "/charges", "PATH_INFO": "/1", "RAW_URI": "/charges/1"}, "route_unknown"),
    ],
)
def test_only_a_path_that_the_application_can_read_no_other_way_is_matched(
    environ: dict[str, Any], outcome: str, verifier: Verifier, grants: Grants
) -> None:
    assert ask(verifier, grants.token(), **environ) == outcome


def test_a_mounted_application_is_guarded_by_its_own_paths(
    verifier: Verifier, grants: Grants
) -> None:
    guarded = GatepassMiddleware(echo, verifier, permissions=PERMISSIONS)
    call = wsgi_call(DispatcherMiddleware(flask.Flask("outer"), {"/api": guarded}))
    lines = [("x-access-token", grants.token())]
    assert call("GET", "/api/charges/7", lines).body == b"/charges/7"
    assert call("GET", "/api/admin", lines).outcome == "route_unknown"
    assert call("GET", "/api/charges/7").status == 401


def test_it_keeps_to_pep_3333_on_both_sides(verifier: Verifier, grants: Grants) -> None:
    """The standard library's validator checks the server's side and the application's."""
    guarded: Any = validator(
        GatepassMiddleware(validator(echo), verifier, permissions=PERMISSIONS, cors=True)
    )
    environ = {"wsgi.input": _Input(), "wsgi.errors": _Errors()}
    call = wsgi_call(guarded, **environ)
    lines = [("x-access-token", grants.token())]
    assert call("GET", "/charges/7", lines).body == b"/charges/7"
    assert call("GET", "/charges/7").status == 401
    head = call("HEAD", "/charges/7")
    assert (head.status, head.body, int(head.header("content-length") or 0) > 0) == (401, b"", True)
    assert call("GET", "/nowhere", lines).status == 403
    asked = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET")]
    assert call("OPTIONS", "/charges/7", asked).status == 204


class _Input:
    def read(self, *_: int) -> bytes:
        return b""

    readline = read

    def readlines(self, *_: int) -> list[bytes]:
        return []

    def __iter__(self) -> Iterator[bytes]:
        return iter(())


class _Errors:
    def write(self, _: str) -> None: ...

    def flush(self) -> None: ...

    def writelines(self, _: Any) -> None: ...


def test_what_the_application_streams_is_passed_on_unread(
    verifier: Verifier, grants: Grants
) -> None:
    class Stream:
        closed = False

        def __iter__(self) -> Iterator[bytes]:
            yield b"a"
            raise AssertionError("read further than asked")

        def close(self) -> None:
            self.closed = True

    stream = Stream()

    def app(environ: Any, start_response: Any) -> Stream:
        start_response("200 OK", [])
        return stream

    guarded = GatepassMiddleware(app, verifier, permissions=PERMISSIONS)
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/charges/1",
        "HTTP_X_ACCESS_TOKEN": grants.token(),
    }
    answer: Any = guarded(environ, lambda *_: None)
    assert next(iter(answer)) == b"a"
    answer.close()
    assert stream.closed


def test_no_header_passes_for_a_decision(verifier: Verifier) -> None:
    """Headers reach environ as HTTP_…, so that nobody but us writes the decision."""
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(environ["gatepass.decision"])
        start_response("200 OK", [])
        return []

    call = wsgi_call(GatepassMiddleware(app, verifier, permissions={}, exempt=["GET /health"]))
    assert call("GET", "/health", [("gatepass.decision", "yes")]).status == 200
    assert seen == [None]


# --- over a real server ---------------------------------------------------------------------------


@pytest.fixture
def served(verifier: Verifier) -> Iterator[Callable[..., tuple[int, bytes]]]:
    """Flask on Werkzeug's server; calls it with a target and header lines exactly as given."""
    app = flask.Flask("served")

    @app.route("/charges/<id>")
    @app.route("/charges/<id>/<rest>")
    def charge(id: str, rest: str = "") -> Any:
        return {
            "id": id,
            "rest": rest,
            "by": flask.request.environ["gatepass.decision"].grant.label,
        }

    guarded: Any = GatepassMiddleware(
        app.wsgi_app,
        verifier,
        permissions={"GET /charges/{id}": "charges:get"},
        trusted_proxies=["127.0.0.0/8"],
    )
    app.wsgi_app = guarded  # type: ignore[method-assign] - as Flask says to do
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def call(target: str, *lines: tuple[str, str], method: str = "GET") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=LIMIT_S)
        connection.putrequest(method, target)
        for line in lines:
            connection.putheader(*line)
        connection.endheaders()
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            connection.close()

    yield call
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_werkzeugs_server(served: Callable[..., tuple[int, bytes]], grants: Grants) -> None:
    token = ("Authorization", f"Bearer {grants.token()}")
    assert served("/charges/1", token)[0] == 200
    assert served("/charges/1?a=b", token)[0] == 200
    assert served("/charges/1", token, method="HEAD") == (200, b"")
    assert served("/charges/1") == (401, served("/charges/1")[1])
    assert served("/charges/1", method="HEAD") == (401, b"")
    for target in ("/charges//1", "/charges%2F1", "/charges/1%2Fx", "/charges/%FF", "/charges/"):
        status, body = served(target, token)
        assert (status, b"path_ambiguous" in body) == (403, True), target
    assert served("/charges/1", token, token)[0] == 401


def test_an_underscore_passes_for_no_hyphen(
    served: Callable[..., tuple[int, bytes]], grants: Grants
) -> None:
    """``X_Forwarded_For`` is written by the caller; a proxy adds ``X-Forwarded-For``."""
    token = ("Authorization", f"Bearer {grants.token(networks=('198.51.100.0/24',))}")
    real, spoofed = ("X-Forwarded-For", "203.0.113.9"), ("X_Forwarded_For", "198.51.100.7")
    assert served("/charges/1", token, ("X-Forwarded-For", "198.51.100.7"))[0] == 200
    for lines in ([spoofed], [real, spoofed], [spoofed, real]):
        assert served("/charges/1", token, *lines)[0] == 403
