"""The dashboard's login cookie, and its protection against cross-site request forgery (CSRF).

A browser sends the cookie with any request to us, also one that another site's page caused. So that
such a page can't act for a signed-in user, the cookie counts only for requests that the browser
itself marks as same-site.
"""

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from gatepass.core.credentials import LOGIN_TOKEN
from gatepass.settings import Settings
from gatepass.web.public_origin import origin_of

# Values of Sec-Fetch-Site for requests that no other site caused. `same-site` is another host of
# the same domain: it is accepted for reading by navigation, and not for plain forms.
_API_SITES = frozenset(("same-origin", "same-site", "none"))
_PAGE_SITES = frozenset(("same-origin", "none"))
_REMEMBERED_S = 24 * 3600


def cookie_name(settings: Settings) -> str:
    """The cookie's name. With ``__Host-`` (https only) browsers refuse one of a sibling host."""
    return "__Host-gatepass" if settings.is_https else "gatepass"


def set_login_cookie(response: Response, settings: Settings, text: str, expires_at: int) -> None:
    """Set the login token *text*, which expires at *expires_at* (Unix ms), as the cookie.

    The cookie lives a day longer. The expired token permits nothing, but identifies the user of a
    form that is sent after the sign-in expired, so that only this user sees the typed text again.
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
    """Delete the login cookie."""
    response.delete_cookie(
        cookie_name(settings), path="/", secure=settings.is_https, httponly=True, samesite="lax"
    )


def login_cookie(request: Request) -> str | None:
    """The request's login token, or None.

    Two different cookies of the name count as none: an attacker planted one, and nobody can tell
    which. An access token isn't accepted in a cookie.
    """
    value = _only(request, cookie_name(_settings(request)))
    return value if value.startswith(f"{LOGIN_TOKEN}_") else None


def provider_cookie(request: Request) -> str:
    """The encrypted state of a sign-in with the OIDC provider; "" without one, or with two."""
    return _only(request, _provider_cookie_name(_settings(request)))


def set_provider_cookie(response: Response, settings: Settings, text: str, lifetime_s: int) -> None:
    """Set the state of a sign-in with the provider for *lifetime_s* seconds.

    Lax, because the provider's answer is a navigation from another site.
    """
    response.set_cookie(
        _provider_cookie_name(settings),
        text,
        max_age=lifetime_s,
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="lax",
    )


def clear_provider_cookie(response: Response, settings: Settings) -> None:
    """Delete the state of a sign-in with the provider."""
    response.delete_cookie(
        _provider_cookie_name(settings),
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="lax",
    )


def _provider_cookie_name(settings: Settings) -> str:
    return f"{cookie_name(settings)}-oidc"


def _only(request: Request, name: str) -> str:
    """The value of the cookie *name*; "" if there is none, or two different ones."""
    pairs = (
        pair.strip(" \t").partition("=")
        for line in request.headers.getlist("cookie")
        for pair in line.split(";")
    )
    values = {value.strip(" \t") for found, _, value in pairs if found.strip(" \t") == name}
    return values.pop() if len(values) == 1 else ""


def same_site(request: Request) -> bool:
    """Whether pages accept the request's cookie.

    They do if the request comes from our own origin, from the user (a bookmark, the address bar),
    or from a client that is no browser.
    """
    return _comes_from(request, _PAGE_SITES, _settings(request).public_url)


def cookie_counts(request: Request) -> bool:
    """Whether ``/v1`` accepts the request's cookie.

    Except for GET and HEAD, the content type must be ``application/json``, even without a body:
    another site's form can't send that, and its script only after a preflight, which allows no
    cookies. Nor does it count with the Origin of another page, which may be a sibling host's.
    """
    public_url = _settings(request).public_url
    own_page = request.headers.getlist("origin") in ([], [origin_of(public_url)])
    if not own_page or not _comes_from(request, _API_SITES, public_url):
        return False
    return request.method in ("GET", "HEAD") or is_json(request)


def is_json(request: Request) -> bool:
    """Whether the request has exactly one Content-Type, and it is JSON in UTF-8."""
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
    # On plain http, except at localhost, browsers omit Sec-Fetch-Site, but still send Origin.
    origins = request.headers.getlist("origin")
    return not origins or origins == [origin_of(public_url)]


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.node.settings
    return settings
