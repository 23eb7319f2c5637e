"""A Django site in one file, whose views say what they need: ``gunicorn django_app:app``."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

from gatepass import Verifier
from gatepass.embed.django import requires


@requires("charges:get")
def charge(request, id):
    """One charge, for callers that may see it."""
    return JsonResponse({"id": id, "asked_by": request.gatepass.grant.label})


def verifier():
    """Opened once in each process."""
    return Verifier.follow(
        os.environ["GATEPASS_URL"],
        key=os.environ["GATEPASS_KEY"],
        directory=os.environ["GATEPASS_DIRECTORY"],
    )


settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["gatepass.embed.django.GatepassMiddleware"],
    GATEPASS={"VERIFIER": verifier},
)
urlpatterns = [path("charges/<id>", charge)]
app = get_wsgi_application()
