"""``/v1/permissions``: the catalogue."""

from fastapi import APIRouter
from pydantic import Field

from gatepass.web.api.shapes import Listed, Record
from gatepass.web.deps import OurNode, SignedIn

router = APIRouter(tags=["Permissions"])


class Permission(Record):
    """A permission that this installation knows."""

    name: str = Field(examples=["charges:create"])
    title: str
    routes: tuple[str, ...] = Field(examples=[["POST /v1/charges"]])
    built_in: bool = Field(description="Whether it is one of Gatepass's own.")


@router.get("/permissions", summary="The catalogue")
async def permissions(node: OurNode, actor: SignedIn) -> Listed[Permission]:
    """All of it, in one page: Gatepass's own permissions, then the catalogue file's."""
    items = [Permission.model_validate(known) for known in node.catalogue.permissions]
    return Listed[Permission](items=items, next=None)
