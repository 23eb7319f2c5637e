"""Parameters that the resources share: ids in paths, searched text, pages of lists, If-Match."""

import re
from typing import Annotated, Any, TypedDict

from fastapi import Depends, Header, Path, Query
from pydantic import AfterValidator, BeforeValidator

from gatepass.registry.input.external_ids import BY_EXTERNAL_ID, LONGEST_EXTERNAL_ID
from gatepass.registry.storage.paging import LARGEST_PAGE, LONGEST_CURSOR
from gatepass.web.api.shapes import plain
from gatepass.web.encoded_slashes import with_slashes


def whole_number(most: int) -> BeforeValidator:
    """The validator of a parameter that is a whole number from 1 to *most*."""

    def read(value: Any) -> Any:
        # Pydantic would accept " 5", "5.0" and "1_0" as well.
        is_number = not isinstance(value, str) or re.fullmatch("[0-9]{1,9}", value)
        if not is_number or not 1 <= int(value) <= most:
            raise ValueError(f"Must be a whole number from 1 to {most}.")
        return value

    return BeforeValidator(read)


#: An id in a path. A malformed one is 404 like an unknown one, without a database query.
RecordId = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$", description="The record's id.")]
#: A record in a path by its id, or by its external id (``encoded_slashes``), likewise.
Reference = Annotated[
    str,
    Path(
        pattern=f"^([A-Za-z0-9_-]{{1,64}}|{BY_EXTERNAL_ID}.{{1,{LONGEST_EXTERNAL_ID}}})$",
        description=f"The record's id; or `{BY_EXTERNAL_ID}` and its external id, `/` as `%2F`.",
    ),
    AfterValidator(with_slashes),
]
#: An external id at the end of a path. The registry says what is valid.
ExternalId = Annotated[
    str,
    Path(
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_EXTERNAL_ID},
        description="Compared exactly; `/` as `%2F`.",
    ),
    AfterValidator(with_slashes),
]
# Constraints stand before a validator: behind it, the document would lack them.
Limit = Annotated[
    int,
    Query(ge=1, le=LARGEST_PAGE, description="The size of a page."),
    whole_number(LARGEST_PAGE),
]
#: A text to search or filter by.
Term = Annotated[str, Query(max_length=200), BeforeValidator(plain)]


class PageRequest(TypedDict):
    """The arguments of a list operation that select the page."""

    limit: int | None
    cursor: str | None


async def _page_request(
    limit: Limit | None = None,
    cursor: Annotated[
        str | None,
        Query(
            description="The `next` of the page before.",
            json_schema_extra={"maxLength": LONGEST_CURSOR},
        ),
    ] = None,
) -> PageRequest:
    return {"limit": limit, "cursor": cursor}


#: The query parameters ``limit`` and ``cursor`` of every list.
Paging = Annotated[PageRequest, Depends(_page_request)]


async def _if_match(
    if_match: Annotated[
        list[str] | None,
        Header(
            alias="If-Match",
            description="The `ETag` of the version to change; another one is 409 "
            "`changed_meanwhile` with the current record. Absent: any version.",
        ),
    ] = None,
) -> list[str] | None:
    if if_match is None or ", ".join(if_match).strip() == "*":
        return None
    found: list[tuple[str, str]] = re.findall(r'(W/)?("[^"]*")', ", ".join(if_match))
    return [tag for weak, tag in found if not weak]


#: The ETags of If-Match (RFC 9110, 13.1.1); None if any version will do. Weak or unreadable tags
#: never match: an empty list is a condition that is false.
IfMatch = Annotated[list[str] | None, Depends(_if_match)]
