"""What a view says of itself: that it requires a permission, or that it needs none."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse

from gatepass.embed.django.calls import refused_by_permission
from gatepass.embed.gate import named

_View = TypeVar("_View", bound=Callable[..., Any])

# What the decorators leave on a view. Django's own decorators and ``as_view`` pass it on.
_NEEDS, _EXEMPT = "gatepass_needs", "gatepass_exempt"


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


def is_exempt(view: Any) -> bool:
    """Whether a view was said to need no token."""
    return bool(getattr(view, _EXEMPT, False))


def needs_of(view: Any, method: str) -> tuple[str, ...]:
    """What a view needs for a call: its own permissions, and those of its class's method."""
    needs: tuple[str, ...] = getattr(view, _NEEDS, ())
    kind = getattr(view, "view_class", None)
    name = method.lower()
    if name == "head" and not hasattr(kind, "head"):
        name = "get"
    return needs + getattr(getattr(kind, name, None), _NEEDS, ())


def _guarded(view: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refusal = refused_by_permission(_request_among(args), permission)
        return view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_later(view: Callable[..., Awaitable[Any]], permission: str) -> Callable[..., Any]:
    @wraps(view)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        refusal = refused_by_permission(_request_among(args), permission)
        return await view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_dispatch(dispatch: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(dispatch)
    def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        refusal = refused_by_permission(request, permission)
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


def _request_among(args: tuple[Any, ...]) -> HttpRequest:
    for argument in args[:2]:
        if isinstance(argument, HttpRequest):
            return argument
    raise TypeError("what requires a permission is a view, or a method of a view class")


async def _later(response: HttpResponse) -> HttpResponse:
    return response
