"""An ASGI application behind the middleware: ``uvicorn asgi_app:app``."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gatepass import Decision, GatepassMiddleware, Verifier


async def charge(request: Request) -> JSONResponse:
    """One charge, for callers that may see it."""
    decision: Decision = request.scope["gatepass"]
    assert decision.grant is not None  # it is there, as the call was allowed
    return JSONResponse({"id": request.path_params["id"], "asked_by": decision.grant.label})


def verifier() -> Verifier:
    """Opened once in each process, not when this module is imported."""
    return Verifier.follow(
        os.environ["GATEPASS_URL"],
        key=os.environ["GATEPASS_KEY"],
        directory=os.environ["GATEPASS_DIRECTORY"],
    )


charges = Starlette(routes=[Route("/charges/{id}", charge)])
app = GatepassMiddleware(charges, verifier, permissions={"GET /charges/{id}": "charges:get"})
