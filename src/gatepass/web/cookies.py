"""The dashboard's cookie, and when a request that carries it may be believed.

A browser sends the cookie along whoever made it send the request. So that another site can't act
for a person who is signed in (cross-site request forgery), the cookie counts only for requests
that the browser itself marks as coming from here.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from gatepass.core.credentials import LOGIN_TOKEN
from gatepass.settings import Settings
from gatepass.web.own_address import origin_of

# What Sec-Fetch-Site says where no other site had a hand in the request. `same-site` is another
# host of the same domain: good enough for JSON, which needs a preflight, and not for plain forms.
_API_SITES = frozenset(("same-origin", "same-site", "none"))
_PAGE_SITES = frozenset(("same-origin", "none"))
_REMEMBERED_S = 24 * 3600


def cookie_name(settings: Settings) -> str:
    """``__Host-`` (https only) has the browser refuse a cookie that a neighbouring host planted."""
    return "__Host-gatepass" if settings.is_https else "gatepass"


def set_login_cookie(response: Response, settings: Settings, text: str, expires_at: int) -> None:
    """Hand the browser a login token. *expires_at* is the token's, in milliseconds.

    The cookie outlives it by a day. The token opens nothing any more by then; it tells whose form
    it was that is sent after the sign-in has ended, and so to whom what was typed may be shown.
    """
    response.set_cookie(
        cookie_name(settings),
        text,
        expires=datetime.fromtimestamp(expires_at // 1000 + _REMEMBERED_S, UTC),
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="lax",
    )


def clear_login_cookie(response: Response, settings: Settings) -> None:
    """Have the browser forget its login token."""
    response.delete_cookie(
        cookie_name(settings), path="/", secure=settings.is_https, httponly=True, samesite="lax"
    )


def login_cookie(request: Request) -> str | None:
    """The login token the browser sent, or None.

    Two cookies of the name that differ are none: one of them was planted, and nobody can tell
    which. Nor is an access token, which has no business in a cookie.
    """
    name = cookie_name(_settings(request))
    pairs = (
        pair.strip(" \t").partition("=")
        for line in request.headers.getlist("cookie")
        for pair in line.split(";")
    )
    values = {value.strip(" \t") for found, _, value in pairs if found.strip(" \t") == name}
    value = values.pop() if len(values) == 1 else ""
    return value if value.startswith(f"{LOGIN_TOKEN}_") else None


def same_site(request: Request) -> bool:
    """Whether a page may believe the request's cookie: it comes from our own origin, from the
    person (a bookmark, the address bar), or from something that is no browser."""
    return _comes_from(request, _PAGE_SITES, _settings(request).public_url)


def cookie_counts(request: Request) -> bool:
    """Whether ``/v1`` may believe the request's cookie.

    Other than for reading, the body's type must be ``application/json``, even without a body: a
    foreign form can't say that, and a foreign script only after a preflight that is refused.
    """
    if not _comes_from(request, _API_SITES, _settings(request).public_url):
        return False
    return request.method in ("GET", "HEAD") or is_json(request)


def is_json(request: Request) -> bool:
    """Whether the request says, once and clearly, that its body is JSON in UTF-8."""
    lines = request.headers.getlist("content-type")
    if len(lines) != 1:
        return False
    media_type, _, parameters = lines[0].partition(";")
    charset = parameters.strip(" \t").lower().replace('"', "")
    return media_type.strip(" \t").lower() == "application/json" and charset in (
        "",
        "charset=utf-8",
    )


def _comes_from(request: Request, sites: frozenset[str], public_url: str) -> bool:
    said = request.headers.getlist("sec-fetch-site")
    if said:
        return len(said) == 1 and said[0] in sites
    # Browsers leave Sec-Fetch-Site out on plain http beyond localhost; Origin they still send.
    origins = request.headers.getlist("origin")
    return not origins or origins == [origin_of(public_url)]


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.node.settings
    return settings
