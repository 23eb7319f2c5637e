"""Middleware and decorators for Django, synchronous and asynchronous.

::

    MIDDLEWARE = ["gatepass.embed.django.GatepassMiddleware", ...]
    GATEPASS = {"VERIFIER": "shop.gatepass.verifier"}

    @requires("charges:get")
    def charge(request, id): ...

The settings, all in ``GATEPASS``:

* ``VERIFIER``: a function without arguments that opens the verifier, or its dotted path. Called
  once in a process.
* ``PERMISSIONS`` or ``CATALOGUE``: the permission that each route needs, or a catalogue file. The
  middleware then decides by method and path, before the view is resolved. Without either, views
  name their permissions (``requires``, ``exempt``), and the middleware refuses every other view.
* ``EXEMPT``: routes that need no token, with ``PERMISSIONS`` or ``CATALOGUE``.
* ``TRUSTED_PROXIES``, ``CORS``: as ``trusted_proxies`` and ``cors`` of the ASGI middleware.

The decision is ``request.gatepass``; annotate a view's request as ``GuardedRequest``. Without the
middleware ``requires`` still guards its view, but unmarked views aren't refused.
"""

from gatepass.embed.django.middleware import GatepassMiddleware
from gatepass.embed.django.request import GuardedRequest
from gatepass.embed.django.views import exempt, requires

__all__ = ["GatepassMiddleware", "GuardedRequest", "exempt", "requires"]
