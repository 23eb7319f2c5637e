"""An ASGI application behind the middleware: ``uvicorn asgi_app:app``."""

import os

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from gatepass import GatepassMiddleware, Verifier


async def charge(request):
    """One charge, for callers that may see it."""
    decision = request.scope["gatepass"]
    return JSONResponse({"id": request.path_params["id"], "asked_by": decision.grant.label})


verifier = Verifier.follow(
    os.environ["GATEPASS_URL"],
    key=os.environ["GATEPASS_KEY"],
    directory=os.environ["GATEPASS_DIRECTORY"],
)
app = GatepassMiddleware(
    Starlette(routes=[Route("/charges/{id}", charge)]),
    verifier,
    permissions={"GET /charges/{id}": "charges:get"},
)
