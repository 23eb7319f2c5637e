"""A Django site, whose views say what they need: ``gunicorn "django_app:create_app()"``."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

from gatepass import Verifier
from gatepass.embed.django import GuardedRequest, requires


@requires("charges:get")
def charge(request: GuardedRequest, id: str) -> JsonResponse:
    """One charge, for callers that may see it."""
    decision = request.gatepass
    assert decision.grant is not None  # it is there, as the call was allowed
    return JsonResponse({"id": id, "asked_by": decision.grant.label})


def verifier() -> Verifier:
    """Opened once in each process, when it starts to serve."""
    return Verifier.follow(
        os.environ["GATEPASS_URL"],
        key=os.environ["GATEPASS_KEY"],
        directory=os.environ["GATEPASS_DIRECTORY"],
    )


GATEPASS = {"VERIFIER": verifier}
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["gatepass.embed.django.GatepassMiddleware"],
    GATEPASS=GATEPASS,
)
urlpatterns = [path("charges/<id>", charge)]
create_app = get_wsgi_application
