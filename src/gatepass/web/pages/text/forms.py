"""The fields of a submitted form.

Every form sends the pressed button's action as ``do``: ``do=save``. One value is common to all:
``do=resume`` comes from a user whose sign-in had ended when they pressed a button, and who has
signed in again. It shows the form with its input, and changes nothing. Endpoints that support it
are marked ``@resumable``; see ``resuming``, also for the fields that are never carried along.
"""

from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

#: The largest form has 500 networks, 100 domains and 200 permissions.
_MOST_FIELDS = 5_000
_MEDIA_TYPE = "application/x-www-form-urlencoded"
#: The value of ``do`` that shows the form again with its input.
RESUME = "resume"


class Fields:
    """The fields of a form, in order; a name may occur many times."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def one(self, name: str) -> str:
        """The first value of *name*; "" if there is none."""
        return next((value for key, value in self.pairs if key == name), "")

    def all(self, name: str) -> list[str]:
        """All values of *name*."""
        return [value for key, value in self.pairs if key == name]


def whole_number(text: str) -> int | None:
    """The number that a field has; None if it is blank, -1 if it isn't a whole number."""
    if not text:
        return None
    # ASCII only, and short: Python refuses to convert numbers of more than 4,300 digits.
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


async def read_form(request: Request) -> Fields:
    """The fields of *request*'s body.

    Raises:
        HTTPException: the body is not a form (415), or is malformed (400).
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
        # Too many fields, bytes that browsers escape, or escapes that aren't UTF-8.
        raise HTTPException(400) from None


#: The form of the request.
Form = Annotated[Fields, Depends(read_form)]
