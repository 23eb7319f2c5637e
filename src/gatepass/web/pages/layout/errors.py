"""Error pages: what was refused, which rule refused it, and what the visitor can do.

Every page's route catches its own errors here (``PageRoute``), so that a browser never shows a
problem document; ``/v1`` and the rest of the application use ``web.problems``.
"""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
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
from gatepass.web.misconfiguration import Fault
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.compressed_pages import compressed
from gatepass.web.pages.layout.navigation import TWO_FACTOR
from gatepass.web.pages.layout.resuming import (
    is_secret,
    path_instead,
    path_of,
    path_that_opens,
    typed_by_visitor,
)
from gatepass.web.pages.layout.sign_in_form import sign_in_form
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.theme import use_theme_of
from gatepass.web.pages.layout.visitor import Visitor, address_text, credential_of, visiting
from gatepass.web.pages.text.forms import read_form
from gatepass.web.problems import Problem, problem_of_decision, problem_of_error, problem_of_status
from gatepass.web.public_origin import Elsewhere, is_loopback, opened_elsewhere
from gatepass.web.unhandled import log_unhandled

#: Reasons that mean that the visitor has to sign in.
_SIGNED_OUT = frozenset(
    ("token_missing", "token_invalid", "token_deactivated", "token_expired", "account_deactivated")
)
_HOME = ("Access Tokens", "/access-tokens")


@dataclass(frozen=True)
class Explained:
    """The texts of an error page.

    Attributes:
        what: what was refused or failed.
        rule: which rule refused it; remedy: what would allow it, and who to ask.
        ways: (name, path) of the links to offer.
        again: the fields of the form to offer sending again to ``path``, or None.
    """

    status: int
    reason: str
    title: str
    what: str
    rule: str = ""
    remedy: str = ""
    ways: tuple[tuple[str, str], ...] = (_HOME,)
    path: str = ""
    again: tuple[tuple[str, str], ...] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether the server failed, rather than the visitor."""
        return self.status >= 500

    @property
    def icon(self) -> str:
        """The drawing of the page."""
        return _ICONS.get(self.status, "again" if self.is_ours else "warning")


class PageRoute(APIRoute):
    """A route whose errors are pages. No other site can post to it, and ``do=resume`` changes
    nothing (see ``resuming``)."""

    #: Whether a form must come from one of our own pages.
    own_forms_only = True

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the endpoint, including the parsing of its parameters."""
        handle = super().get_route_handler()

        async def compressing(request: Request) -> Response:
            return await run_in_threadpool(self.compressed, request, await guarded(request))

        async def guarded(request: Request) -> Response:
            use_theme_of(request)
            try:
                reading = request.method in ("GET", "HEAD")
                if self.own_forms_only and not reading:
                    _require_own_form(request)
                if not reading:
                    await run_in_threadpool(_authenticate_sender, request)
                instead = await path_instead(request, self.endpoint)
                if instead is not None:
                    return see_other(instead)
                return await handle(request)
            except Exception as error:
                typed = await _typed(request)
                return await run_in_threadpool(self.error_page, request, error, typed)

        return compressing

    def compressed(self, request: Request, response: Response) -> Response:
        """*response*, compressed unless its length would tell a secret."""
        return compressed(request, response)

    def error_page(
        self, request: Request, error: Exception, typed: Sequence[tuple[str, str]]
    ) -> Response:
        """The page for *error*; *typed* are the fields of the submitted form."""
        return error_page(request, error, typed)


def _require_own_form(request: Request) -> None:
    elsewhere = opened_elsewhere(request, node_of(request).settings.public_url)
    refused = not same_site(request)
    # A loopback address is legitimate: the dashboard may be opened through a tunnel.
    if elsewhere is not None and (refused or not is_loopback(elsewhere.origin)):
        fault = Fault.form_from_elsewhere if refused else Fault.opened_elsewhere
        request.app.state.misconfigurations.note(fault, elsewhere.origin, elsewhere.expected)
    if refused:
        raise Forbidden("This request came from another site.", reason="cross_site")


def error_page(
    request: Request, error: Exception, typed: Sequence[tuple[str, str]] = ()
) -> Response:
    """The page for *error*, or the sign-in form if the visitor has to sign in.

    Args:
        typed: the fields of the submitted form, to be shown again after signing in.
    """
    use_theme_of(request)
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
    if problem.status == 503 and problem.reason != "outcome_unknown":
        explained = _with_another_try(request, explained, typed)
    response = render(
        "error.html", explained.status, visitor=visitor, now=_now(request), error=explained
    )
    for name, value in problem.more_headers:
        response.headers[name] = value
    return response


def _with_another_try(
    request: Request, explained: Explained, typed: Sequence[tuple[str, str]]
) -> Explained:
    """Offer the same page, or to send the same form; never one with a secret, which the page would
    then contain."""
    if request.method in ("GET", "HEAD"):
        ways = (("Try again", path_that_opens(request)), *explained.ways)
        return replace(explained, ways=ways)
    if not typed or any(is_secret(name) for name, _ in typed):
        return explained
    return replace(explained, path=path_of(request), again=tuple(typed))


def _authenticate_sender(request: Request) -> None:
    """Authenticate the sender before reading a form too large for unauthenticated senders."""
    if (
        int(request.headers.get("content-length", UNAUTHENTICATED_BODY_BYTES + 1))
        > UNAUTHENTICATED_BODY_BYTES
    ):
        with suppress(Unavailable):
            admit(request, credential_of(request))


async def _typed(request: Request) -> list[tuple[str, str]]:
    if request.method in ("GET", "HEAD"):
        return []
    try:
        fields = await read_form(request)
    except Exception:
        # The form can't be read, or the connection is gone: there is no input to keep.
        return []
    return fields.pairs


def _problem(error: Exception) -> Problem:
    if isinstance(error, NotAdmitted):
        return problem_of_decision(error.decision)
    if isinstance(error, GatepassError):
        return problem_of_error(error)
    if isinstance(error, RequestValidationError):
        # No page has this address.
        return problem_of_status(404)
    if isinstance(error, HTTPException):
        return problem_of_status(error.status_code, tuple((error.headers or {}).items()))
    log_unhandled(error)
    return problem_of_status(500)


def _sign_in_first(request: Request, typed: Sequence[tuple[str, str]]) -> Response:
    if request.method in ("GET", "HEAD"):
        path = quote(path_of(request), safe="/")
        return see_other(f"/sign-in?next={path}")
    kept = typed_by_visitor(request, typed)
    what = "Sign in to continue: your input is kept."
    if kept is None:
        what = "Sign in and start again."
    return sign_in_form(
        node_of(request),
        path_that_opens(request) if kept is None else path_of(request),
        401,
        notice=f"Not saved: your sign-in had ended. {what}",
        kept=kept,
    )


def _visitor(request: Request) -> Visitor | None:
    """The visitor; None if an error keeps us from identifying them."""
    try:
        return visiting(request)
    except (NotAdmitted, GatepassError):
        return None


def _explained(request: Request, problem: Problem, visitor: Visitor | None) -> Explained:
    status, reason = problem.status, problem.reason
    if reason in ("company_address_not_allowed", "address_not_allowed"):
        return _address_refused(problem, address_text(request))
    if reason == "permission_missing":
        return _not_permitted(problem, visitor)
    if reason == "signed_in_user_required":
        return Explained(
            status,
            reason,
            "Sign in to do this",
            "You sent this request with an access token.",
            "Access tokens can't make changes here, so a leaked one can't gain more access.",
            "Sign in with your e-mail address and password.",
            (("Sign in", "/sign-in"),),
        )
    if reason == "operator_required":
        return Explained(
            status,
            reason,
            "Operators only",
            problem.detail,
            "Operators manage the whole installation. No role includes that.",
            "Ask the people who run this Gatepass server to make you an operator.",
        )
    if reason == "oidc_required":
        return Explained(
            status,
            reason,
            "Passwords aren't accepted",
            problem.detail,
            "Only operators sign in here with a password.",
            "If you can't sign in, ask the people who run this Gatepass server.",
            (("Sign in", "/sign-in"),),
        )
    if reason == "cross_site":
        elsewhere = opened_elsewhere(request, node_of(request).settings.public_url)
        return _from_elsewhere(problem, elsewhere)
    title, what = _WORDS.get(status, ("Something went wrong", problem.detail))
    if status in (403, 409, 429, 503) and problem.detail:
        what = problem.detail
    ways = (_HOME,) if visitor else (("Sign in", "/sign-in"),)
    remedy = _REMEDIES.get(status, "")
    if reason == "outcome_unknown":
        remedy = "Don't reload this page, which would submit the form again. Check what was saved."
    return Explained(status, reason, title, what, remedy=remedy, ways=ways)


def _operators_email(problem: Problem) -> Explained:
    return Explained(
        problem.status,
        problem.reason,
        "An operator's e-mail address",
        problem.detail,
        "Password resets go to the e-mail address, so changing it could take over the account.",
        "They can change it in My account. If they can't sign in, the people who run this server "
        "can change it with “gatepass user email”.",
    )


def _from_elsewhere(problem: Problem, elsewhere: Elsewhere | None) -> Explained:
    status, reason = problem.status, problem.reason
    if elsewhere is not None and elsewhere.is_ours:
        return Explained(
            status,
            reason,
            "Opened at another address",
            f"You opened this dashboard at {elsewhere.origin}, but its address is "
            f"{elsewhere.expected}. Nothing was changed.",
            "Changes are accepted only from a page at the dashboard's own address.",
            f"Open {elsewhere.expected} and try again. If {elsewhere.origin} is right, ask the "
            "people who run this server to set GATEPASS_PUBLIC_URL to it.",
            (("Open the dashboard", "/"),),
        )
    remedy = "Open the dashboard and try again."
    if elsewhere is not None:
        # Don't show the address it came from: it may be an attacker's.
        remedy += (
            " If you were using the dashboard, you opened it at an address that Gatepass isn't "
            "configured for. Ask the people who run this server to set GATEPASS_PUBLIC_URL; its "
            "log names both addresses."
        )
    return Explained(
        status,
        reason,
        "Request from another site",
        "A page outside this dashboard tried to make a change in your name. Nothing was changed.",
        "Changes are accepted only from the dashboard itself.",
        remedy,
        (("Open the dashboard", "/"),),
    )


def _address_refused(problem: Problem, address: str | None) -> Explained:
    if address is None:
        rule = "Your IP address couldn't be determined, so it matches no listed network."
        remedy = "Ask the people who run this server to correct the proxy's X-Forwarded-For header."
    else:
        rule = f"Your company allows only listed IP addresses, and {address} isn't one of them."
        remedy = (
            "Use a listed address, or ask an administrator of your company to add this one. If no "
            "one can get in, the people who run this server can remove the list with “gatepass "
            "allowlist clear”."
        )
    return Explained(
        problem.status,
        problem.reason,
        "Address not allowed",
        "You are signed in, but this account can't be reached from your address.",
        rule,
        remedy,
        (("Try again", "/"),),
    )


def _not_permitted(problem: Problem, visitor: Visitor | None) -> Explained:
    needed = problem.scope or "a permission you don't have"
    if visitor is None:
        return Explained(problem.status, problem.reason, "Not permitted", problem.detail)
    return Explained(
        problem.status,
        problem.reason,
        "Your role doesn't allow this",
        problem.detail,
        f"Your role, {isolated(visitor.role_name)}, doesn't include {needed}.",
        f"Ask an administrator of {isolated(visitor.company_name)} for a role that does.",
    )


def _now(request: Request) -> int:
    return node_of(request).clock.now()


_WORDS = {
    400: ("Bad request", "The form couldn't be read."),
    403: ("Not allowed", ""),
    404: (
        "Page not found",
        "It doesn't exist, or it belongs to another company.",
    ),
    405: ("Method not allowed", "This address doesn't support that request."),
    409: ("Not possible now", ""),
    410: ("This link is broken", "It was already used, was replaced, or has expired."),
    408: ("Request timed out", "Your request didn't arrive within 15 seconds."),
    413: (
        "Form too large",
        "A form must be at most 1 MiB, or 16 KiB while you are signed out.",
    ),
    415: ("Bad request", "The form couldn't be read."),
    422: ("Invalid input", "The form has invalid fields."),
    429: ("Too many attempts", "Wait a moment, then try again."),
    500: (
        "Something went wrong on our side",
        "The error was logged. Your change may not have been saved: check before you repeat it.",
    ),
    503: ("Temporarily unavailable", "The server can't answer right now."),
}
_ICONS = {403: "lock", 404: "search", 410: "unlinked", 429: "clock"}
_REMEDIES = {
    503: "Wait a few seconds, then try again. No change was partly saved.",
    500: "If it happens again, report the time to the people who run this server.",
}
