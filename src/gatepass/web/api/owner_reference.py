"""Owners in requests: ``ext:`` and an external id may stand for an id in paths."""

import re
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator, Field

from gatepass.core.errors import InvalidInput, NotFound
from gatepass.registry.directory.owners import BY_EXTERNAL_ID, LONGEST_EXTERNAL_ID
from gatepass.web.api.request_body import Fields
from gatepass.web.api.shapes import IdText, plain

_an_id = re.compile("[A-Za-z0-9_-]{1,64}").fullmatch


class OwnerReference(Fields):
    """An owner by its id or by its external id; one of the two."""

    id: IdText = Field(default="", examples=["svc_4fT0aB3cD5eF7gH9"])
    external_id: str = Field(default="", json_schema_extra={"maxLength": LONGEST_EXTERNAL_ID})

    def reference(self) -> str:
        """The reference, as registry operations take it.

        Raises:
            InvalidInput: for ``owner``; both or none are given.
        """
        if len(self.model_fields_set) != 1:
            raise InvalidInput([("owner", "Must have an id or an external_id.")])
        if "external_id" in self.model_fields_set:
            return f"{BY_EXTERNAL_ID}{self.external_id}"
        # An id never names another record by its external id.
        return self.id if _an_id(self.id) else "-"


def path_segment(request: Request, name: str) -> str:
    """A path's parameter, decoded after the path was split: its slashes are percent-encoded.

    The route's parameter must be a ``:path``, because the framework decodes before it splits.

    Raises:
        NotFound: the path has other segments than the route.
    """
    # The route doesn't know the prefix of its router.
    template = f"/v1{request.scope['route'].path_format}".split("/")
    raw = request.scope.get("raw_path") or request.url.path.encode()
    segments = raw.split(b"?")[0].split(b"/")
    if len(segments) != len(template):
        raise NotFound("There is no such page.")
    try:
        return unquote(segments[template.index(f"{{{name}}}")].decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise NotFound("There is no such record.") from None


async def _reference(
    request: Request,
    id: Annotated[
        str,
        Path(
            description="An id, or `ext:` and an external id, with `/` percent-encoded.",
            json_schema_extra={"maxLength": len(BY_EXTERNAL_ID) + LONGEST_EXTERNAL_ID},
        ),
    ],
) -> str:
    found = path_segment(request, "id")
    if not (_an_id(found) or found.startswith(BY_EXTERNAL_ID)):
        raise NotFound("There is no such record.")
    return found


#: An owner to filter by.
OwnerTerm = Annotated[
    str,
    BeforeValidator(plain),
    Query(
        max_length=len(BY_EXTERNAL_ID) + LONGEST_EXTERNAL_ID,
        description="An owner's id, or `ext:` and its external id.",
    ),
]
#: The owner that a path names, as registry operations take it.
OwnerInPath = Annotated[str, Depends(_reference)]
