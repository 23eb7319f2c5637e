"""What a page's form sent.

Every form sends what its button is for as ``do``: ``do=save``. One value is the same for all:
``do=resume`` comes from someone whose sign-in had ended when they pressed a button, and who has
signed in again. It shows the form with what was typed, and does nothing. An endpoint that can do so
is marked ``@resumable``; see ``resuming``, also for the names of fields that are never carried
along.
"""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

#: The largest form has 500 networks, 100 domains and 200 permissions.
_MOST_FIELDS = 5_000
_MEDIA_TYPE = "application/x-www-form-urlencoded"
#: The value of ``do`` that shows the form again as it was typed.
RESUME = "resume"


class Fields:
    """The fields of a form, in order; a name may be there many times."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def one(self, name: str) -> str:
        """The first value of *name*; "" if there is none."""
        return next((value for key, value in self.pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """All values of *name*."""
        return [value for key, value in self.pairs if key == name]


async def read_form(request: Request) -> Fields:
    """The fields of *request*'s body.

    Raises:
        HTTPException: it is no form (415), or can't be read (400).
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if body and media_type != _MEDIA_TYPE:
        raise HTTPException(415)
    try:
        return Fields(
            parse_qsl(
                body.decode("ascii"),
                keep_blank_values=True,
                max_num_fields=_MOST_FIELDS,
                errors="strict",
            )
        )
    except ValueError:
        # Too many fields, bytes that a browser escapes, or escapes that are not UTF-8.
        raise HTTPException(400) from None


#: The form of the request.
Form = Annotated[Fields, Depends(read_form)]
