"""A FastAPI application whose routes say what they need: ``uvicorn fastapi_app:app``."""

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from gatepass import Decision, Verifier
from gatepass.embed.fastapi import Guard


def verifier() -> Verifier:
    """Opened once in each process, not when this module is imported."""
    return Verifier.follow(
        os.environ["GATEPASS_URL"],
        key=os.environ["GATEPASS_KEY"],
        directory=os.environ["GATEPASS_DIRECTORY"],
    )


guard = Guard(verifier)
app = FastAPI(dependencies=[Depends(guard)], exception_handlers=guard.exception_handlers)


@app.get("/charges/{id}")
def charge(
    id: str, decision: Annotated[Decision, Depends(guard.requires("charges:get"))]
) -> dict[str, str]:
    """One charge, for callers that may see it."""
    assert decision.grant is not None  # it is there, as the call was allowed
    return {"id": id, "asked_by": decision.grant.label}
