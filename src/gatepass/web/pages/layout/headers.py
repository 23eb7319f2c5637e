"""The security headers of every page."""

from collections.abc import Sequence

from starlette.responses import Response

# No inline code and no other origin: injected text can't run (XSS), and forms can't be redirected
# to another site.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
    )
)
# Pages can't be framed (clickjacking).
CONTENT_SECURITY_POLICY = f"{_POLICY}; frame-ancestors 'none'"
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # For browsers that don't know frame-ancestors.
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # On a shared computer, neither the cache nor the back button shows an earlier page.
    "Cache-Control": "no-store",
}


def security_headers(response: Response) -> Response:
    """Add the headers to *response*, and return it."""
    for name, value in PAGE_HEADERS.items():
        response.headers[name] = value
    return response


def allow_framing(response: Response, origins: Sequence[str]) -> Response:
    """Let pages of *origins*, if there are any, frame the page *response*; and return it."""
    if origins:
        ancestors = " ".join(origins)
        response.headers["Content-Security-Policy"] = f"{_POLICY}; frame-ancestors {ancestors}"
        # It can't name origins.
        del response.headers["X-Frame-Options"]
    return response
