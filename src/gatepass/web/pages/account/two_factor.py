"""/account/two-factor: set up a second factor, make new recovery codes, turn it off.

All of it has one path, the only page that opens for a user who must set up a second factor first.
Recovery codes are shown once, like a token's text, and browsers don't store them.
"""

import base64
import binascii
from dataclasses import dataclass
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Busy, Conflict, InvalidInput, TooManyAttempts
from gatepass.registry.authentication import totp, totp_enrolment
from gatepass.registry.membership import account
from gatepass.registry.storage.database import Committed
from gatepass.web.hashing_pool import Place, hashing
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import FormState, refused
from gatepass.web.pages.layout.navigation import TWO_FACTOR
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.widgets.qr import Picture, qr_code

_DONE = {"disabled": "Two-factor authentication is off."}
_SECRET_GROUP = 4

router = page_router()


@dataclass(frozen=True)
class Setup:
    """A secret that isn't in use yet: encrypted for the form, as text, and as a QR code."""

    encrypted: str
    secret: str
    picture: Picture


@router.get(TWO_FACTOR.path)
def show(screen: CurrentScreen, done: str = "") -> Response:
    """The second factor, or the form that sets one up."""
    return _page(screen, FormState(flash=_DONE.get(done, "")))


# Not resumable: every field is a secret.
@router.post(TWO_FACTOR.path)
async def send(screen: CurrentScreen, fields: Form) -> Response:
    """Carry out the pressed button's action."""
    action = _ACTIONS.get(fields.one("do"))
    if action is None:
        return see_other(TWO_FACTOR.path)
    try:
        return await hashing(Place.of_actor(screen.actor), partial(action, screen, fields))
    except InvalidInput as error:
        name = fields.one("do")
        problems = {f"{name}.{field}": sentence for field, sentence in error.errors}
        problems[""] = problems.get("enable.setup", "")
        state = FormState(422, problems)
    except (TooManyAttempts, Conflict, Busy) as error:
        state = refused(error)
    return await run_in_threadpool(_page, screen, state, fields.one("setup"))


def _enable(screen: Screen, fields: Fields) -> Response:
    made = totp_enrolment.enable(
        screen.node.reauthentication,
        screen.actor,
        setup=_bytes(fields.one("setup")),
        password=fields.one("current_password"),
        code=fields.one("code"),
    )
    return _codes(screen, made, first=True)


def _replace(screen: Screen, fields: Fields) -> Response:
    made = totp_enrolment.replace_recovery_codes(
        screen.node.reauthentication, screen.actor, code=fields.one("code")
    )
    return _codes(screen, made, first=False)


def _disable(screen: Screen, fields: Fields) -> Response:
    confirmed = totp_enrolment.disable(
        screen.node.reauthentication,
        screen.actor,
        password=fields.one("current_password"),
        code=fields.one("code"),
    )
    return see_other(f"{TWO_FACTOR.path}?done=disabled", confirmed=confirmed)


_ACTIONS = {"enable": _enable, "codes": _replace, "disable": _disable}


def _codes(screen: Screen, made: Committed[list[str]], *, first: bool) -> Response:
    return screen.render(
        "account/recovery_codes.html", unconfirmed=not made.confirmed, codes=made.made, first=first
    )


def _page(screen: Screen, state: FormState, setup: str = "") -> HTMLResponse:
    with screen.read() as reading:
        mine = account.get(reading, screen.actor)
    return screen.render_form(
        "account/two_factor.html",
        state,
        account=mine,
        setup=None if mine.second_factor else _setup(screen, setup),
    )


def _setup(screen: Screen, encrypted: str) -> Setup:
    """The secret of the submitted form, so that a mistyped code doesn't require another scan; a new
    secret if that one can't be read.

    Raises:
        Unavailable: there is no key to encrypt it with.
    """
    try:
        secret = totp_enrolment.secret_of(
            screen.node.reauthentication, screen.actor, _bytes(encrypted)
        )
    except InvalidInput:
        secret, fresh = totp_enrolment.begin(screen.node.reauthentication, screen.actor)
        encrypted = base64.urlsafe_b64encode(fresh).decode()
    groups = (secret[at : at + _SECRET_GROUP] for at in range(0, len(secret), _SECRET_GROUP))
    picture = qr_code(totp.provisioning_uri(secret, screen.visitor.email))
    return Setup(encrypted, " ".join(groups), picture)


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded.encode("ascii"), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""
