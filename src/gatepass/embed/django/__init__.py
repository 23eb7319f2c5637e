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

from gatepass.embed.django.middleware import GatepassMiddleware
from gatepass.embed.django.views import exempt, requires

__all__ = ["GatepassMiddleware", "exempt", "requires"]
