"""/account/two-factor: set up a second factor, make new recovery codes, turn it off.

All of it has one path, the only page that opens for a user who must set up a second factor first.
Recovery codes are shown once, like a token's text, and browsers don't store them.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts
from gatepass.node.node import Node
from gatepass.registry.authentication import totp, totp_enrolment
from gatepass.registry.membership import account
from gatepass.registry.storage.database import Committed
from gatepass.web.caller import CurrentNode
from gatepass.web.hashing_pool import Place, hashing
from gatepass.web.pages.account.password import too_many, wait
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import TWO_FACTOR
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.widgets.qr import Picture, qr_code

_DONE = {"disabled": "Two-factor is off."}
_SECRET_GROUP = 4

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Setup:
    """A secret that isn't anyone's yet: sealed for the form, as text, and to be scanned."""

    sealed: str
    secret: str
    picture: Picture


@router.get(TWO_FACTOR.path)
def show(visitor: Visiting, node: CurrentNode, done: str = "") -> Response:
    """What there is, or the way to it."""
    return _page(node, visitor, flash=_DONE.get(done, ""))


# Nothing to resume: all of each form is secret.
@router.post(TWO_FACTOR.path)
async def send(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Do what the button says."""
    action = _ACTIONS.get(fields.one("do"))
    if action is None:
        return see_other(TWO_FACTOR.path)
    return await hashing(
        Place.of_actor(visitor.actor), partial(_act, action, node, visitor, fields)
    )


def _act(
    action: Callable[[Node, Visitor, Fields], Response],
    node: Node,
    visitor: Visitor,
    fields: Fields,
) -> Response:
    setup = fields.one("setup")
    try:
        return action(node, visitor, fields)
    except InvalidInput as error:
        name = fields.one("do")
        problems = {f"{name}.{field}": sentence for field, sentence in error.errors}
        problems[""] = problems.get("enable.setup", "")
        return _page(node, visitor, 422, setup=setup, problems=problems)
    except TooManyAttempts as error:
        page = _page(node, visitor, 429, setup=setup, problems={"": wait(error)})
        return too_many(error, page)
    except Conflict as error:
        return _page(node, visitor, 409, setup=setup, problems={"": error.message})


def _enable(node: Node, visitor: Visitor, fields: Fields) -> Response:
    made = totp_enrolment.enable(
        node.reauthentication,
        visitor.actor,
        setup=_bytes(fields.one("setup")),
        password=fields.one("current_password"),
        code=fields.one("code"),
    )
    return _codes(node, visitor, made, first=True)


def _replace(node: Node, visitor: Visitor, fields: Fields) -> Response:
    made = totp_enrolment.replace_recovery_codes(
        node.reauthentication, visitor.actor, code=fields.one("code")
    )
    return _codes(node, visitor, made, first=False)


def _disable(node: Node, visitor: Visitor, fields: Fields) -> Response:
    confirmed = totp_enrolment.disable(
        node.reauthentication,
        visitor.actor,
        password=fields.one("current_password"),
        code=fields.one("code"),
    )
    return see_other(f"{TWO_FACTOR.path}?done=disabled", confirmed=confirmed)


_ACTIONS = {"enable": _enable, "codes": _replace, "disable": _disable}


def _codes(node: Node, visitor: Visitor, made: Committed[list[str]], *, first: bool) -> Response:
    return render(
        "account/recovery_codes.html",
        visitor=visitor,
        now=node.clock.now(),
        unconfirmed=not made.confirmed,
        codes=made.made,
        first=first,
    )


def _page(
    node: Node,
    visitor: Visitor,
    status: int = 200,
    *,
    flash: str = "",
    setup: str = "",
    problems: Mapping[str, str] | None = None,
) -> HTMLResponse:
    now = node.clock.now()
    found = defaultdict(str, problems or {})
    with node.database.read(now) as reading:
        mine = account.get(reading, visitor.actor)
    return render(
        "account/two_factor.html",
        status,
        visitor=visitor,
        now=now,
        account=mine,
        setup=None if mine.second_factor else _setup(node, visitor, setup),
        flash=flash,
        problems=found,
    )


def _setup(node: Node, visitor: Visitor, sealed: str) -> Setup:
    """The secret of the submitted form, so that a mistyped code doesn't require another scan; a new
    secret if that one can't be read.

    Raises:
        Unavailable: there is no key to seal it with.
    """
    try:
        secret = totp_enrolment.secret_of(node.reauthentication, visitor.actor, _bytes(sealed))
    except InvalidInput:
        secret, fresh = totp_enrolment.begin(node.reauthentication, visitor.actor)
        sealed = base64.urlsafe_b64encode(fresh).decode()
    groups = (secret[at : at + _SECRET_GROUP] for at in range(0, len(secret), _SECRET_GROUP))
    picture = qr_code(totp.provisioning_uri(secret, visitor.email))
    return Setup(sealed, " ".join(groups), picture)


def _bytes(sealed: str) -> bytes:
    try:
        return base64.b64decode(sealed.encode("ascii"), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
