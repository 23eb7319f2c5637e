"""A Flask application behind the middleware: ``gunicorn flask_app:app``."""

import os

from flask import Flask, request

from gatepass import Verifier
from gatepass.embed.wsgi import GatepassMiddleware

app = Flask(__name__)


@app.get("/charges/<id>")
def charge(id):
    """One charge, for callers that may see it."""
    decision = request.environ["gatepass.decision"]
    return {"id": id, "asked_by": decision.grant.label}


verifier = Verifier.follow(
    os.environ["GATEPASS_URL"],
    key=os.environ["GATEPASS_KEY"],
    directory=os.environ["GATEPASS_DIRECTORY"],
)
app.wsgi_app = GatepassMiddleware(
    app.wsgi_app, verifier, permissions={"GET /charges/{id}": "charges:get"}
)
