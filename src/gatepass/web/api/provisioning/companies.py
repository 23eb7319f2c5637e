"""``/v1/companies``: all companies, for a platform's admin keys and for operators."""

from typing import Annotated, Any, ClassVar, Literal

from fastapi import Depends, Query, Response
from pydantic import Field

from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.registry.membership import company_offboarding
from gatepass.web.api import confirmation
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import ExternalId, IfMatch, Paging, Reference, Term
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import Listed, Record, Time, Versions, current_as, sent
from gatepass.web.caller import CurrentNode, administering

router = resource("Companies")

Administrator = Annotated[Actor, Depends(administering("companies"))]

_NAME: dict[str, Any] = {"minLength": 1, "maxLength": LONGEST_LABEL}


class NamedCompany(Fields):
    """The name of a company that an external id names."""

    name: str = Field(json_schema_extra=_NAME, examples=["Analytical Engines"])


class ManagedCompanyChanges(Fields):
    """Changes of a company; absent fields stay."""

    name: str = Field(default="", json_schema_extra=_NAME, examples=["Analytical Engines"])


class ManagedCompany(Record):
    """A company as its platform sees it."""

    etag: ClassVar[Versions] = companies.etag

    id: str = Field(examples=["com_4fT0aB3cD5eF7gH9"])
    external_id: str | None = Field(
        description="The id by which its platform knows it.", examples=["customer-7"]
    )
    name: str = Field(examples=["Analytical Engines"])
    status: Literal["active", "deactivated"]
    created_at: Time


@router.get("/companies", summary="All companies")
def search(
    node: CurrentNode,
    actor: Administrator,
    paging: Paging,
    external_id: Annotated[
        Term | None,
        Query(description="Only those with exactly this one, deactivated ones included."),
    ] = None,
) -> Listed[ManagedCompany]:
    """For operators, and admin keys with `companies`. An admin key that is limited to a company
    sees that one."""
    with node.database.read(node.clock.now()) as reading:
        page = companies.list_(reading, actor, external_id=external_id, **paging)
    return Listed[ManagedCompany].of(page)


@router.put(
    "/companies/by-external-id/{external_id}",
    summary="Create or rename the company with an external id",
    responses={201: {"description": "It is new.", "model": ManagedCompany}, **refusing(409)},
)
def put(
    response: Response,
    node: CurrentNode,
    actor: Administrator,
    external_id: ExternalId,
    named: Annotated[NamedCompany, body(NamedCompany)],
) -> ManagedCompany:
    """For operators, and admin keys with `companies`. Creates a company (201) unless an active one
    has that external id (200). Names are unique among active companies, compared without case (else
    409 `name_taken`). Repeating it changes nothing."""
    with current_as(ManagedCompany), node.database.write(node.clock.now()) as change:
        company, is_new = companies.put(
            change, actor, catalogue=node.catalogue, external_id=external_id, name=named.name
        )
    created = f"/v1/companies/{company.id}" if is_new else None
    answer = sent(ManagedCompany, company, response)
    return confirmation.put(answer, response, change.confirmed, created=created)


@router.get("/companies/{id}", summary="One company")
def get(
    response: Response, node: CurrentNode, actor: Administrator, id: Reference
) -> ManagedCompany:
    """For operators, and admin keys with `companies`. An external id names the active company that
    has it, else the newest that had it."""
    with node.database.read(node.clock.now()) as reading:
        return sent(ManagedCompany, companies.find(reading, actor, id), response)


@router.patch("/companies/{id}", summary="Rename a company")
def modify(
    response: Response,
    node: CurrentNode,
    actor: Administrator,
    id: Reference,
    changes: Annotated[ManagedCompanyChanges, body(ManagedCompanyChanges)],
    if_match: IfMatch,
) -> ManagedCompany:
    """For operators, and admin keys with `companies`. 409 for a name that is taken (`name_taken`),
    and for a deactivated company (`company_deactivated`). With `If-Match`, only that version is
    changed (else 409)."""
    name = changes.named().get("name")
    with current_as(ManagedCompany), node.database.write(node.clock.now()) as change:
        company = companies.rename_any(change, actor, id, name=name, if_match=if_match)
    return settled(change.confirmed, sent(ManagedCompany, company, response))


@router.post("/companies/{id}/deactivate", summary="Deactivate a company for good")
def deactivate(
    response: Response,
    actor: Administrator,
    changing: CurrentChange,
    id: Reference,
    _: NoBody,
) -> ManagedCompany:
    """For operators, and admin keys with `companies`. All its users, access tokens and admin keys
    are refused from now on; its name and external id can be used again. Repeating it changes
    nothing. 409 for the company of the installation's last operators (`last_operator`)."""
    return changing(
        lambda change: sent(
            ManagedCompany, company_offboarding.deactivate(change, actor, id), response
        )
    )
