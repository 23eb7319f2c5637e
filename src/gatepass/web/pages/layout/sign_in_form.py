"""The sign-in form, wherever it is shown: at /sign-in, and in place of what came too late."""

from starlette.responses import HTMLResponse

from gatepass.node.node import Node
from gatepass.web.pages.layout.resuming import Kept
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.text.wording import counted


def sign_in_form(
    node: Node,
    path: str,
    status: int = 200,
    *,
    email: str = "",
    problem: str = "",
    notice: str = "",
    kept: Kept | None = None,
    unconfirmed: bool = False,
) -> HTMLResponse:
    """The form.

    Args:
        path: where to go on after signing in.
        problem, notice: what went wrong, or is to be known; "" if nothing.
        kept: what was typed into a form before the sign-in ended.
        unconfirmed: the sign-in that was ended here is not known to be so at this node yet.
    """
    response = render(
        "sign_in.html",
        status,
        visitor=None,
        now=node.clock.now(),
        next=path,
        email=email,
        problem=problem,
        notice=notice,
        kept=kept,
        unconfirmed=unconfirmed,
        lifetime=_lifetime(node.settings.login_lifetime),
    )
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="gatepass"'
    return response


def _lifetime(seconds: int) -> str:
    for length, word in ((3600, "hour"), (60, "minute")):
        if seconds % length == 0:
            return counted(seconds // length, word)
    return counted(seconds, "second")
