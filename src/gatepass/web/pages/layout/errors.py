"""What went wrong, as a page: what was asked, which rule refused it, what would allow it.

Every page's route catches its own errors here (``PageRoute``), so that a person never meets a
problem document; ``/v1`` and the rest of the application have ``web.problems``.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gatepass.core.display_text import isolated
from gatepass.core.errors import Forbidden, GatepassError, OperatorEmailForbidden, Unavailable
from gatepass.web.body_limits import UNAUTHENTICATED_BODY_BYTES
from gatepass.web.caller import NotAdmitted, admit, node_of
from gatepass.web.cookies import same_site
from gatepass.web.http_boundary import log_unhandled
from gatepass.web.misconfiguration import Fault
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.navigation import TWO_FACTOR
from gatepass.web.pages.layout.resuming import opens_instead, path_of, path_that_opens, typed_into
from gatepass.web.pages.layout.sign_in_form import sign_in_form
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visitor, address_text, presented, visiting
from gatepass.web.pages.text.forms import read_form
from gatepass.web.problems import Problem, problem_of_decision, problem_of_error, problem_of_status
from gatepass.web.public_origin import Elsewhere, is_loopback, opened_elsewhere

#: Reasons that mean "nobody is signed in (any more)": a sign-in would help.
_SIGNED_OUT = frozenset(
    ("token_missing", "token_invalid", "token_deactivated", "token_expired", "account_deactivated")
)
_HOME = ("Access Tokens", "/access-tokens")


@dataclass(frozen=True)
class Explained:
    """An error page's words.

    Attributes:
        what: what was asked, or happened.
        rule: which rule refused it; remedy: what would allow it, and whom to ask.
        ways: (name, path) of where to go from here.
    """

    status: int
    reason: str
    title: str
    what: str
    rule: str = ""
    remedy: str = ""
    ways: tuple[tuple[str, str], ...] = (_HOME,)


class PageRoute(APIRoute):
    """A route whose errors are pages, which no other site can post to, and which does nothing for
    ``do=resume`` (see ``resuming``)."""

    #: Whether a form must come from one of our own pages.
    own_forms_only = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint, its parameters included."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                reading = request.method in ("GET", "HEAD")
                if self.own_forms_only and not reading:
                    _require_own_form(request)
                if not reading:
                    await run_in_threadpool(_look_at_sender, request)
                instead = await opens_instead(request, self.endpoint)
                if instead is not None:
                    return see_other(instead)
                return await handle(request)
            except Exception as error:
                typed = await _typed(request)
                return await run_in_threadpool(error_page, request, error, typed)

        return guarded


def _require_own_form(request: Request) -> None:
    elsewhere = opened_elsewhere(request, node_of(request).settings.public_url)
    refused = not same_site(request)
    # At a loopback address it may be open by the way, through a tunnel.
    if elsewhere is not None and (refused or not is_loopback(elsewhere.origin)):
        fault = Fault.form_from_elsewhere if refused else Fault.opened_elsewhere
        request.app.state.misconfigurations.note(fault, elsewhere.origin, elsewhere.expected)
    if refused:
        raise Forbidden("This came from another site.", reason="cross_site")


def error_page(
    request: Request, error: Exception, typed: Sequence[tuple[str, str]] = ()
) -> Response:
    """The page for *error*; for someone who isn't signed in, the way to the sign-in form.

    Args:
        typed: the fields of the form that was sent, to be shown again after signing in.
    """
    problem = _problem(error)
    if problem.reason in _SIGNED_OUT and problem.status in (401, 403):
        return _sign_in_first(request, typed)
    if problem.reason == "second_factor_required" and problem.status == 403:
        return see_other(TWO_FACTOR.path)
    visitor = None if problem.reason == "cross_site" else _visitor(request)
    if isinstance(error, OperatorEmailForbidden):
        explained = _operators_email(problem)
    else:
        explained = _explained(request, problem, visitor)
    response = render(
        "error.html", explained.status, visitor=visitor, now=_now(request), error=explained
    )
    for name, value in problem.more_headers:
        response.headers[name] = value
    return response


def _look_at_sender(request: Request) -> None:
    """See whether it is someone we know, whose form may be a large one, before it is read."""
    if (
        int(request.headers.get("content-length", UNAUTHENTICATED_BODY_BYTES + 1))
        > UNAUTHENTICATED_BODY_BYTES
    ):
        with suppress(Unavailable):
            admit(request, presented(request))


async def _typed(request: Request) -> list[tuple[str, str]]:
    if request.method in ("GET", "HEAD"):
        return []
    try:
        fields = await read_form(request)
    except Exception:
        # It is what went wrong, or the connection is gone: there is nothing to keep.
        return []
    return fields.pairs


def _problem(error: Exception) -> Problem:
    if isinstance(error, NotAdmitted):
        return problem_of_decision(error.decision)
    if isinstance(error, GatepassError):
        return problem_of_error(error)
    if isinstance(error, RequestValidationError):
        # An address that none of our pages has.
        return problem_of_status(404)
    if isinstance(error, HTTPException):
        return problem_of_status(error.status_code, tuple((error.headers or {}).items()))
    log_unhandled(error)
    return problem_of_status(500)


def _sign_in_first(request: Request, typed: Sequence[tuple[str, str]]) -> Response:
    if request.method in ("GET", "HEAD"):
        path = quote(path_of(request), safe="/")
        return see_other(f"/sign-in?next={path}")
    kept = typed_into(request, typed)
    what = "What you typed is there again once you have signed in."
    if kept is None:
        what = "Sign in to begin anew."
    return sign_in_form(
        node_of(request),
        path_that_opens(request) if kept is None else path_of(request),
        401,
        notice=f"You were signed out before this was saved, and nothing was changed. {what}",
        kept=kept,
    )


def _visitor(request: Request) -> Visitor | None:
    """Whoever looks, if that can be told while things go wrong."""
    try:
        return visiting(request)
    except (NotAdmitted, GatepassError):
        return None


def _explained(request: Request, problem: Problem, visitor: Visitor | None) -> Explained:
    status, reason = problem.status, problem.reason
    if reason in ("company_address_not_allowed", "address_not_allowed"):
        return _shut_out(problem, address_text(request))
    if reason == "permission_missing":
        return _not_permitted(problem, visitor)
    if reason == "signed_in_user_required":
        return Explained(
            status,
            reason,
            "This needs a person",
            "You asked for it with an access token.",
            "A token that leaked must not be able to make others, or to widen what it may do.",
            "Sign in with your e-mail address and password, and do it there.",
            (("Sign in", "/sign-in"),),
        )
    if reason == "operator_required":
        return Explained(
            status,
            reason,
            "For operators",
            problem.detail,
            "Operators look after the whole installation; no role of a company includes that.",
            "Whoever runs this Gatepass names operators on the server, with the command line.",
        )
    if reason == "cross_site":
        elsewhere = opened_elsewhere(request, node_of(request).settings.public_url)
        return _from_elsewhere(problem, elsewhere)
    title, what = _WORDS.get(status, ("That didn't work", problem.detail))
    if status in (403, 409, 429, 503) and problem.detail:
        what = problem.detail
    ways = (_HOME,) if visitor else (("Sign in", "/sign-in"),)
    remedy = _REMEDIES.get(status, "")
    if reason == "outcome_unknown":
        remedy = "Don't reload this page, which would send the form again. Open the page it was on."
    return Explained(status, reason, title, what, remedy=remedy, ways=ways)


def _operators_email(problem: Problem) -> Explained:
    return Explained(
        problem.status,
        problem.reason,
        "An operator's e-mail address",
        problem.detail,
        "Password resets go to the e-mail address, so changing it could take over the account.",
        "They can change it themselves in My account. If they can't sign in, an administrator of "
        "the server can change it with “gatepass user email”.",
    )


def _from_elsewhere(problem: Problem, elsewhere: Elsewhere | None) -> Explained:
    status, reason = problem.status, problem.reason
    if elsewhere is not None and elsewhere.is_ours:
        return Explained(
            status,
            reason,
            "Opened at another address",
            f"This dashboard was opened at {elsewhere.origin}, and its address is "
            f"{elsewhere.expected}. Nothing was changed.",
            "Changes count only when they are sent from a page at its own address.",
            f"Open {elsewhere.expected} and do it there. If {elsewhere.origin} is right, whoever "
            "runs this Gatepass must set GATEPASS_PUBLIC_URL to it.",
            (("Open the dashboard", "/"),),
        )
    remedy = "Open the dashboard and do it there."
    if elsewhere is not None:
        # Which address it came from is not told: it may be a trap's.
        remedy += (
            " If you were using the dashboard, you opened it at an address that Gatepass isn't "
            "configured for. Ask its administrator to set GATEPASS_PUBLIC_URL; the log names both "
            "addresses."
        )
    return Explained(
        status,
        reason,
        "This came from another site",
        "A page that isn't part of this Gatepass asked for a change in your name. Nothing was "
        "changed.",
        "Changes count only when they are sent from the dashboard itself.",
        remedy,
        (("Open the dashboard", "/"),),
    )


def _shut_out(problem: Problem, address: str | None) -> Explained:
    if address is None:
        rule = "What your network says about where you are can't be read, so it counts as nowhere."
        remedy = "Whoever runs the proxy in front of Gatepass can correct its X-Forwarded-For."
    else:
        rule = f"Your company admits listed IP addresses only, and {address} is not among them."
        remedy = (
            "Come from an address that is listed, or ask an administrator of your company to list "
            "this one. If nobody can get in any more, whoever runs this Gatepass can lift the "
            "list on the server with “gatepass allowlist clear”."
        )
    return Explained(
        problem.status,
        problem.reason,
        "Not from here",
        "Your sign-in is good, but this account can't be reached from where you are.",
        rule,
        remedy,
        (("Try again", "/"),),
    )


def _not_permitted(problem: Problem, visitor: Visitor | None) -> Explained:
    needed = problem.scope or "a permission you don't hold"
    if visitor is None:
        return Explained(problem.status, problem.reason, "Not permitted", problem.detail)
    return Explained(
        problem.status,
        problem.reason,
        "Your role doesn't allow this",
        problem.detail,
        f"It needs {needed}, and your role, {isolated(visitor.role_name)}, doesn't hold that.",
        f"An administrator of {isolated(visitor.company_name)} can give you a role that does.",
    )


def _now(request: Request) -> int:
    return node_of(request).clock.now()


_WORDS = {
    400: ("That request can't be read", "What your browser sent is not a form of ours."),
    403: ("Not allowed", ""),
    404: (
        "There is nothing here",
        "It doesn't exist, or belongs to another company: from outside the two look the same.",
    ),
    405: ("Not this way", "This address can't be used like that."),
    409: ("That can't be done now", ""),
    410: ("This link is broken", "It was used already, has been replaced, or is too old."),
    408: ("That took too long", "What your browser sent didn't arrive within 15 seconds."),
    413: (
        "That is too much",
        "A form must be at most 1 MiB large, and 16 KiB while you are signed out.",
    ),
    415: ("That request can't be read", "What your browser sent is not a form of ours."),
    422: ("That can't be accepted", "What was sent can't be accepted as it stands."),
    429: ("Too many attempts", "Wait a little, then try again."),
    500: (
        "Something went wrong on our side",
        "It has been logged. What you did may not have been done: look before you repeat it.",
    ),
    503: ("Not right now", "This can't be answered at the moment."),
}
_REMEDIES = {
    503: "Usually seconds are enough. Load the page again; nothing was half done.",
    500: "If it happens again, tell whoever runs this Gatepass when it was.",
}
