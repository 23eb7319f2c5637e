"""/account/sign-in-provider: link one's account to the OIDC provider, or unlink it."""

from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, TooManyAttempts, Unavailable
from gatepass.registry.authentication import identities
from gatepass.registry.membership import account
from gatepass.web import provider_flow
from gatepass.web.hashing_pool import Place, hashing
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import FormState, refused
from gatepass.web.pages.layout.navigation import IDENTITY
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form

if TYPE_CHECKING:
    # Most installations have no provider, and start faster without the HTTP client.
    from gatepass.oidc.provider import Provider

_DONE = {
    "linked": "Linked. You can sign in with {} from now on.",
    "unlinked": "Unlinked. You can no longer sign in with {}, and your other sign-ins with it have "
    "ended.",
}
_FAILED = {
    "refused": "Not linked: {} didn't confirm your account. Try again.",
    "unavailable": "Not linked: {} can't be reached right now. Try again in a minute.",
    "taken": "Not linked: another user of this Gatepass is linked to that account at {}.",
}

router = page_router()


@router.get(IDENTITY.path)
def show(screen: CurrentScreen, done: str = "", failed: str = "") -> Response:
    """The link, or the form that makes one."""
    name = _provider(screen).name
    problem = _FAILED.get(failed, "").format(name)
    state = FormState(200, {"": problem}, flash=_DONE.get(done, "").format(name))
    return _page(screen, state)


# Not resumable: every field is a secret.
@router.post(IDENTITY.path)
async def send(screen: CurrentScreen, fields: Form) -> Response:
    """Re-authenticate; then go on to the provider, or unlink."""
    action = {"link": _link, "unlink": _unlink}.get(fields.one("do"))
    if action is None:
        return see_other(IDENTITY.path)
    try:
        return await action(screen, fields)
    except (InvalidInput, TooManyAttempts, Conflict, Unavailable) as error:
        return await run_in_threadpool(_page, screen, refused(error))


async def _link(screen: Screen, fields: Fields) -> Response:
    """A page that leads to the provider: a form may not be redirected to another site."""
    reauthenticate = partial(
        identities.reauthenticate,
        screen.node.reauthentication,
        screen.actor,
        password=fields.one("current_password"),
        code=fields.one("code"),
    )
    await hashing(Place.of_actor(screen.actor), reauthenticate)
    provider = _provider(screen)
    begun = await provider_flow.begin(
        screen.node, provider, IDENTITY.path, screen.actor.credential or ""
    )
    response = screen.render("account/identity_leave.html", url=begun.url, provider=provider.name)
    begun.keep(response, screen.node.settings)
    return response


async def _unlink(screen: Screen, fields: Fields) -> Response:
    unlink = partial(
        identities.unlink,
        screen.node.reauthentication,
        screen.actor,
        password=fields.one("current_password"),
        code=fields.one("code"),
        required=screen.node.settings.oidc_required,
    )
    unlinked = await hashing(Place.of_actor(screen.actor), unlink)
    return see_other(f"{IDENTITY.path}?done=unlinked", confirmed=unlinked.confirmed)


def _page(screen: Screen, state: FormState) -> HTMLResponse:
    provider = _provider(screen)
    with screen.read() as reading:
        mine = account.get(reading, screen.actor)
        identity = identities.of_user(reading, mine.id)
        has_password = identities.has_password(reading, mine.id)
    return screen.render_form(
        "account/identity.html",
        state,
        account=mine,
        provider=provider.name,
        # A link to another issuer, which was configured before, doesn't sign anyone in.
        identity=identity if identity and identity.issuer == provider.issuer else None,
        has_password=has_password,
    )


def _provider(screen: Screen) -> "Provider":
    if screen.node.provider is None:
        raise HTTPException(404)
    return screen.node.provider
