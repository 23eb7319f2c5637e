"""``/v1/company``: the company's account."""

from typing import Annotated, ClassVar, Literal

from fastapi import Response
from pydantic import Field

from gatepass.registry.actor import Actor
from gatepass.registry.authentication import totp_policy
from gatepass.registry.directory import companies
from gatepass.registry.storage.database import Change
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import IfMatch
from gatepass.web.api.request_body import Fields, body, resource
from gatepass.web.api.shapes import Record, Time, Versions, current_as, sent
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = resource("Company")


class CompanyChanges(Fields):
    """Changes of the company; absent fields stay."""

    name: str = Field(
        default="",
        json_schema_extra={"minLength": 1, "maxLength": 100},
        examples=["Analytical Engines"],
    )
    second_factor_required: bool = Field(
        default=False,
        description="Whether every user needs a second factor to sign in. To require it, you need "
        "one yourself (else 409).",
    )


class Company(Record):
    """The account that users and tokens belong to."""

    etag: ClassVar[Versions] = companies.etag

    id: str = Field(examples=["com_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Analytical Engines"])
    status: Literal["active", "deactivated"]
    created_at: Time
    second_factor_required: bool


@router.get("/company", summary="The company")
def get(response: Response, node: CurrentNode, actor: Authenticated) -> Company:
    """Needs `company:get`."""
    with node.database.read(node.clock.now()) as reading:
        return sent(Company, companies.own(reading, actor), response)


@router.patch("/company", summary="Change the company")
def modify(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changes: Annotated[CompanyChanges, body(CompanyChanges)],
    if_match: IfMatch,
) -> Company:
    """Needs `company:modify`. Names are unique among active companies, compared without case (else
    409). With `If-Match`, only that version is changed (else 409)."""
    with current_as(Company), node.database.write(node.clock.now()) as change:
        company = _modify(change, actor, changes, if_match)
    return settled(change.confirmed, sent(Company, company, response))


def _modify(
    change: Change, actor: Actor, changes: CompanyChanges, if_match: list[str] | None
) -> companies.Company:
    fields = changes.model_fields_set
    # Both changes or neither; only the first one checks the version, which it changes.
    if "name" in fields or not fields:
        # An empty change still needs the permission and a matching version.
        name = changes.name if fields else companies.own(change, actor).name
        company = companies.rename(change, actor, name=name, if_match=if_match)
        if_match = None
    if "second_factor_required" in fields:
        wanted = changes.second_factor_required
        company = totp_policy.require_of_everyone(change, actor, wanted, if_match=if_match)
    return company
