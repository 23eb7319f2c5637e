"""Handler functions of Django views in frameworks with their own dispatch.

``requires`` and ``exempt`` mark functions. Django REST framework and django-ninja route to their
own view, which chooses a function by method, and don't copy the marks to it. So this module looks
the function up, without importing either framework. A function that isn't found has no marks, and
the middleware refuses the call.
"""

from collections.abc import Iterator
from typing import Any


def handlers(view: Any, method: str) -> Iterator[Any]:
    """Yield *view*, and each function to which it dispatches a call of *method*."""
    yield view
    kind = getattr(view, "view_class", None) or getattr(view, "cls", None)
    if kind is not None:
        handler = _method_of(kind, getattr(view, "actions", None) or {}, method.lower())
        if handler is not None:
            yield handler
            function = _captured(handler, "func", "rest_framework.decorators")
            if function is not None:
                yield function
    path_view = _captured(view, "self", "ninja.operation")
    for operation in getattr(path_view, "operations", ()):
        if method in operation.methods:
            yield operation.run
            yield operation.view_func
            break


def _method_of(kind: type, actions: dict[str, str], name: str) -> Any:
    """The method of a view class, or of a ViewSet, that handles HTTP method *name*.

    Args:
        actions: a ViewSet's methods by HTTP method. Any other HTTP method is handled by the class's
            method of that name, such as ``options``.
    """
    if name == "head" and name not in actions and not hasattr(kind, name):
        name = "get"
    return getattr(kind, actions.get(name, name), None)


def _captured(function: Any, name: str, module: str) -> Any:
    """The object that *function* of *module* closes over as its only variable *name*.

    ``@api_view`` keeps its function, and django-ninja its operations, only there.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_freevars != (name,) or function.__module__ != module:
        return None
    return function.__closure__[0].cell_contents
