"""Gatepass: a self-hosted access-token authority.

What applications use that embed it; everything else is the server's. Importing this needs none of
the server's packages.
"""

from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import GatepassError, Misconfigured, Unavailable
from gatepass.embed import GatepassMiddleware, open_verifier
from gatepass.verify.verifier import Verifier

__all__ = [
    "Decision",
    "GatepassError",
    "GatepassMiddleware",
    "Misconfigured",
    "Reason",
    "Unavailable",
    "Verifier",
    "open_verifier",
]
