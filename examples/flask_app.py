"""A Flask application behind the middleware: ``gunicorn flask_app:app``."""

import os

from flask import Flask, request

from gatepass import Decision, Verifier
from gatepass.embed.wsgi import GatepassMiddleware

app = Flask(__name__)


@app.get("/charges/<id>")
def charge(id: str) -> dict[str, str]:
    """One charge, for callers that may see it."""
    decision: Decision = request.environ["gatepass.decision"]
    assert decision.grant is not None  # it is there, as the call was allowed
    return {"id": id, "asked_by": decision.grant.label}


def verifier() -> Verifier:
    """Opened once in each process, not when this module is imported."""
    return Verifier.follow(
        os.environ["GATEPASS_URL"],
        key=os.environ["GATEPASS_KEY"],
        directory=os.environ["GATEPASS_DIRECTORY"],
    )


guard = GatepassMiddleware(app.wsgi_app, verifier, permissions={"GET /charges/{id}": "charges:get"})
app.wsgi_app = guard  # type: ignore[method-assign]  # as Flask says to do
