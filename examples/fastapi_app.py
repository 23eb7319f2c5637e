"""A FastAPI application whose routes say what they need: ``uvicorn fastapi_app:app``."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from gatepass import Decision, Verifier
from gatepass.embed.fastapi import Guard

verifier = Verifier.follow(
    os.environ["GATEPASS_URL"],
    key=os.environ["GATEPASS_KEY"],
    directory=os.environ["GATEPASS_DIRECTORY"],
)
guard = Guard(verifier)
app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)


@app.get("/charges/{id}")
def charge(id: str, decision: Annotated[Decision, Depends(guard.requires("charges:get"))]):
    """One charge, for callers that may see it."""
    return {"id": id, "asked_by": decision.grant.label}
