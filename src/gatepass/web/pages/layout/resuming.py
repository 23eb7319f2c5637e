"""Resuming a form whose sign-in ended while it was being filled in.

A form submitted too late is answered with the sign-in form, which carries the input in hidden
fields. After signing in, a page posts the input back with ``do=resume``: the form is shown again
with the input, and nothing is changed until the user presses its own button. Meanwhile at an OIDC
provider, the fields wait in the browser's tab, from where a script posts them to
``/sign-in/resume``.

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
from gatepass.web.pages.layout.visitor import credential_of
from gatepass.web.pages.text.forms import RESUME, Fields, read_form

HOME = "/access-tokens"
#: The longest path, with its query, that is opened after a sign-in.
LONGEST_PATH = 2_000

_BY = "typed_by"
_PREFIX = "typed."
_is_secret = re.compile(r"password|secret|^(code|token|setup)$", re.IGNORECASE).search
_resumable: set[Callable[..., Any]] = set()

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Kept:
    """The input of a form, without its secrets and buttons.

    Attributes:
        by: the id of the user who typed it.
    """

    by: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def carried(self) -> tuple[tuple[str, str], ...]:
        """The input as hidden fields of the sign-in form."""
        return ((_BY, self.by), *((_PREFIX + name, value) for name, value in self.pairs))


def resumable(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that, with ``do=resume``, shows its form again with the input and changes
    nothing. Goes below ``@router.post(…)``."""
    _resumable.add(endpoint)
    return endpoint


def is_secret(name: str) -> bool:
    """Whether the input of a field called *name* is never carried along."""
    return _is_secret(name) is not None


def typed_by_visitor(request: Request, fields: Sequence[tuple[str, str]]) -> Kept | None:
    """The input to carry along from a form submitted too late; None if its user is unknown."""
    try:
        grant = admit(request, credential_of(request)).grant
    except Unavailable:
        return None
    if grant is None or grant.kind != "login":
        return None
    kept = ((name, value) for name, value in fields if name != "do" and not is_secret(name))
    return Kept(grant.user, tuple(kept))


def carried_by(fields: Fields) -> Kept | None:
    """The input that the sign-in form carried along, or None."""
    if not fields.one(_BY):
        return None
    pairs = (
        (name.removeprefix(_PREFIX), value)
        for name, value in fields.pairs
        if name.startswith(_PREFIX)
    )
    return Kept(fields.one(_BY), tuple((name, value) for name, value in pairs if name != "do"))


async def path_instead(request: Request, endpoint: Callable[..., Any]) -> str | None:
    """The path to open instead of carrying out *request*, if it resumes a form that can't be shown
    with its input."""
    if request.method != "POST" or endpoint in _resumable:
        return None
    try:
        fields = await read_form(request)
    except HTTPException as fault:
        # The endpoint handles other media types itself.
        if fault.status_code != 415:
            raise
        return None
    # Any value counts: the endpoint might read another one than we do.
    return path_that_opens(request) if RESUME in fields.all("do") else None


def path_of(request: Request) -> str:
    """The path of *request*, with its query."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def path_that_opens(request: Request) -> str:
    """The path of *request* if it has a page, else the first page."""
    scope = {**request.scope, "method": "GET"}
    routes = request.app.router.routes
    opens = any(route.matches(scope)[0] is Match.FULL for route in routes)
    return path_of(request) if opens else HOME
