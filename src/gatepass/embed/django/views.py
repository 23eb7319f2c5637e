"""What a view says of itself: that it requires a permission, or that it needs none."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

from gatepass.core.errors import Misconfigured
from gatepass.embed.django.calls import refused_by_permission, refused_later
from gatepass.embed.django.handlers import handlers
from gatepass.embed.gate import named

_View = TypeVar("_View", bound=Callable[..., Any])

# What the decorators leave on a view. Django's own decorators and ``as_view`` pass it on.
_NEEDS, _EXEMPT = "gatepass_needs", "gatepass_exempt"


def requires(permission: str) -> Callable[[_View], _View]:
    """Let nobody reach a view who doesn't hold *permission*.

    For a view function, a view class, or one method of a class, such as ``post`` or a ViewSet's
    ``list``; synchronous or asynchronous. A view that requires several needs all of them.

    Raises:
        Misconfigured: *permission* isn't ``resource:action``; or the function was handed to
            django-ninja before.
    """
    named(permission)

    def decorate(view: Any) -> Any:
        if hasattr(view, "_ninja_operation"):
            # What django-ninja calls is the function that it was given.
            raise Misconfigured("requires must stand below the decorator that adds the operation")
        if isinstance(view, type):
            return _with_dispatch(view, _guarded_dispatch, permission)
        guarded = _guarded_later if iscoroutinefunction(view) else _guarded
        return _needing(guarded(view, permission), permission)

    return decorate


def exempt(view: _View) -> _View:
    """Say that a view, a class of views or one of its methods needs no token.

    It opens nothing that requires a permission as well.
    """
    if isinstance(view, type):
        return _with_dispatch(view, _exempt_dispatch)
    setattr(view, _EXEMPT, True)
    return view


def needs_of(view: Any, method: str) -> tuple[str, ...]:
    """The permissions that a call of *method* needs: the view's, and those of what it dispatches
    to."""
    return tuple(need for each in handlers(view, method) for need in getattr(each, _NEEDS, ()))


def is_exempt(view: Any, method: str) -> bool:
    """Whether the view, or what it dispatches a call of *method* to, needs no token."""
    return any(getattr(each, _EXEMPT, False) for each in handlers(view, method))


def _guarded(view: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refusal = refused_by_permission(_request_among(args), permission)
        return view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_later(view: Callable[..., Awaitable[Any]], permission: str) -> Callable[..., Any]:
    @wraps(view)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        request = _request_among(args)
        refusal = await refused_later(lambda: refused_by_permission(request, permission))
        return await view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_dispatch(dispatch: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(dispatch)
    def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if self.view_is_async:
            # Its ``dispatch`` is a plain function that gives something to await.
            return guarded_later(self, request, *args, **kwargs)
        refusal = refused_by_permission(request, permission)
        return dispatch(self, request, *args, **kwargs) if refusal is None else refusal

    async def guarded_later(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        refusal = await refused_later(lambda: refused_by_permission(request, permission))
        return await dispatch(self, request, *args, **kwargs) if refusal is None else refusal

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
        # Django REST framework's own request has Django's in it.
        request = getattr(argument, "_request", argument)
        if isinstance(request, HttpRequest):
            return request
    raise TypeError("what requires a permission is a view, or a method of a view class")
