"""The dashboard's appearance, light or dark, as the visitor chose it for this browser.

It is kept in a cookie, because the sign-in form and error pages have it too, without a visitor.
Pages are rendered in many places, so it is a context variable, set once for each request.
"""

from contextvars import ContextVar

from fastapi import Request, Response

from gatepass.settings import Settings

#: What a visitor may choose; "" follows the system.
THEMES = {"": "System", "light": "Light", "dark": "Dark"}

_COOKIE = "gatepass-theme"
_YEAR_S = 365 * 24 * 3600
_theme: ContextVar[str] = ContextVar("theme", default="")


def use_theme_of(request: Request) -> None:
    """Let the pages that answer *request* have the appearance that its cookie names."""
    named = request.cookies.get(_COOKIE, "")
    _theme.set(named if named in THEMES else "")


def theme() -> str:
    """One of ``THEMES``, for the page that is being rendered."""
    return _theme.get()


def keep_theme(response: Response, settings: Settings, name: str) -> None:
    """Keep *name*, one of ``THEMES``, for a year; "" deletes the cookie."""
    response.set_cookie(
        _COOKIE,
        name,
        max_age=_YEAR_S if name else 0,
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="lax",
    )
