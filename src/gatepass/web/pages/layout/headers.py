"""The headers every page carries: what the browser may run, show, keep and tell others."""

from starlette.responses import Response

# Nothing inline and nothing from elsewhere: text that slips into a page can't become code, a page
# can't be framed (clickjacking), and a form can't be turned to another site.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
    )
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # For browsers that don't know frame-ancestors.
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Neither a shared computer's cache nor the back button shows what was on a page.
    "Cache-Control": "no-store",
}


def security_headers(response: Response) -> Response:
    """Add them to *response*, and return it."""
    for name, value in PAGE_HEADERS.items():
        response.headers[name] = value
    return response
