"""Owners in bodies and queries: by id, or by external id."""

import re
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator, Field

from gatepass.core.errors import InvalidInput
from gatepass.registry.input.external_ids import BY_EXTERNAL_ID, LONGEST_EXTERNAL_ID
from gatepass.web.api.request_body import Fields
from gatepass.web.api.shapes import IdText, plain

_an_id = re.compile("[A-Za-z0-9_-]{1,64}").fullmatch


def id_reference(text: str) -> str:
    """A reference by id alone: a text that is none names no record, by its external id neither."""
    return text if _an_id(text) else "-"


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
        return id_reference(self.id)


#: An owner to filter by.
OwnerTerm = Annotated[
    str,
    BeforeValidator(plain),
    Query(
        max_length=len(BY_EXTERNAL_ID) + LONGEST_EXTERNAL_ID,
        description="An owner's id, or `ext:` and its external id.",
    ),
]
