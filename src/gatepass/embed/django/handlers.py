"""The functions that answer a call to a Django view, in the frameworks that dispatch further.

``requires`` and ``exempt`` mark functions. Django REST framework and django-ninja route to a view
of their own, which chooses a function by method. They don't pass the marks on, so this module looks
the function up. It imports neither framework. A function that isn't found has no marks, and
the middleware refuses the call.
"""

from collections.abc import Iterator
from typing import Any


def handlers(view: Any, method: str) -> Iterator[Any]:
    """Yield *view*, and each function that it dispatches a call of *method* to."""
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
    """The method of a view class, or of a ViewSet, that answers HTTP method *name*.

    Args:
        actions: a ViewSet's methods by HTTP method. One that isn't named there is answered by the
            class's own method of that name, such as ``options``.
    """
    if name == "head" and name not in actions and not hasattr(kind, name):
        name = "get"
    return getattr(kind, actions.get(name, name), None)


def _captured(function: Any, name: str, module: str) -> Any:
    """The object that *function* of *module* closes over as its only variable *name*.

    ``@api_view`` keeps its function, and django-ninja its operations, nowhere else.
    """
    code = getattr(function, "__code__", None)
    if code is None or code.co_freevars != (name,) or function.__module__ != module:
        return None
    return function.__closure__[0].cell_contents
