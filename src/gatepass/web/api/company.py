"""``/v1/company``: the account itself."""

from typing import Annotated, Literal

from fastapi import APIRouter, Header, Response
from pydantic import Field

from gatepass.core.errors import Conflict
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import totp_policy
from gatepass.registry.directory import companies
from gatepass.registry.storage.database import Change
from gatepass.web.api.confirmation import settled
from gatepass.web.api.request_body import Fields, body, takes
from gatepass.web.api.shapes import Record, Time, wanted_tags
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = APIRouter(tags=["Company"])


class CompanyChanges(Fields):
    """What shall change; fields that are absent stay as they are."""

    name: str = Field(
        default="",
        json_schema_extra={"minLength": 1, "maxLength": 100},
        examples=["Analytical Engines"],
    )
    second_factor_required: bool = Field(
        default=False,
        description="Whether everyone who signs in needs a second factor. Whoever requires it has "
        "one themselves (else 409).",
    )


class Company(Record):
    """The account that owns everything."""

    id: str
    name: str
    status: Literal["active", "deactivated"]
    created_at: Time
    second_factor_required: bool


@router.get("/company", summary="The company")
def get(response: Response, node: CurrentNode, actor: Authenticated) -> Company:
    """Needs `company:get`."""
    with node.database.read(node.clock.now()) as reading:
        return _sent(companies.own(reading, actor), response)


@router.patch("/company", summary="Change the company", openapi_extra=takes(CompanyChanges))
def modify(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changes: Annotated[CompanyChanges, body(CompanyChanges)],
    if_match: Annotated[list[str] | None, Header()] = None,
) -> Company:
    """Needs `company:modify`. Names are unique in an installation, compared without case (else
    409). With `If-Match`, only the version it names is changed (else 409)."""
    try:
        with node.database.write(node.clock.now()) as change:
            company = _changed(change, actor, changes, wanted_tags(if_match))
    except Conflict as conflict:
        if isinstance(conflict.current, companies.Company):
            current = Company.model_validate(conflict.current)
            conflict.current = current.model_dump(mode="json")
        raise
    return settled(change.confirmed, _sent(company, response))


def _changed(
    change: Change, actor: Actor, changes: CompanyChanges, if_match: list[str] | None
) -> companies.Company:
    fields = changes.model_fields_set
    # Both or neither; once the first is made, its version is the one to go on from.
    if "name" in fields or not fields:
        # A change of nothing is still one that needs the right to it, and the version it names.
        name = changes.name if fields else companies.own(change, actor).name
        company = companies.rename(change, actor, name=name, if_match=if_match)
        if_match = None
    if "second_factor_required" in fields:
        wanted = changes.second_factor_required
        company = totp_policy.require_of_everyone(change, actor, wanted, if_match=if_match)
    return company


def _sent(company: companies.Company, response: Response) -> Company:
    response.headers["ETag"] = companies.etag(company)
    return Company.model_validate(company)
