"""The type of a request that was decided on."""

from django.http import HttpRequest

from gatepass.core.decision import Decision


class GuardedRequest(HttpRequest):
    """The request of a view that requires a permission, for the view's annotation.

    Attributes:
        gatepass: the decision, which allowed the call.
    """

    gatepass: Decision
