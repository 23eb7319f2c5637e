"""The sign-in form: at /sign-in, and in answer to a form submitted too late."""

from starlette.responses import HTMLResponse

from gatepass.node.node import Node
from gatepass.web.pages.layout.resuming import Kept
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.text.wording import duration


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
    retry_after: int = 0,
) -> HTMLResponse:
    """The form.

    Args:
        path: the page to open after signing in.
        problem, notice: an error and other information, or "".
        kept: the input of a form submitted after the sign-in ended.
        unconfirmed: whether this node hasn't applied a sign-out yet.
        retry_after: when to submit it again, in seconds; 0 for any time.
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
        provider=node.provider and node.provider.name,
        required=node.settings.oidc_required,
        lifetime=duration(node.settings.login_lifetime),
    )
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="gatepass"'
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    return response
