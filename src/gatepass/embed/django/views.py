"""Decorators that mark a view: it requires a permission, or needs no token."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

from gatepass.core.errors import Misconfigured
from gatepass.embed.django.calls import refused_async, refused_by_permission
from gatepass.embed.django.handlers import handlers
from gatepass.embed.gate import require_permission

_View = TypeVar("_View", bound=Callable[..., Any])

# Marks on a view. Django's own decorators and ``as_view`` copy them.
_NEEDS, _EXEMPT = "gatepass_needs", "gatepass_exempt"


def requires(permission: str) -> Callable[[_View], _View]:
    """Refuse calls of a view without *permission*.

    For a view function, a view class, or one method of a class, such as ``post`` or a ViewSet's
    ``list``; synchronous or asynchronous. A view that requires several needs all of them.

    Raises:
        Misconfigured: *permission* isn't ``resource:action``; or the function was already added to
            django-ninja.
    """
    require_permission(permission)

    def decorate(view: Any) -> Any:
        if hasattr(view, "_ninja_operation"):
            # django-ninja calls the function that it was given, not the guarded one.
            raise Misconfigured("requires must be below the decorator that adds the operation")
        if isinstance(view, type):
            return _with_dispatch(view, _guarded_dispatch, permission)
        guarded = _guarded_async if iscoroutinefunction(view) else _guarded
        return _needing(guarded(view, permission), permission)

    return decorate


def exempt(view: _View) -> _View:
    """Mark a view, a view class or one of its methods as needing no token.

    A permission that the view requires as well still applies.
    """
    if isinstance(view, type):
        return _with_dispatch(view, _exempt_dispatch)
    setattr(view, _EXEMPT, True)
    return view


def needs_of(view: Any, method: str) -> tuple[str, ...]:
    """The permissions that a call of *method* needs: the view's and its handlers'."""
    return tuple(need for each in handlers(view, method) for need in getattr(each, _NEEDS, ()))


def is_exempt(view: Any, method: str) -> bool:
    """Whether the view or one of its handlers for *method* is exempt."""
    return any(getattr(each, _EXEMPT, False) for each in handlers(view, method))


def _guarded(view: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        refusal = refused_by_permission(_request_among(args), permission)
        return view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_async(view: Callable[..., Awaitable[Any]], permission: str) -> Callable[..., Any]:
    @wraps(view)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        request = _request_among(args)
        refusal = await refused_async(lambda: refused_by_permission(request, permission))
        return await view(*args, **kwargs) if refusal is None else refusal

    return guarded


def _guarded_dispatch(dispatch: Callable[..., Any], permission: str) -> Callable[..., Any]:
    @wraps(dispatch)
    def guarded(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if self.view_is_async:
            # Its ``dispatch`` is a synchronous function that returns an awaitable.
            return guarded_async(self, request, *args, **kwargs)
        refusal = refused_by_permission(request, permission)
        return dispatch(self, request, *args, **kwargs) if refusal is None else refusal

    async def guarded_async(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        refusal = await refused_async(lambda: refused_by_permission(request, permission))
        return await dispatch(self, request, *args, **kwargs) if refusal is None else refusal

    return _needing(guarded, permission)


def _exempt_dispatch(dispatch: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(dispatch)
    def exempted(*args: Any, **kwargs: Any) -> Any:
        return dispatch(*args, **kwargs)

    setattr(exempted, _EXEMPT, True)
    return exempted


def _with_dispatch(view: _View, around: Callable[..., Any], *more: Any) -> _View:
    """Wrap the class's ``dispatch`` in *around*; its base classes keep theirs."""
    kind: Any = view
    kind.dispatch = around(kind.dispatch, *more)
    return view


def _needing(view: _View, permission: str) -> _View:
    setattr(view, _NEEDS, (permission, *getattr(view, _NEEDS, ())))
    return view


def _request_among(args: tuple[Any, ...]) -> HttpRequest:
    for argument in args[:2]:
        # Django REST framework's request wraps Django's.
        request = getattr(argument, "_request", argument)
        if isinstance(request, HttpRequest):
            return request
    raise TypeError("requires must decorate a view, or a method of a view class")
