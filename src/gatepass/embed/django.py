"""Middleware and decorators for Django, synchronous and asynchronous.

::

    MIDDLEWARE = ["gatepass.embed.django.GatepassMiddleware", ...]
    GATEPASS = {"VERIFIER": "shop.gatepass.verifier"}

    @requires("charges:get")
    def charge(request, id): ...

The settings, all in ``GATEPASS``:

* ``VERIFIER``: a function without arguments that opens the verifier, or the dotted path of one. It
  is called once in a process.
* ``PERMISSIONS`` or ``CATALOGUE``: the permission that each route needs, or a catalogue file. The
  middleware then decides by method and path, before anything else is done. Without either, views
  say what they need (``requires``, ``exempt``), and the middleware refuses every view that doesn't.
* ``EXEMPT``: routes that need no token, beside ``PERMISSIONS`` or ``CATALOGUE``.
* ``TRUSTED_PROXIES``, ``CORS``: as ``trusted_proxies`` and ``cors`` of the ASGI middleware.

The decision is ``request.gatepass``. Without the middleware, ``requires`` guards its view all the
same; what is missing then is the refusal of views that nobody named.
"""

import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from gatepass.core.decision import Reason
from gatepass.core.errors import Misconfigured
from gatepass.embed.asgi import asgi_lines, asgi_peer
from gatepass.embed.cors import PREFLIGHT, is_preflight, readable_by_any_page
from gatepass.embed.gate import Gate, Lines, RouteGate, named
from gatepass.embed.paths import path_below, wsgi_target
from gatepass.embed.refusal import Refusal
from gatepass.embed.wsgi import wsgi_lines

_View = TypeVar("_View", bound=Callable[..., Any])

_KNOWN = {"VERIFIER", "PERMISSIONS", "CATALOGUE", "EXEMPT", "TRUSTED_PROXIES", "CORS"}
# What the decorators leave on a view. Django's own decorators and ``as_view`` pass it on.
_NEEDS, _EXEMPT = "gatepass_needs", "gatepass_exempt"


class GatepassMiddleware:
    """Lets permitted calls through alone. Should be the first to look at a request.

    Raises:
        Misconfigured, CatalogueError, RouteError, InvalidNetwork: ``settings.GATEPASS`` can't be
            used. Nothing is served then.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._awaited = iscoroutinefunction(get_response)
        # Django would run a plain function in a thread of its own where requests are asynchronous.
        self.process_view: Callable[..., Any] = self._view_refusal
        if self._awaited:
            markcoroutinefunction(self)
            self.process_view = self._view_refusal_later
        _gatepass()

    def __call__(self, request: HttpRequest) -> Any:
        """Answer one request, or an awaitable of that answer."""
        if self._awaited:
            return self._answer_later(request)
        return self._refusal(request) or _finished(request, self._get_response(request))

    async def _answer_later(self, request: HttpRequest) -> HttpResponse:
        return self._refusal(request) or _finished(request, await self._get_response(request))

    def _refusal(self, request: HttpRequest) -> HttpResponse | None:
        """The answer to a call that goes no further."""
        request.gatepass = None
        gatepass = _gatepass()
        method, path, lines, peer = _read(request)
        if gatepass.cors and is_preflight(method, lines):
            preflight = HttpResponse(status=204, headers=dict(PREFLIGHT))
            del preflight["content-type"]
            return preflight
        if not isinstance(gatepass.gate, RouteGate):
            return None
        outcome = gatepass.gate.admit(method, path, lines, peer)
        if isinstance(outcome, Refusal):
            return _finished(request, _response(outcome))
        if outcome is not None:
            request.gatepass = outcome
            _held(request).update(outcome.needed)
        return None

    def _view_refusal(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Decide for the view, before any decorator of its own could answer, such as a cache."""
        gate = _gatepass().gate
        if isinstance(gate, RouteGate):
            return None
        needs = _needs(view, request.method)
        for permission in needs:
            if (refusal := _refused(request, permission)) is not None:
                return refusal
        if needs or getattr(view, _EXEMPT, False):
            return None
        _, _, lines, peer = _read(request)
        outcome = gate.judge(lines, peer, route=Reason.route_unknown)
        assert isinstance(outcome, Refusal)
        return _response(outcome)

    async def _view_refusal_later(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        return self._view_refusal(request, view, args, kwargs)


def requires(permission: str) -> Callable[[_View], _View]:
    """Let nobody reach a view who doesn't hold *permission*.

    For a view function, a view class, or one method of a class, such as ``post``; synchronous or
    asynchronous. A view that requires several needs all of them.

    Raises:
        Misconfigured: *permission* isn't ``resource:action``.
    """
    named(permission)

    def decorate(view: Any) -> Any:
        if isinstance(view, type):
            return _with_dispatch(view, _guarded_dispatch, permission)
        guarded = _guarded_later if iscoroutinefunction(view) else _guarded
        return _needing(guarded(view, permission), permission)

    return decorate


def exempt(view: _View) -> _View:
    """Say that whoever calls this view, a function or a class, needs no token."""
    if isinstance(view, type):
        return _with_dispatch(view, _exempt_dispatch)
    setattr(view, _EXEMPT, True)
    return view


# --- views --------------------------------------------------------------------------------------


def _guarded(view: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refusal = _refused(_request_among(args), permission)
        return view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_later(view: Callable[..., Awaitable[Any]], permission: str) -> Callable[..., Any]:
    @wraps(view)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        refusal = _refused(_request_among(args), permission)
        return await view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_dispatch(dispatch: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(dispatch)
    def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        refusal = _refused(request, permission)
        if refusal is None:
            return dispatch(self, request, *args, **kwargs)
        # An asynchronous class has a plain ``dispatch`` that gives something to await.
        return _later(refusal) if self.view_is_async else refusal

    return _needing(guarded, permission)


def _exempt_dispatch(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(dispatch)
    def exempted(*args: Any, **kwargs: Any) -> Any:
        return dispatch(*args, **kwargs)

    setattr(exempted, _EXEMPT, True)
    return exempted


def _with_dispatch(view: _View, around: Callable[..., Any], *more: Any) -> _View:
    """The class with *around* its ``dispatch``; what it inherits one from stays as it is."""
    kind: Any = view
    kind.dispatch = around(kind.dispatch, *more)
    return view


def _needing(view: _View, permission: str) -> _View:
    setattr(view, _NEEDS, (permission, *getattr(view, _NEEDS, ())))
    return view


def _needs(view: Any, method: str) -> tuple[str, ...]:
    """What a view needs for a call: its own permissions, and those of its class's method."""
    needs: tuple[str, ...] = getattr(view, _NEEDS, ())
    kind = getattr(view, "view_class", None)
    name = method.lower()
    if name == "head" and not hasattr(kind, "head"):
        name = "get"
    return needs + getattr(getattr(kind, name, None), _NEEDS, ())


def _request_among(args: tuple[Any, ...]) -> HttpRequest:
    for argument in args[:2]:
        if isinstance(argument, HttpRequest):
            return argument
    raise TypeError("what requires a permission is a view, or a method of a view class")


async def _later(response: HttpResponse) -> HttpResponse:
    return response


# --- calls --------------------------------------------------------------------------------------


def _refused(request: HttpRequest, permission: str) -> HttpResponse | None:
    """The answer to a call that may not do this; None, and ``request.gatepass``, if it may."""
    held = _held(request)
    if permission in held:
        return None  # Asked already: a call is counted as use once.
    _, _, lines, peer = _read(request)
    outcome = _gatepass().gate.judge(lines, peer, permission=permission)
    if isinstance(outcome, Refusal):
        return _response(outcome)
    request.gatepass = outcome
    held.add(permission)
    return None


def _held(request: HttpRequest) -> set[str]:
    """The permissions that this request was found to hold."""
    held: set[str] = request.__dict__.setdefault("_gatepass_held", set())
    return held


def _read(request: HttpRequest) -> tuple[str, str | None, Lines, str | None]:
    """Method, path, header lines and peer. Django has changed some of what it passes on."""
    scope = getattr(request, "scope", None)
    if scope is None:
        environ = request.META
        method, target = environ.get("REQUEST_METHOD", ""), wsgi_target(environ)
        lines, peer = wsgi_lines(environ), environ.get("REMOTE_ADDR")
    else:
        raw: bytes | None = scope.get("raw_path")
        method, target = scope["method"], None if raw is None else raw.decode("latin-1")
        lines, peer = asgi_lines(scope), asgi_peer(scope)
    path = path_below(request.META.get("SCRIPT_NAME", ""), request.path_info, target)
    return method, path, lines, peer


def _response(refusal: Refusal) -> HttpResponse:
    length = {"content-length": str(len(refusal.body))}
    return HttpResponse(
        refusal.body, status=refusal.status, headers={**dict(refusal.headers), **length}
    )


def _finished(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if _gatepass().cors:
        for name, value in readable_by_any_page(response.headers):
            response[name] = value
    return response


# --- settings -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Gatepass:
    """What ``settings.GATEPASS`` says."""

    gate: Gate
    cors: bool


_opening = threading.Lock()
_opened: _Gatepass | None = None


def _gatepass() -> _Gatepass:
    global _opened
    opened = _opened
    if opened is None:
        with _opening:
            opened = _opened = _opened or _open()
    return opened


def _open() -> _Gatepass:
    wanted: dict[str, Any] = getattr(settings, "GATEPASS", {})
    for name in sorted(wanted.keys() - _KNOWN):
        raise Misconfigured(f"GATEPASS has no {name}; it knows {', '.join(sorted(_KNOWN))}")
    if "VERIFIER" not in wanted:
        raise Misconfigured("GATEPASS names no VERIFIER: a function that opens one, or its path")
    routes = {
        name.lower(): wanted[name]
        for name in ("PERMISSIONS", "CATALOGUE", "EXEMPT")
        if wanted.get(name) is not None
    }
    opener = wanted["VERIFIER"]
    verifier = (import_string(opener) if isinstance(opener, str) else opener)()
    trusted = wanted.get("TRUSTED_PROXIES", ())
    gate = (
        RouteGate(verifier, trusted_proxies=trusted, **routes)
        if routes
        else Gate(verifier, trusted)
    )
    return _Gatepass(gate, bool(wanted.get("CORS", False)))


def _forget(*, setting: str, **_: Any) -> None:
    """Tests change settings."""
    global _opened
    if setting == "GATEPASS":
        _opened = None


setting_changed.connect(_forget)
