"""Bodies of the type ``application/x-www-form-urlencoded``, which OAuth and OIDC use."""

from urllib.parse import parse_qsl

from fastapi import Request
from starlette.exceptions import HTTPException

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20


async def read_form(request: Request) -> list[tuple[str, str]]:
    """The fields of a form, in order; none if it can't be parsed.

    Raises:
        HTTPException: the body isn't a form (415).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _FORM:
        raise HTTPException(415)
    try:
        text = (await request.body()).decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []
