"""Embed Gatepass in an application: decide in process, without a network call.

* :func:`~gatepass.embed.opening.open_verifier` opens the grant file of the Gatepass on the same
  machine;
* :class:`~gatepass.embed.asgi.GatepassMiddleware` guards an ASGI application with it.
"""

from gatepass.embed.asgi import GatepassMiddleware
from gatepass.embed.opening import open_verifier

__all__ = ["GatepassMiddleware", "open_verifier"]
