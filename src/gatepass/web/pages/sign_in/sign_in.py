"""/sign-in, /sign-out, and the redirect from / to the first page."""

from math import ceil
from typing import Annotated

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gatepass.core.decision import Decision, Reason
from gatepass.core.errors import Busy, GatepassError, SignInFailed, TooManyAttempts
from gatepass.node.node import Node
from gatepass.registry.authentication import sessions
from gatepass.web.caller import CurrentNode, NotAdmitted, admit, caller_of
from gatepass.web.cookies import clear_login_cookie, set_login_cookie
from gatepass.web.credentials import sign_in
from gatepass.web.pages.layout.after_change import is_unconfirmed, see_other
from gatepass.web.pages.layout.resuming import HOME, LONGEST_PATH, Kept, carried_by
from gatepass.web.pages.layout.screen import page_router
from gatepass.web.pages.layout.sign_in_form import sign_in_form
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import credential_of, visiting
from gatepass.web.pages.text.forms import Form
from gatepass.web.pages.text.wording import counted

_AGAIN = "Sign in here, then return to your other tab: your work there is kept."

router = page_router()


@router.get("/")
def home(request: Request) -> Response:
    """Redirect to the first page."""
    _decision(request)
    return see_other(HOME)


@router.get("/sign-in")
def show_sign_in(
    request: Request,
    node: CurrentNode,
    next: Annotated[str, Query()] = HOME,
    left: str = "",
    again: str = "",
) -> Response:
    """The form, or a redirect for a user who is already signed in. With *again*, the form in any
    case: the sign-in is about to end."""
    path = own_path(next)
    decision = _decision(request)
    if decision is not None and decision.allowed:
        if again:
            return sign_in_form(node, path, notice=_AGAIN)
        return see_other(path)
    notice = "You are signed out." if left else ""
    unconfirmed = is_unconfirmed(request)
    if decision is not None and not left:
        notice = "Your sign-in has ended. Sign in to continue."
    return sign_in_form(node, path, notice=notice, unconfirmed=unconfirmed)


@router.post("/sign-in")
async def send_sign_in(request: Request, node: CurrentNode, form: Form) -> Response:
    """Sign in. The answer to every failure is the same, so that it reveals nothing."""
    path, email, kept = own_path(form.one("next")), form.one("email").strip(), carried_by(form)
    try:
        made = await sign_in(request, email, form.one("password"), form.one("code"))
    except SignInFailed as error:
        return sign_in_form(node, path, 401, email=email, problem=error.message, kept=kept)
    except TooManyAttempts as error:
        minutes = counted(ceil(error.retry_after / 60), "minute")
        problem = f"Too many failed attempts. Try again in {minutes}."
        return sign_in_form(
            node, path, 429, email=email, problem=problem, kept=kept, retry_after=error.retry_after
        )
    except Busy as error:
        return sign_in_form(
            node,
            path,
            503,
            email=email,
            problem=error.message,
            kept=kept,
            retry_after=error.retry_after,
        )
    if kept is None:
        response: Response = see_other(path, confirmed=made.confirmed)
    else:
        user = made.authentication.user.id
        response = _resume(node, path, kept, user, confirmed=made.confirmed)
    set_login_cookie(response, node.settings, made.text, made.authentication.expires_at)
    return response


@router.post("/sign-in/resume")
async def resume(request: Request, node: CurrentNode, form: Form) -> Response:
    """Go on with the input that waited in the browser during a sign-in with the provider."""
    visitor = await run_in_threadpool(visiting, request)
    path, kept = own_path(form.one("next")), carried_by(form)
    if kept is None:
        return see_other(path)
    return _resume(node, path, kept, visitor.actor.user, confirmed=True)


@router.post("/sign-out")
def sign_out(request: Request, node: CurrentNode) -> Response:
    """End this sign-in, in the browser and on the server."""
    confirmed = True
    credential = credential_of(request)
    if not isinstance(credential, Reason):
        try:
            caller = caller_of(request, admit(request, credential))
            with node.database.write(node.clock.now()) as change:
                sessions.sign_out(change, caller.actor)
            confirmed = change.confirmed
        except NotAdmitted as refused:
            # An ended sign-in is signed out already; one refused for its address (403) is not.
            if refused.decision.status == 403:
                raise
        except GatepassError as error:
            # Clearing the cookie alone would leave a valid token that the user believes ended.
            if error.reason not in ("token_deactivated", "token_expired", "account_deactivated"):
                raise
    response = see_other("/sign-in?left=1", confirmed=confirmed)
    clear_login_cookie(response, node.settings)
    return response


def own_path(text: str) -> str:
    """*text* if it is a path on this server, else the first page.

    Prevents open redirects: browsers read ``//host``, ``/\\host`` and ``/<tab>/host`` as other
    hosts. Only printable ASCII is accepted, which is all that our paths need.
    """
    plain = text.isascii() and all(" " < character < "\x7f" for character in text)
    ours = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if plain and ours and len(text) <= LONGEST_PATH else HOME


def _resume(node: Node, path: str, kept: Kept, user: str | None, *, confirmed: bool) -> Response:
    """The page that posts the input back, if it is the user's own."""
    if kept.by != user:
        # Another user signed in on this browser: neither the input nor the page is theirs.
        return see_other(HOME, confirmed=confirmed)
    return render(
        "resume.html",
        visitor=None,
        now=node.clock.now(),
        unconfirmed=not confirmed,
        path=path,
        typed=kept.pairs,
    )


def _decision(request: Request) -> Decision | None:
    """The decision on the request's login token; None if it has none.

    Raises:
        NotAdmitted: the token is valid, but not from this address, from which no page opens.
    """
    credential = credential_of(request)
    if isinstance(credential, Reason):
        return None
    decision = admit(request, credential)
    if decision.status == 403:
        raise NotAdmitted(decision)
    return decision
