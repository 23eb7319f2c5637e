"""An API guarded by the Gatepass on this machine: ``uvicorn asgi_app:app``."""

import os

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gatepass import GatepassMiddleware, open_verifier


async def charge(request):
    """One charge, for whoever may see it."""
    decision = request.scope["gatepass"]
    return JSONResponse({"id": request.path_params["id"], "asked_by": decision.grant.label})


app = GatepassMiddleware(
    Starlette(routes=[Route("/charges/{id}", charge)]),
    open_verifier(os.environ["GATEPASS_FILE"]),
    permissions={"GET /charges/{id}": "charges:get"},
)
