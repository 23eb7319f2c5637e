"""``/v1/companies/{id}/owners``: the owners of a company's tokens, for its platform."""

from typing import Annotated, Literal

from fastapi import Depends, Query, Response

from gatepass.registry.actor import Actor
from gatepass.registry.directory import owner_search, owners
from gatepass.registry.membership import owner_offboarding
from gatepass.web.api import confirmation
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.owner_fields import Owner, OwnerName, OwnerRole
from gatepass.web.api.parameters import ExternalId, Paging, Reference, Term
from gatepass.web.api.request_body import Fields, NoBody, body, refusing, resource
from gatepass.web.api.shapes import Listed, current_as, sent
from gatepass.web.caller import CurrentNode, administering

router = resource("Owners")

Administrator = Annotated[Actor, Depends(administering("owners"))]


class NamedOwner(Fields):
    """The owner that an external id names."""

    type: Literal["external", "service_account"]
    name: OwnerName
    role: OwnerRole


@router.put(
    "/companies/{id}/owners/by-external-id/{external_id}",
    summary="Create or change the owner with an external id",
    responses={201: {"description": "It is new.", "model": Owner}, **refusing(409)},
)
def put(
    response: Response,
    node: CurrentNode,
    actor: Administrator,
    id: Reference,
    external_id: ExternalId,
    named: Annotated[NamedOwner, body(NamedOwner)],
) -> Owner:
    """For operators, and admin keys with `owners`. Creates an owner of access tokens (201) unless
    an active one of the company has that external id; changes its name and role otherwise (200).
    Another `type` than it has is 409 `type_differs`, a deactivated company 409
    `company_deactivated`. Repeating it changes nothing."""
    with current_as(Owner), node.database.write(node.clock.now()) as change:
        owner, is_new = owners.put(
            change, actor, id, external_id, catalogue=node.catalogue, **named.named()
        )
    created = f"/v1/companies/{owner.company}/owners/{owner.id}" if is_new else None
    answer = sent(Owner, owner, response)
    return confirmation.put(answer, response, change.confirmed, created=created)


@router.get("/companies/{id}/owners", summary="A company's service accounts and external owners")
def search(
    node: CurrentNode,
    actor: Administrator,
    id: Reference,
    paging: Paging,
    type: Literal["external", "service_account"] | None = None,
    external_id: Annotated[
        Term | None,
        Query(description="Only those with exactly this one, deactivated ones included."),
    ] = None,
) -> Listed[Owner]:
    """For operators, and admin keys with `owners`."""
    with node.database.read(node.clock.now()) as reading:
        page = owner_search.list_(
            reading,
            actor,
            company=id,
            type=type,
            external_id=external_id,
            counted=False,
            **paging,
        )
    return Listed[Owner].of(page)


@router.get("/companies/{id}/owners/{owner}", summary="One owner")
def get(
    response: Response, node: CurrentNode, actor: Administrator, id: Reference, owner: Reference
) -> Owner:
    """For operators, and admin keys with `owners`. An external id names the active owner that has
    it, else the newest that had it."""
    with node.database.read(node.clock.now()) as reading:
        return sent(Owner, owner_search.get(reading, actor, owner, company=id), response)


@router.post("/companies/{id}/owners/{owner}/deactivate", summary="Deactivate an owner for good")
def deactivate(
    response: Response,
    actor: Administrator,
    changing: CurrentChange,
    id: Reference,
    owner: Reference,
    _: NoBody,
) -> Owner:
    """For operators, and admin keys with `owners`. Deactivates all of its access tokens, too; its
    external id can be used again. Repeating it changes nothing."""
    return changing(
        lambda change: sent(
            Owner, owner_offboarding.deactivate_of(change, actor, id, owner), response
        )
    )
