"""Which pages are compressed, and which are not because their length would tell a secret.

The length of a compressed page says whether two of its parts are alike. If an attacker can have
pages sent that contain both a secret and a text of theirs, and see their lengths on the network,
they guess the secret character by character (BREACH). So a page is compressed only

* if it answers a GET: what another site could post is refused before;
* if no other site caused the request, so nobody else chose its query;
* if it has no secret: an element that shows one is marked with ``data-secret``. Pages of mailed
  links, whose address is one, are left as they are by their route.

No page has a secret that would stay the same on every page: requests across sites are refused by
what browsers say of them, not by a token in each form.
"""

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gatepass.web.compression import CODING, QUICK, VARY, accepts_gzip, gzipped
from gatepass.web.cookies import same_site

#: The attribute of an element that shows a secret.
SECRET = b"data-secret"
#: Shorter pages fit into one packet as they are.
_LEAST_BYTES = 1_000


def compressed(request: Request, response: Response) -> Response:
    """*response*, compressed if the client accepts that and the length tells nothing."""
    if not _compressible(request, response):
        return response
    response.headers.add_vary_header(VARY)
    if accepts_gzip(request.headers.getlist("accept-encoding")):
        response.body = gzipped(bytes(response.body), level=QUICK)
        response.headers["Content-Encoding"] = CODING
        response.headers["Content-Length"] = str(len(response.body))
    return response


def _compressible(request: Request, response: Response) -> bool:
    return (
        isinstance(response, HTMLResponse)
        and request.method in ("GET", "HEAD")
        and len(response.body) >= _LEAST_BYTES
        and same_site(request)
        and SECRET not in bytes(response.body)
    )
