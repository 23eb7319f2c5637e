"""``/v1/permissions``: the catalogue."""

from pydantic import Field

from gatepass.core.errors import InvalidInput
from gatepass.registry.storage.paging import Cursor, Page, read_cursor
from gatepass.web.api.parameters import Paging
from gatepass.web.api.request_body import resource
from gatepass.web.api.shapes import Listed, Record
from gatepass.web.caller import CurrentNode, SignedInOrPortal

router = resource("Permissions")


class Permission(Record):
    """A permission of the catalogue."""

    name: str = Field(examples=["charges:create"])
    title: str = Field(examples=["Create charges"])
    routes: tuple[str, ...] = Field(examples=[["POST /v1/charges"]])
    built_in: bool = Field(description="Whether it is one of Gatepass's own.")


@router.get("/permissions", summary="The catalogue")
async def permissions(
    node: CurrentNode, actor: SignedInOrPortal, paging: Paging
) -> Listed[Permission]:
    """Gatepass's own permissions, then the catalogue file's; all of them without a `limit`."""
    known = node.catalogue.permissions
    limit, after = paging["limit"], read_cursor(paging["cursor"])
    start = 0
    if after is not None:
        start = after.number + 1
        if not 0 < start <= len(known) or known[after.number].name != after.id:
            raise InvalidInput([("cursor", "Must be a cursor of this catalogue.")])
    page = known[start:] if limit is None else known[start : start + limit]
    end = start + len(page)
    more = str(Cursor(end - 1, known[end - 1].name)) if end < len(known) else None
    return Listed[Permission].of(Page(list(page), more))
