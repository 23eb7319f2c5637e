"""Resuming a form whose sign-in ended while it was being filled in.

A form submitted too late is answered with the sign-in form, which carries the input in hidden
fields. After signing in, a page posts the input back with ``do=resume``: the form is shown again
with the input, and nothing is changed until the user presses its own button.

* Endpoints that can show their form again are marked ``@resumable``. For any other, its page opens
  as by a link, without the input: ``do=resume`` never reaches an endpoint that would act on it.
* Passwords, codes and other secrets are never carried along (``is_secret``).
* The input is shown only to the user who typed it, identified by the login token, which names its
  user even after it has ended.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gatepass.core.errors import Unavailable
from gatepass.web.caller import admit
from gatepass.web.pages.layout.visitor import presented
from gatepass.web.pages.text.forms import RESUME, Fields, read_form

HOME = "/access-tokens"

_BY = "typed_by"
_PREFIX = "typed."
_is_secret = re.compile(r"password|secret|^(code|token|setup)$", re.IGNORECASE).search
_resumable: set[Callable[..., Any]] = set()

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Kept:
    """What was typed into a form, without its secrets and buttons.

    Attributes:
        by: the id of the user who typed it.
    """

    by: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def carried(self) -> tuple[tuple[str, str], ...]:
        """As hidden fields of the sign-in form, beside that form's own."""
        return ((_BY, self.by), *((_PREFIX + name, value) for name, value in self.pairs))


def resumable(endpoint: Endpoint) -> Endpoint:
    """Mark what a form is posted to: with ``do=resume`` it shows the form again as it was typed,
    and changes nothing. Goes below ``@router.post(…)``."""
    _resumable.add(endpoint)
    return endpoint


def is_secret(name: str) -> bool:
    """Whether a field of that name is never carried along."""
    return _is_secret(name) is not None


def typed_into(request: Request, fields: Sequence[tuple[str, str]]) -> Kept | None:
    """What is carried along of a form that came too late; None if nobody can tell whose it is."""
    try:
        grant = admit(request, presented(request)).grant
    except Unavailable:
        return None
    if grant is None or grant.kind != "login":
        return None
    kept = ((name, value) for name, value in fields if name != "do" and not is_secret(name))
    return Kept(grant.user, tuple(kept))


def carried_by(fields: Fields) -> Kept | None:
    """What the sign-in form carried along, if it did."""
    if not fields.one(_BY):
        return None
    pairs = (
        (name.removeprefix(_PREFIX), value)
        for name, value in fields.pairs
        if name.startswith(_PREFIX)
    )
    return Kept(fields.one(_BY), tuple((name, value) for name, value in pairs if name != "do"))


async def opens_instead(request: Request, endpoint: Callable[..., Any]) -> str | None:
    """The path to open in place of carrying *request* out, if it resumes a form that can't be shown
    as it was typed."""
    if request.method != "POST" or endpoint in _resumable:
        return None
    try:
        fields = await read_form(request)
    except HTTPException as fault:
        # Another media type is the endpoint's own affair; a body that broke off is nobody's.
        if fault.status_code != 415:
            raise
        return None
    # Anywhere in it: whichever of two the endpoint would go by, nothing is done.
    return path_that_opens(request) if RESUME in fields.all("do") else None


def path_of(request: Request) -> str:
    """The path of *request*, with its query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def path_that_opens(request: Request) -> str:
    """The path of *request* if a link can lead there, else the first page."""
    scope = {**request.scope, "method": "GET"}
    routes = request.app.router.routes
    opens = any(route.matches(scope)[0] is Match.FULL for route in routes)
    return path_of(request) if opens else HOME
